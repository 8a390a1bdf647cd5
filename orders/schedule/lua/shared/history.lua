-- The history: a hash used as a ring of 1,440 minutes, so that it is bounded without being pruned. A field is a minute
-- since 1970 modulo 1,440; its value, JSON, names the minute, so that the value of another day is not taken for it.
-- These lines come before each script that has the key. A script without the right to the key runs without it, and
-- counts nothing.

local RING = 1440

local function this_minute()
  return math.floor(redis.call('TIME')[1] / 60)
end

local function count(key, counts)
  if not key then
    return
  end
  local minute = this_minute()
  local found = redis.call('HGET', key, minute % RING)
  local value = found and cjson.decode(found)
  if not value or value.minute ~= minute then
    value = {minute = minute}
  end
  for name, number in pairs(counts) do
    value[name] = (value[name] or 0) + number
  end
  redis.call('HSET', key, minute % RING, cjson.encode(value))
end
