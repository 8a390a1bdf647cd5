-- Start an attempt at each order whose lease this token still holds. An attempt that never ends (its process was
-- killed) stays counted; settling, rescheduling and burying end it.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)
-- ARGV  1 token   2… ids
-- Returns for each id the number of this attempt, from 1; 0 if the lease was lost: nothing is to be done with it.

local token = tonumber(ARGV[1])
local numbers = {}

for i = 2, #ARGV do
  local score = redis.call('ZSCORE', KEYS[1], ARGV[i])
  if score and tonumber(score) == token then
    numbers[i - 1] = redis.call('HINCRBY', KEYS[2], ARGV[i], 1)
  else
    numbers[i - 1] = 0
  end
end

return numbers
