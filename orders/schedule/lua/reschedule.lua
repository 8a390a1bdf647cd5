-- Give orders another score, if their score still is the token: because they are due later, need another attempt, or
-- could not be sent after a claim.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)   3 failures (hash)   4 stats (hash)
--       5 history (hash)
-- ARGV  1 token   2 number of counters   3… pairs: counter, increment
--       then four per id: id, score, new number of attempts, failure (JSON; empty if there is none; = keeps the last one)
-- Returns the number of ids rescheduled.

local token, first = tonumber(ARGV[1]), 3 + 2 * ARGV[2]
local moved, retried = 0, 0

for i = first, #ARGV, 4 do
  local id, attempts, failure = ARGV[i], tonumber(ARGV[i + 2]), ARGV[i + 3]
  local score = redis.call('ZSCORE', KEYS[1], id)
  if score and tonumber(score) == token then
    redis.call('ZADD', KEYS[1], ARGV[i + 1], id)
    if attempts > 0 then
      redis.call('HSET', KEYS[2], id, attempts)
    else
      redis.call('HDEL', KEYS[2], id)
    end
    if failure ~= '' and failure ~= '=' then
      redis.call('HSET', KEYS[3], id, failure)
      if not string.find(failure, '"kept"', 1, true) then  -- the shop's condition keeps it: nothing failed
        retried = retried + 1
      end
    elseif attempts == 0 and failure == '' then
      redis.call('HDEL', KEYS[3], id)
    end
    moved = moved + 1
  end
end

if redis.call('HLEN', KEYS[2]) == 1 then
  redis.call('HDEL', KEYS[2], '')  -- see start.lua
end
if retried > 0 then
  redis.call('HINCRBY', KEYS[4], 'retried', retried)
  count(KEYS[5], {failed = retried})
end

-- These count what the database and the guard did, so they are added even if the lease has ended.
for i = 3, first - 2, 2 do
  redis.call('HINCRBY', KEYS[4], ARGV[i], ARGV[i + 1])
end

return moved
