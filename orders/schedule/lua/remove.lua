-- Remove orders that the shop has marked as paid, cancelled or deleted, whether they are leased or not.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)   3 failures (hash)   4 dead (hash)   5 traces (hash)
-- ARGV  ids
-- Returns the number of ids that were scheduled or buried.

local removed = 0

for _, id in ipairs(ARGV) do
  local scheduled = redis.call('ZREM', KEYS[1], id)
  local buried = redis.call('HDEL', KEYS[4], id)
  redis.call('HDEL', KEYS[2], id)
  redis.call('HDEL', KEYS[3], id)
  redis.call('HDEL', KEYS[5], id)
  removed = removed + math.max(scheduled, buried)
end

return removed
