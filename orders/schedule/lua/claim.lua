-- Claim what is due before `now + lookahead`, lowest score first, by moving each id to the end of a lease.
--
-- The lease score is the fencing token: it never recurs for an id, because only a score that lies at most the
-- lookahead ahead of now can be claimed, and the lease is longer than that.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)   3 stats (hash)   4 leases (sorted set)
-- ARGV  1 seconds from a score to its instant   2 lookahead in seconds   3 lease in seconds   4 limit
-- Returns { now, token, { id, score, … }, { attempts, … } }: times as text with microseconds; the second list holds
-- for each id how many attempts at it were started before, and is empty if none was at any.

local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local token = string.format('%.6f', now + ARGV[3] - ARGV[1])
local horizon = string.format('%.6f', now + ARGV[2] - ARGV[1])

redis.call('ZREM', KEYS[1], '')  -- no id is empty; somebody's variable was

local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', horizon, 'WITHSCORES', 'LIMIT', 0, ARGV[4])
local moves, ids = {}, {}
for i = 1, #found, 2 do
  moves[i], moves[i + 1] = token, found[i]
  ids[#ids + 1] = found[i]
end

local attempts = {}
if #ids > 0 then
  redis.call('ZADD', KEYS[1], unpack(moves))
  redis.call('ZADD', KEYS[4], token, token)
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', string.format('%.6f', now - ARGV[1]))
  if redis.call('EXISTS', KEYS[2]) == 1 then
    attempts = redis.call('HMGET', KEYS[2], unpack(ids))
  end
end
redis.call('HSET', KEYS[3], 'swept_at', string.format('%.6f', now))

return {string.format('%.6f', now), token, found, attempts}
