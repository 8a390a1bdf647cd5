-- Schedule orders, or schedule them anew: whatever held them before (a lease, attempts, a dead letter) is void.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)   3 failures (hash)   4 dead (hash)
-- ARGV  pairs: score, id
-- Returns the number of ids that were not in the schedule.

local added = redis.call('ZADD', KEYS[1], unpack(ARGV))

for key = 2, 4 do
  if redis.call('EXISTS', KEYS[key]) == 1 then
    for i = 2, #ARGV, 2 do
      redis.call('HDEL', KEYS[key], ARGV[i])
    end
  end
end

return added
