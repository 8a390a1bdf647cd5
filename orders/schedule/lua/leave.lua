-- Delete what arrive.lua has stored in another sorted set, unless it has changed since peek.lua read it.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)   3 failures (hash)   4 dead (hash)   5 traces (hash)
-- ARGV  three per id: id, score, dead letter (JSON); empty if there is none
-- Returns the number of ids and dead letters that were deleted.

local left = 0

for i = 1, #ARGV, 3 do
  local id, score, letter = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  if score ~= '' and redis.call('ZSCORE', KEYS[1], id) == score then
    redis.call('ZREM', KEYS[1], id)
    redis.call('HDEL', KEYS[2], id)
    redis.call('HDEL', KEYS[3], id)
    redis.call('HDEL', KEYS[5], id)
    left = left + 1
  end
  if letter ~= '' and redis.call('HGET', KEYS[4], id) == letter then
    left = left + redis.call('HDEL', KEYS[4], id)
  end
end

if redis.call('HLEN', KEYS[2]) == 1 then
  redis.call('HDEL', KEYS[2], '')  -- see start.lua
end

return left
