-- Return the counts of the schedule, in O(log N) for each running lease.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)   3 dead (hash)   4 stats (hash)   5 leases (sorted set)
-- ARGV  1 seconds to add to a score to get its Unix time   2 how many leases to look for: the newest ones
-- Returns { now, scheduled, due, started, dead, { first rank, number, … }, { counter, value, … } }: the time, as text
-- with microseconds; the number of ids that are scheduled, that have a score in the past, that have attempts which
-- failed or have not ended, and that are buried; the ranks of the ids of each lease; the counters.

local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local horizon = string.format('%.6f', now - ARGV[1])

local leased = {}
for _, token in ipairs(redis.call('ZRANGE', KEYS[5], -ARGV[2], -1)) do
  local held = tonumber(token) > tonumber(horizon) and redis.call('ZCOUNT', KEYS[1], token, token) or 0
  if held > 0 then
    leased[#leased + 1] = redis.call('ZCOUNT', KEYS[1], '-inf', '(' .. token)
    leased[#leased + 1] = held
  end
end

return {
  string.format('%.6f', now),
  redis.call('ZCARD', KEYS[1]),
  redis.call('ZCOUNT', KEYS[1], '-inf', horizon),
  redis.call('HLEN', KEYS[2]) - redis.call('HEXISTS', KEYS[2], ''),  -- without the entry that start.lua adds
  redis.call('HLEN', KEYS[3]),
  leased,
  redis.call('HGETALL', KEYS[4]),
}
