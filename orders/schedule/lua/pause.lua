-- Pause the schedule, or end the pause. A pause by the brake (settle.lua) ends only if the brake is released.
--
-- KEYS  1 stats (hash)   2 brake (hash)
-- ARGV  1 the end of the pause as a Unix time; empty to end it now   2 its begin; to end it: only the pause that began
--       then, or empty for any   3 whether to release the brake: 1 or 0
-- Returns 1 if the brake holds the schedule, else 0.

if ARGV[3] == '1' then
  redis.call('HDEL', KEYS[1], '_braked_at')
  redis.call('DEL', KEYS[2])
end
local braked = redis.call('HEXISTS', KEYS[1], '_braked_at')

if ARGV[1] ~= '' then
  redis.call('HSET', KEYS[1], '_paused_until', ARGV[1], '_paused_since', ARGV[2])
elseif braked == 0 and (ARGV[2] == '' or redis.call('HGET', KEYS[1], '_paused_since') == ARGV[2]) then
  redis.call('HDEL', KEYS[1], '_paused_until', '_paused_since')
end

return braked
