-- Schedule orders that reconcile found in the database, unless they are scheduled or buried.
--
-- KEYS  1 schedule (sorted set)   2 dead (hash)   3 stats (hash)
-- ARGV  pairs: score, id
-- Returns the number of ids that were added.

local added = 0

for i = 1, #ARGV, 2 do
  if redis.call('HEXISTS', KEYS[2], ARGV[i + 1]) == 0 then
    added = added + redis.call('ZADD', KEYS[1], 'NX', ARGV[i], ARGV[i + 1])
  end
end

if added > 0 then
  redis.call('HINCRBY', KEYS[3], 'reconciled', added)
end

return added
