-- Return the clock of the server that has this key.
--
-- KEYS  1 schedule (sorted set)
-- Returns { seconds, microseconds }: the Unix time.

return redis.call('TIME')
