-- Move orders to another instant, where the token still holds their lease: because they are due later, are to be
-- tried again later, or were claimed and could not be sent.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)
-- ARGV  1 token   2… triples: id, score, attempts that count from now on
-- Returns the number of ids moved.

local token = tonumber(ARGV[1])
local moved = 0

for i = 2, #ARGV, 3 do
  local id, attempts = ARGV[i], tonumber(ARGV[i + 2])
  local score = redis.call('ZSCORE', KEYS[1], id)
  if score and tonumber(score) == token then
    redis.call('ZADD', KEYS[1], ARGV[i + 1], id)
    if attempts > 0 then
      redis.call('HSET', KEYS[2], id, attempts)
    else
      redis.call('HDEL', KEYS[2], id)
    end
    moved = moved + 1
  end
end

return moved
