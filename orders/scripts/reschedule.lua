-- Move orders to another instant, where the token still holds their lease: because they are due later, are to be
-- tried again later, or were claimed and could not be sent.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)   3 failures (hash)
-- ARGV  1 token   2… four for each: id, score, attempts that count from now on, failure (JSON; empty for none)
-- Returns the number of ids moved.

local token = tonumber(ARGV[1])
local moved = 0

for i = 2, #ARGV, 4 do
  local id, attempts, failure = ARGV[i], tonumber(ARGV[i + 2]), ARGV[i + 3]
  local score = redis.call('ZSCORE', KEYS[1], id)
  if score and tonumber(score) == token then
    redis.call('ZADD', KEYS[1], ARGV[i + 1], id)
    if attempts > 0 then
      redis.call('HSET', KEYS[2], id, attempts)
    else
      redis.call('HDEL', KEYS[2], id)
    end
    if failure ~= '' then
      redis.call('HSET', KEYS[3], id, failure)
    elseif attempts == 0 then
      redis.call('HDEL', KEYS[3], id)
    end
    moved = moved + 1
  end
end

if redis.call('HLEN', KEYS[2]) == 1 then
  redis.call('HDEL', KEYS[2], '')  -- see start.lua
end

return moved
