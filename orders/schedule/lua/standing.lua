-- Tell how the schedule stands: O(log N) for each lease that runs.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)   3 dead (hash)   4 stats (hash)   5 leases (sorted set)
-- ARGV  1 seconds from a score to its instant   2 how many leases are told apart, the newest
-- Returns { now, scheduled, due, started, dead, { first rank, number, … }, { counter, value, … } }: the time as text with
-- microseconds; ids that are scheduled, that have a score which has passed, that were started and have not ended well,
-- that are buried; where in the sorted set the ids of each lease are.

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
  redis.call('HLEN', KEYS[2]) - redis.call('HEXISTS', KEYS[2], ''),  -- what start.lua adds is no order
  redis.call('HLEN', KEYS[3]),
  leased,
  redis.call('HGETALL', KEYS[4]),
}
