-- Take the turn to send a task in place of beat, unless another worker's turn still lasts.
--
-- KEYS  1 stats (hash)
-- ARGV  1 the note of the task's last turn   2 how long a turn lasts, in seconds
-- Returns 1 if the turn was taken, else 0.

local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000
local last = redis.call('HGET', KEYS[1], ARGV[1])

if last and now - last < tonumber(ARGV[2]) then
  return 0
end
redis.call('HSET', KEYS[1], ARGV[1], string.format('%.6f', now))

return 1
