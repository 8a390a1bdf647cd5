-- Give ids an earlier score, because their rows have an earlier deadline. Ids that are leased, due, or rescheduled after
-- a failure keep their score, and so do those whose score is less than a second later: columns round.
--
-- KEYS  1 schedule (sorted set)   2 failures (hash)   3 leases (sorted set)
-- ARGV  1 seconds to add to a score to get its Unix time   2 whether only to count: 1 or 0   3… pairs: score, id
-- Returns the number of ids that got, or would get, an earlier score.

local time = redis.call('TIME')
local now = time[1] + time[2] / 1000000 - ARGV[1]
local advanced = 0

for i = 3, #ARGV, 2 do
  local id = ARGV[i + 1]
  local score = redis.call('ZSCORE', KEYS[1], id)
  local is_late = score and tonumber(score) > now and tonumber(score) - ARGV[i] > 1
  if is_late and redis.call('ZCOUNT', KEYS[3], score, score) == 0 and redis.call('HEXISTS', KEYS[2], id) == 0 then
    if ARGV[2] == '0' then
      redis.call('ZADD', KEYS[1], ARGV[i], id)
    end
    advanced = advanced + 1
  end
end

return advanced
