-- Count the start of an attempt at each order whose score still is the token. settle.lua, reschedule.lua and bury.lua
-- end the attempt. One that never ends, because its process was killed, stays counted.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)   3 stats (hash)
-- ARGV  1 token   2 whether to start only orders that were never tried before: 1 or 0   3 ids (a list, as JSON)
-- Returns the number of this attempt, from 1, for each id; 0 if the lease has ended, and the worker must skip the id;
-- -1 if it was tried before and was not started. While the schedule is paused (pause.lua), nothing is started: the
-- number is then -2 less the attempts before. Returns an empty list if all are 1, which is the usual case.

local paused = redis.call('HGET', KEYS[3], '_paused_until')
if paused then
  local time = redis.call('TIME')
  paused = tonumber(paused) > time[1] + time[2] / 1000000
end
local token, only_new, ids = tonumber(ARGV[1]), ARGV[2] == '1', cjson.decode(ARGV[3])
local scores = redis.call('ZMSCORE', KEYS[1], unpack(ids))
local counted = redis.call('EXISTS', KEYS[2]) == 1 and redis.call('HMGET', KEYS[2], unpack(ids)) or {}
local numbers, started, all_new = {}, {}, true

for i = 1, #scores do
  local before = tonumber(counted[i] or 0)
  if not scores[i] or tonumber(scores[i]) ~= token then
    numbers[i] = 0
  elseif paused then
    numbers[i] = -2 - before
  elseif before > 0 and only_new then
    numbers[i] = -1
  else
    numbers[i] = before + 1
    started[#started + 1] = ids[i]
    started[#started + 1] = before + 1
  end
  all_new = all_new and numbers[i] == 1
end

if #started > 128 then
  -- Redis scans a small hash from its start, which takes some microseconds per id if it has several hundred fields. A
  -- value of more than 64 bytes makes Redis index the hash (hash-max-listpack-value). No order id is empty.
  redis.call('HSETNX', KEYS[2], '', string.rep('-', 65))
end
if #started > 0 then
  redis.call('HSET', KEYS[2], unpack(started))
end

return all_new and {} or numbers
