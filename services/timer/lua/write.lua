-- Changed cases, and the offsets that they lead to: what was read is applied, what was published has fired.
--
-- KEYS    meta
-- ARGV    epoch.writes, next offsets of cases and deadlines; the same two after this; the cases; how many of the
--         following are new places, these, and new names.
--         A case is packed as '>I2I4ddih' (wheel.py): how long its case_id and its new entry are (0: it leaves),
--         when its first waiting moment came until now and when it comes now (NaN: none does), how long its
--         entry was until now (0: it had none, -1: its owner has not looked and thinks that it has none), by how
--         much its standing clocks change; then come case_id and entry
-- result  {standing clocks, case_id of each that has an entry already, against what its owner thinks, ...};
--         error FENCED or ELSEWHERE
-- writes  all; where a case is in the result, neither it nor the offsets
-- cost    O(cases x log of those in `near` or of the windows)
--
-- Redis does not take back what a script has done that dies half-way. So a mark stands meanwhile; where an
-- owner finds it, the shard is built anew (take_over.lua).
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
      local number = whole(window)
      redis.call('ZADD', WINDOWS, number, number)
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

-- False: it has an entry, though it was thought to have none.
local function store(case_id, entry, length)
  local key = entries_of(case_id)
  if length < 0 and redis.call('HSETNX', key, case_id, string.sub(entry, 1, PIECE)) == 0 then
    return false
  end
  local pieces = math.ceil(#entry / PIECE)
  for number = pieces, math.ceil(length / PIECE) - 1 do
    redis.call('HDEL', key, number == 0 and case_id or case_id .. '\0' .. number)
  end
  for number = pieces - 1, length < 0 and 1 or 0, -1 do
    local piece = string.sub(entry, number * PIECE + 1, (number + 1) * PIECE)
    redis.call('HSET', key, number == 0 and case_id or case_id .. '\0' .. number, piece)
  end
  return true
end

redis.call('HINCRBY', META, 'writes', 1)
redis.call('HSET', META, 'writing', 1)
for i = 8, #ARGV do
  redis.call('RPUSH', i - 7 <= tonumber(ARGV[7]) and PLACES or NAMES, ARGV[i])
end
local cases, at, standing, result = ARGV[6], 1, 0, {0}
while at <= #cases do
  local id_length, length, before, after, length_before, stands
  id_length, length, before, after, length_before, stands, at = struct.unpack('>I2I4ddih', cases, at)
  local case_id = string.sub(cases, at, at + id_length - 1)
  at = at + id_length
  if store(case_id, string.sub(cases, at, at + length - 1), length_before) then
    standing = standing + stands
    if before ~= after then
      move(case_id, a_time(before), a_time(after))
    end
  else
    result[#result + 1] = case_id
  end
  at = at + length
end
result[1] = redis.call('HINCRBY', META, 'standing', standing)
local values = {'written', whole(redis_ms())}
for i, field in ipairs({'cases', 'deadlines'}) do
  if ARGV[i + 3] ~= '' and #result == 1 then
    values[#values + 1] = field
    values[#values + 1] = ARGV[i + 3]
  end
end
redis.call('HSET', META, unpack(values))
redis.call('HDEL', META, 'writing')
return result
