-- Take orders whose row is in a final state out of the schedule, where the token still holds their lease.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)   3 failures (hash)   4 stats (hash)
-- ARGV  1 token   2 how many rows were expired   3 how many were closed before   4… ids
-- Returns the number of ids taken out.

local token = tonumber(ARGV[1])
local failures = redis.call('EXISTS', KEYS[3]) == 1
local settled = 0

for i = 4, #ARGV do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if score and tonumber(score) == token then
    redis.call('ZREM', KEYS[1], ARGV[i])
    redis.call('HDEL', KEYS[2], ARGV[i])
    if failures then
      redis.call('HDEL', KEYS[3], ARGV[i])
    end
    settled = settled + 1
  end
end

-- Counted by what the database did, whoever holds the lease by now.
redis.call('HINCRBY', KEYS[4], 'expired', ARGV[2])
redis.call('HINCRBY', KEYS[4], 'closed', ARGV[3])

return settled
