-- Settle orders whose row is final, if their score still is the token: delete them from the schedule.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)   3 failures (hash)   4 stats (hash)   5 traces (hash)
-- ARGV  1 token   2 number of counters   3… pairs: counter, increment   then ids
-- Returns the number of ids settled.

local token, first = tonumber(ARGV[1]), 3 + 2 * ARGV[2]
local scores = redis.call('ZMSCORE', KEYS[1], unpack(ARGV, first))
local settled = {}

for i = 1, #scores do
  if scores[i] and tonumber(scores[i]) == token then
    settled[#settled + 1] = ARGV[first + i - 1]
  end
end

if #settled > 0 then
  redis.call('ZREM', KEYS[1], unpack(settled))
  redis.call('HDEL', KEYS[2], unpack(settled))
  if redis.call('EXISTS', KEYS[3], KEYS[5]) > 0 then  -- saves passing 500 ids twice for nothing
    redis.call('HDEL', KEYS[3], unpack(settled))
    redis.call('HDEL', KEYS[5], unpack(settled))
  end
  if redis.call('HLEN', KEYS[2]) == 1 then
    redis.call('HDEL', KEYS[2], '')  -- see start.lua
  end
end

-- These count what the database and the guard did, so they are added even if the lease has ended.
for i = 3, first - 2, 2 do
  redis.call('HINCRBY', KEYS[4], ARGV[i], ARGV[i + 1])
end

return #settled
