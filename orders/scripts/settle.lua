-- Take orders whose row is in a final state out of the schedule, where the token still holds their lease.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)   3 failures (hash)   4 stats (hash)
-- ARGV  1 token   2 how many rows were expired   3 how many were closed before   4… ids
-- Returns the number of ids taken out.

local token = tonumber(ARGV[1])
local scores = redis.call('ZMSCORE', KEYS[1], unpack(ARGV, 4))
local settled = {}

for i = 1, #scores do
  if scores[i] and tonumber(scores[i]) == token then
    settled[#settled + 1] = ARGV[i + 3]
  end
end

if #settled > 0 then
  redis.call('ZREM', KEYS[1], unpack(settled))
  redis.call('HDEL', KEYS[2], unpack(settled))
  redis.call('HDEL', KEYS[3], unpack(settled))
  if redis.call('HLEN', KEYS[2]) == 1 then
    redis.call('HDEL', KEYS[2], '')  -- see start.lua
  end
end

-- Counted by what the database did, whoever holds the lease by now.
redis.call('HINCRBY', KEYS[4], 'expired', ARGV[2])
redis.call('HINCRBY', KEYS[4], 'closed', ARGV[3])

return #settled
