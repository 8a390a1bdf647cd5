-- Settle orders whose row is final, if their score still is the token: delete them from the schedule.
--
-- The brake (ORDERS_BRAKE) counts what expired, in sixtieths of its window. The oldest one counts as a whole, so no
-- window of that length has more. Once the limit is reached, the schedule is paused until somebody releases the brake
-- (pause.lua): what was started may end.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)   3 failures (hash)   4 stats (hash)   5 traces (hash)
--       6 brake (hash)   7 history (hash)
-- ARGV  1 token   2 limit of the brake; 0 without one   3 its window in seconds   4 how many the guard found paid
--       5 number of counters   6… pairs: counter, increment   then ids (a list, as JSON)
-- Returns the number of ids settled.

local token, limit, first = tonumber(ARGV[1]), tonumber(ARGV[2]), 6 + 2 * ARGV[5]
local ids = cjson.decode(ARGV[first])
local scores = redis.call('ZMSCORE', KEYS[1], unpack(ids))
local settled = {}

for i = 1, #scores do
  if scores[i] and tonumber(scores[i]) == token then
    settled[#settled + 1] = ids[i]
  end
end

if #settled > 0 then
  redis.call('ZREM', KEYS[1], unpack(settled))
  redis.call('HDEL', KEYS[2], unpack(settled))
  if redis.call('EXISTS', KEYS[3], KEYS[5]) > 0 then  -- saves passing 500 ids twice for nothing
    redis.call('HDEL', KEYS[3], unpack(settled))
    redis.call('HDEL', KEYS[5], unpack(settled))
  end
  if redis.call('HLEN', KEYS[2]) == 1 then
    redis.call('HDEL', KEYS[2], '')  -- see start.lua
  end
end

-- These count what the database and the guard did, so they are added even if the lease has ended.
local expired, counted = 0, {}
for i = 6, first - 2, 2 do
  local bound = string.match(ARGV[i], '^lateness_to_(.*)')
  redis.call('HINCRBY', KEYS[4], ARGV[i], ARGV[i + 1])
  if bound then
    counted[bound] = ARGV[i + 1]
  elseif ARGV[i] == 'expired' then
    expired = tonumber(ARGV[i + 1])
    counted.expired = expired
  end
end

if expired > 0 or ARGV[4] ~= '0' then
  counted.paid = ARGV[4] ~= '0' and ARGV[4] or nil
  count(KEYS[7], counted)
end

if limit > 0 and expired > 0 then
  local time = redis.call('TIME')
  local now = time[1] + time[2] / 1000000
  local part = math.floor(now / ARGV[3] * 60)
  local total
  if redis.call('HINCRBY', KEYS[6], part, expired) > expired then
    total = redis.call('HINCRBY', KEYS[6], 'total', expired)
  else  -- a new part begins: drop those that are too old, or were counted with another window
    total = 0
    local parts = redis.call('HGETALL', KEYS[6])
    for i = 1, #parts, 2 do
      local number = tonumber(parts[i])
      if number and math.abs(number - part) <= 60 then
        total = total + parts[i + 1]
      else
        redis.call('HDEL', KEYS[6], parts[i])
      end
    end
    redis.call('HSET', KEYS[6], 'total', total)
  end
  if total >= limit and redis.call('HEXISTS', KEYS[4], '_braked_at') == 0 then
    redis.call('HSET', KEYS[4], '_braked_at', string.format('%.6f', now), '_paused_until', '253402300799')
    redis.call('HINCRBY', KEYS[4], 'braked', 1)
  end
end

return #settled
