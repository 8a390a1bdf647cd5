-- Schedule dead letters again, due now, with all their attempts. Ids that are not buried are left alone.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)   3 failures (hash)   4 dead (hash)
-- ARGV  1 seconds from a score to its instant   2… ids
-- Returns for each id whether it was buried: 1 or 0.

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
