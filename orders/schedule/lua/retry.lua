-- Requeue dead letters, due now and with no attempts counted. Ids that are not buried do not change.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)   3 failures (hash)   4 dead (hash)
-- ARGV  1 seconds to add to a score to get its Unix time   2… ids
-- Returns 1 for each id that was buried, else 0.

local time = redis.call('TIME')
local score = string.format('%.6f', time[1] + time[2] / 1000000 - ARGV[1])
local were_buried = {}

for i = 2, #ARGV do
  were_buried[i - 1] = redis.call('HDEL', KEYS[4], ARGV[i])
  if were_buried[i - 1] == 1 then
    redis.call('ZADD', KEYS[1], score, ARGV[i])
    redis.call('HDEL', KEYS[2], ARGV[i])
    redis.call('HDEL', KEYS[3], ARGV[i])
  end
end

return were_buried
