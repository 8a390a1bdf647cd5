-- Show some of what is here, as it is, so that it can be moved to another sorted set: see arrive.lua and leave.lua.
--
-- KEYS  1 schedule (sorted set)   2 attempts (hash)   3 failures (hash)   4 dead (hash)
-- ARGV  1 how many ids, at most
-- Returns { { id, score, … }, { attempts, … }, { failure (JSON), … }, { id, dead letter (JSON), … } }.

local found = redis.call('ZRANGE', KEYS[1], 0, ARGV[1] - 1, 'WITHSCORES')
local ids = {}
for i = 1, #found, 2 do
  ids[#ids + 1] = found[i]
end

return {
  found,
  #ids > 0 and redis.call('HMGET', KEYS[2], unpack(ids)) or {},
  #ids > 0 and redis.call('HMGET', KEYS[3], unpack(ids)) or {},
  redis.call('HRANDFIELD', KEYS[4], ARGV[1], 'WITHVALUES'),
}
