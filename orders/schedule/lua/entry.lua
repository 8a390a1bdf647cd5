-- Return everything about one order.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)   3 failures (hash)   4 dead (hash)
-- ARGV  1 id
-- Returns { { seconds, microseconds }, score, attempts, failure (JSON), dead letter (JSON) }: Redis's time, then nil
-- for whatever does not exist.

return {
  redis.call('TIME'),
  redis.call('ZSCORE', KEYS[1], ARGV[1]),
  redis.call('HGET', KEYS[2], ARGV[1]),
  redis.call('HGET', KEYS[3], ARGV[1]),
  redis.call('HGET', KEYS[4], ARGV[1]),
}
