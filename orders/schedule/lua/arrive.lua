-- Take in what was in another sorted set: see peek.lua. Of two instants of one id the earlier one holds, because who
-- comes too early is sent on by the row; attempts, failures and dead letters that are here already stay.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)   3 failures (hash)   4 dead (hash)
-- ARGV  five for each: id, score, attempts, failure (JSON), dead letter (JSON); empty for none
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
