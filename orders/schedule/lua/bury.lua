-- Bury orders that cannot be expired, if their score still is the token: move them to the dead letters.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)   3 failures (hash)   4 dead (hash)   5 stats (hash)
--       6 traces (hash)   7 history (hash)
-- ARGV  1 token   2 number of counters   3… pairs: counter, increment   then pairs: id, dead letter (JSON)
-- Returns the number of ids buried.

local token, first = tonumber(ARGV[1]), 3 + 2 * ARGV[2]
local buried = 0

for i = first, #ARGV, 2 do
  local id = ARGV[i]
  local score = redis.call('ZSCORE', KEYS[1], id)
  if score and tonumber(score) == token then
    redis.call('HSET', KEYS[4], id, ARGV[i + 1])
    redis.call('ZREM', KEYS[1], id)
    redis.call('HDEL', KEYS[2], id)
    redis.call('HDEL', KEYS[3], id)
    redis.call('HDEL', KEYS[6], id)
    buried = buried + 1
  end
end

if redis.call('HLEN', KEYS[2]) == 1 then
  redis.call('HDEL', KEYS[2], '')  -- see start.lua
end
redis.call('HINCRBY', KEYS[5], 'buried', buried)
if buried > 0 then
  count(KEYS[7], {failed = buried})
end

-- These count what the database and the guard did, so they are added even if the lease has ended.
for i = 3, first - 2, 2 do
  redis.call('HINCRBY', KEYS[5], ARGV[i], ARGV[i + 1])
end

return buried
