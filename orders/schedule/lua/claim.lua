-- Claim ids that are due before `now + lookahead`, lowest score first: set their scores to the end of a lease.
--
-- That score is the fencing token. An id never gets the same token twice, because a claim takes only scores up to
-- `now + lookahead`, and the lease is longer than the lookahead.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)   3 stats (hash)   4 leases (sorted set)
-- ARGV  1 seconds to add to a score to get its Unix time   2 lookahead in seconds   3 lease in seconds   4 limit
-- Returns { now, token, [ id, score, … ], [ attempts, … ] }: times as text with microseconds, lists as JSON, because a
-- client needs far longer to read 2,000 replies. The second list has the number of attempts that were started before,
-- for each id, and is empty if there were none for any id. Nothing is claimed while the schedule is paused (pause.lua).

local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local token = string.format('%.6f', now + ARGV[3] - ARGV[1])
local horizon = string.format('%.6f', now + ARGV[2] - ARGV[1])

redis.call('ZREM', KEYS[1], '')  -- an empty id comes from a bug in a caller

local paused = tonumber(redis.call('HGET', KEYS[3], '_paused_until') or 0) > now
local limit = paused and 0 or ARGV[4]
local found = redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', horizon, 'WITHSCORES', 'LIMIT', 0, limit)
local moves, ids = {}, {}
for i = 1, #found, 2 do
  moves[i], moves[i + 1] = token, found[i]
  ids[#ids + 1] = found[i]
end

local attempts, tried = {}, false
if #ids > 0 then
  redis.call('ZADD', KEYS[1], unpack(moves))
  redis.call('ZADD', KEYS[4], token, token)
  redis.call('ZREMRANGEBYSCORE', KEYS[4], '-inf', string.format('%.6f', now - ARGV[1]))
  if redis.call('EXISTS', KEYS[2]) == 1 then
    attempts = redis.call('HMGET', KEYS[2], unpack(ids))
    for i = 1, #attempts do
      tried = tried or attempts[i]
    end
  end
end
redis.call('HSET', KEYS[3], 'swept_at', string.format('%.6f', now))

return {
  string.format('%.6f', now),
  token,
  #ids > 0 and cjson.encode(found) or '[]',
  tried and cjson.encode(attempts) or '[]',
}
