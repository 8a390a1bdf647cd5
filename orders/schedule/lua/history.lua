-- Return what was counted in the last minutes.
--
-- KEYS  1 history (hash)
-- ARGV  1 how many minutes, up to 1,440, with the current one
-- Returns { { seconds, microseconds }, { counters (JSON), … } }: Redis's time; for each minute, the latest first, what
-- the ring has in its place: nil, or the counters of that minute or of another day's (`minute`).

local time, fields = redis.call('TIME'), {}
local minute = math.floor(time[1] / 60)

for i = 1, tonumber(ARGV[1]) do
  fields[i] = (minute - i + 1) % RING
end

return {time, redis.call('HMGET', KEYS[1], unpack(fields))}
