-- The cases of which a moment has come, the earliest first.
--
-- KEYS    meta
-- ARGV    epoch.writes, next offsets of cases and deadlines, how many to leave out, at most so many cases,
--         how many to move out of windows at most, now in ms ('' for Redis' time; tests give another)
-- result  {now in ms, time before which nothing comes (nil: nothing is to come), case_id, entry, ...};
--         error FENCED or ELSEWHERE
-- writes  meta, near, far, windows: windows that begin are opened
-- cost    O((moved + claimed) x log of those in `near`)
--
-- Nothing is marked as in flight: the shard has one owner, and what it claims and does not acknowledge is
-- still due, so it is simply claimed again, by it or by its successor.
local refusal = refused()
if refusal then
  return refusal
end
local now = tonumber(ARGV[7]) or redis_ms()

local OPENED = math.max(opened(), window_of(now + AHEAD_MS) + 1)
if OPENED > opened() then
  redis.call('HSET', META, 'opened', whole(OPENED))
end
local window, left = tonumber(redis.call('ZRANGE', WINDOWS, 0, 0)[1]), tonumber(ARGV[6])
while left > 0 and window and window < OPENED do
  -- unpack() is limited by Lua's stack, some thousands: the limits in ARGV are far below.
  local found = redis.call('HRANDFIELD', far(window), left, 'WITHVALUES')
  local scores, case_ids = {}, {}
  for i = 1, #found, 2 do
    scores[i], scores[i + 1] = whole(window * WINDOW_MS + tonumber(found[i + 1])), found[i]
    case_ids[#case_ids + 1] = found[i]
  end
  if #found > 0 then
    redis.call('ZADD', NEAR, unpack(scores))
    redis.call('HDEL', far(window), unpack(case_ids))
  end
  left = left - #case_ids
  if redis.call('EXISTS', far(window)) == 0 then
    redis.call('ZREM', WINDOWS, whole(window))
    window = tonumber(redis.call('ZRANGE', WINDOWS, 0, 0)[1])
  end
end

local next_ms = tonumber(redis.call('ZRANGE', NEAR, 0, 0, 'WITHSCORES')[2])
if window then
  local begins = window < OPENED and now or window * WINDOW_MS - AHEAD_MS
  next_ms = math.min(next_ms or begins, begins)
end
local result = {now, next_ms or false}
local due = redis.call('ZRANGEBYSCORE', NEAR, '-inf', whole(now), 'LIMIT', ARGV[4], ARGV[5])
for _, case_id in ipairs(due) do
  local entry = entry_of(case_id)
  if entry then
    result[#result + 1] = case_id
    result[#result + 1] = entry
  else
    redis.call('ZREM', NEAR, case_id)
  end
end
return result
