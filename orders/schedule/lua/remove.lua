-- Remove orders that the shop has marked as paid, cancelled or deleted, whether they are leased or not.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)   3 failures (hash)   4 dead (hash)   5 traces (hash)
--       6 history (hash)
-- ARGV  1 whether a payment was accepted for each of them: 1 or 0   2… ids
-- Returns the number of ids that were scheduled or buried.

local removed = 0

for i = 2, #ARGV do
  local id = ARGV[i]
  local scheduled = redis.call('ZREM', KEYS[1], id)
  local buried = redis.call('HDEL', KEYS[4], id)
  redis.call('HDEL', KEYS[2], id)
  redis.call('HDEL', KEYS[3], id)
  redis.call('HDEL', KEYS[5], id)
  removed = removed + math.max(scheduled, buried)
end

if ARGV[1] == '1' then
  count(KEYS[6], {paid = #ARGV - 1})
end

return removed
