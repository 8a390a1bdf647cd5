-- Store what peek.lua read from another sorted set. If an id is in both, the lower score wins, because an attempt that
-- comes too early is rescheduled by its row. Existing attempts, failures and dead letters are kept.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)   3 failures (hash)   4 dead (hash)
-- ARGV  five per id: id, score, attempts, failure (JSON), dead letter (JSON); empty if there is none
-- Returns nothing.

for i = 1, #ARGV, 5 do
  local id = ARGV[i]
  if ARGV[i + 1] ~= '' then
    redis.call('ZADD', KEYS[1], 'LT', ARGV[i + 1], id)
  end
  for k = 2, 4 do
    if ARGV[i + k] ~= '' then
      redis.call('HSETNX', KEYS[k], id, ARGV[i + k])
    end
  end
end
