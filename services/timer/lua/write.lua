-- Changed cases, and the offsets that they lead to: what was read is applied, what was published has fired.
--
-- KEYS    meta
-- ARGV    epoch, next offsets of cases and deadlines; the same two after this; by how much the standing clocks
--         change; how many places and names are new, then these; then for each case:
--           case_id, its new entry ('' where it leaves), when its first waiting moment came until now and when
--           it comes now ('' for none), length of its entry until now (0 for none)
-- result  {standing clocks}; error FENCED or ELSEWHERE
-- writes  all
-- cost    O(cases x log of those in `near` or of the windows)
--
-- If the script dies before its end, the offsets stay and everything is applied again, to the same end.
local refusal = refused()
if refusal then
  return refusal
end
for _, later in ipairs({4, 5}) do
  local before, after = tonumber(ARGV[later - 2]), tonumber(ARGV[later])
  if before and after < before then
    return redis.error_reply('ELSEWHERE offset ' .. before .. ' does not move back to ' .. after)
  end
end
local OPENED = opened()

local function take_from_far(case_id, window)
  local key = far(window)
  if redis.call('HDEL', key, case_id) == 1 and redis.call('EXISTS', key) == 0 then
    redis.call('ZREM', WINDOWS, whole(window))
  end
end

-- From its place of `before` (nil: none) to that of `after` (nil: none).
local function move(case_id, before, after)
  local left = before and window_of(before)
  local moved_within_near = false
  if after then
    local window = window_of(after)
    if window < OPENED then
      moved_within_near = redis.call('ZADD', NEAR, whole(after), case_id) == 0
    else
      redis.call('ZADD', WINDOWS, whole(window), whole(window))
      redis.call('HSET', far(window), case_id, whole(after - window * WINDOW_MS))
      if window == left then
        return
      end
    end
  end
  if not left or moved_within_near then
    return
  end
  local stays_near = after and window_of(after) < OPENED
  if left >= OPENED or stays_near or redis.call('ZREM', NEAR, case_id) == 0 then
    take_from_far(case_id, left)
  end
end

local function store(case_id, entry, length)
  local key = entries_of(case_id)
  local pieces = math.ceil(#entry / PIECE)
  for number = pieces, math.ceil(length / PIECE) - 1 do
    redis.call('HDEL', key, number == 0 and case_id or case_id .. '\0' .. number)
  end
  for number = pieces - 1, 0, -1 do
    local piece = string.sub(entry, number * PIECE + 1, (number + 1) * PIECE)
    redis.call('HSET', key, number == 0 and case_id or case_id .. '\0' .. number, piece)
  end
end

local at = 9
for _, list in ipairs({{PLACES, tonumber(ARGV[7])}, {NAMES, tonumber(ARGV[8])}}) do
  for _ = 1, list[2] do
    redis.call('RPUSH', list[1], ARGV[at])
    at = at + 1
  end
end
for i = at, #ARGV, 5 do
  local before, after = ARGV[i + 2], ARGV[i + 3]
  if before ~= after then
    move(ARGV[i], tonumber(before), tonumber(after))
  end
  store(ARGV[i], ARGV[i + 1], tonumber(ARGV[i + 4]))
end
local standing = redis.call('HINCRBY', META, 'standing', ARGV[6])
redis.call('HSET', META, 'written', whole(redis_ms()))
for i, field in ipairs({'cases', 'deadlines'}) do
  if ARGV[i + 3] ~= '' then
    redis.call('HSET', META, field, ARGV[i + 3])
  end
end
return {standing}
