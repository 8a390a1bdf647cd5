-- Read all values of some orders, to move them to another sorted set with arrive.lua and leave.lua.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)   3 failures (hash)   4 dead (hash)
-- ARGV  ids
-- Returns { { score, … }, { attempts, … }, { failure (JSON), … }, { dead letter (JSON), … } }, in the order of the ids.

return {
  redis.call('ZMSCORE', KEYS[1], unpack(ARGV)),
  redis.call('HMGET', KEYS[2], unpack(ARGV)),
  redis.call('HMGET', KEYS[3], unpack(ARGV)),
  redis.call('HMGET', KEYS[4], unpack(ARGV)),
}
