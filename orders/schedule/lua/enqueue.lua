-- Schedule orders, or give them another score. Their leases end, and attempts, failures and dead letters are deleted.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)   3 failures (hash)   4 dead (hash)   5 traces (hash)
-- ARGV  pairs: score, id   then the trace context, if there is one
-- Returns the number of ids that were not scheduled before.

local trace = #ARGV % 2 == 1 and table.remove(ARGV)
local added = redis.call('ZADD', KEYS[1], unpack(ARGV))

if redis.call('EXISTS', KEYS[2], KEYS[3], KEYS[4], KEYS[5]) > 0 then
  for i = 2, #ARGV, 2 do
    redis.call('HDEL', KEYS[2], ARGV[i])
    redis.call('HDEL', KEYS[3], ARGV[i])
    redis.call('HDEL', KEYS[4], ARGV[i])
    redis.call('HDEL', KEYS[5], ARGV[i])
  end
end

if trace then
  for i = 2, #ARGV, 2 do
    redis.call('HSET', KEYS[5], ARGV[i], trace)
  end
end

return added
