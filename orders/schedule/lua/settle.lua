-- Take orders whose row is in a final state out of the schedule, where the token still holds their lease.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)   3 failures (hash)   4 stats (hash)   5 traces (hash)
-- ARGV  1 token   2 number of counters   3… pairs: counter, what to add   then ids
-- Returns the number of ids taken out.

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
  if redis.call('EXISTS', KEYS[3], KEYS[5]) > 0 then  -- else 500 ids would be handed over for nothing, twice
    redis.call('HDEL', KEYS[3], unpack(settled))
    redis.call('HDEL', KEYS[5], unpack(settled))
  end
  if redis.call('HLEN', KEYS[2]) == 1 then
    redis.call('HDEL', KEYS[2], '')  -- see start.lua
  end
end

-- Counted by what the database and the guard said, whoever holds the lease by now.
for i = 3, first - 2, 2 do
  redis.call('HINCRBY', KEYS[4], ARGV[i], ARGV[i + 1])
end

return #settled
