-- Changed cases, and the offsets that they lead to: what was read is applied, what was published has fired.
--
-- KEYS    meta
-- ARGV    epoch.writes, next offsets of cases and deadlines; the same two after this; by how much the standing clocks
--         change; the cases; how many of the following are new places, these, and new names.
--         A case is packed as '>I2I4ddI4' (wheel.py): how long its case_id and its new entry are (0: it leaves),
--         when its first waiting moment came until now and when it comes now (NaN: none does), how long its
--         entry was until now (0: it had none); then come case_id and entry
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
redis.call('HINCRBY', META, 'writes', 1)
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

local function a_time(number)
  return number == number and number or nil
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

for i = 9, #ARGV do
  redis.call('RPUSH', i - 8 <= tonumber(ARGV[8]) and PLACES or NAMES, ARGV[i])
end
local cases, at = ARGV[7], 1
while at <= #cases do
  local id_length, length, before, after, length_before
  id_length, length, before, after, length_before, at = struct.unpack('>I2I4ddI4', cases, at)
  local case_id = string.sub(cases, at, at + id_length - 1)
  at = at + id_length
  if before ~= after then
    move(case_id, a_time(before), a_time(after))
  end
  store(case_id, string.sub(cases, at, at + length - 1), length_before)
  at = at + length
end
local standing = redis.call('HINCRBY', META, 'standing', ARGV[6])
redis.call('HSET', META, 'written', whole(redis_ms()))
for i, field in ipairs({'cases', 'deadlines'}) do
  if ARGV[i + 3] ~= '' then
    redis.call('HSET', META, field, ARGV[i + 3])
  end
end
return {standing}
