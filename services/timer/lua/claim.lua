-- The cases whose next moment has come and lies in a range of time, the earliest first.
--
-- KEYS    meta
-- ARGV    epoch.writes, next offsets of cases and deadlines, how many to leave out, at most so many cases,
--         how many to move out of windows at most, the range in ms: from, and up to but without ('' for no bound);
--         now in ms ('' for Redis' time; tests give another)
-- result  {now in ms, time before which nothing comes (nil: nothing is to come), the same of what lies in the range,
--         case_id, entry, ...}; error FENCED or ELSEWHERE
-- writes  meta, near, far, windows: windows that begin are opened
-- cost    O((moved + claimed) x log of those in `near`)
--
-- Nothing is marked as in flight: the shard has one owner, and what it claims and does not acknowledge is
-- still due, so it is simply claimed again, by it or by its successor.
local refusal = refused()
if refusal then
  return refusal
end
local from, to, now = tonumber(ARGV[7]), tonumber(ARGV[8]), tonumber(ARGV[9]) or redis_ms()

local OPENED = math.max(opened(), window_of(now + AHEAD_MS) + 1)
if OPENED > opened() then
  redis.call('HSET', META, 'opened', whole(OPENED))
end

-- The first window of which something may lie in the range.
local function first_window()
  local lowest, highest = from and whole(window_of(from)) or '-inf', to and whole(window_of(to - 1)) or '+inf'
  return tonumber(redis.call('ZRANGEBYSCORE', WINDOWS, lowest, highest, 'LIMIT', 0, 1)[1])
end

local window, left = first_window(), tonumber(ARGV[6])
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
    window = first_window()
  end
end

local function earlier(one, other)
  return one and other and math.min(one, other) or one or other
end

local lowest, highest = from and whole(from) or '-inf', to and '(' .. whole(to) or '+inf'
local next_ms = tonumber(redis.call('ZRANGEBYSCORE', NEAR, lowest, highest, 'WITHSCORES', 'LIMIT', 0, 1)[2])
local until_ms = now
if window then
  next_ms = earlier(next_ms, window < OPENED and now or window * WINDOW_MS - AHEAD_MS)
  -- What is still in it may be earlier than what has come out of it.
  until_ms = math.min(now, window * WINDOW_MS - 1)
end
local first_ms = tonumber(redis.call('ZRANGE', NEAR, 0, 0, 'WITHSCORES')[2])
local first = tonumber(redis.call('ZRANGE', WINDOWS, 0, 0)[1])
first_ms = earlier(first_ms, first and (first < OPENED and first * WINDOW_MS or first * WINDOW_MS - AHEAD_MS))

local result = {now, first_ms or false, next_ms or false}
if not to or until_ms < to then
  highest = whole(until_ms)
end
local due = redis.call('ZRANGEBYSCORE', NEAR, lowest, highest, 'LIMIT', ARGV[4], ARGV[5])
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
