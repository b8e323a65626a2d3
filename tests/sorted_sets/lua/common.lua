-- Put before each of the other scripts. One shard is three keys, all under its hash tag:
--
-- KEYS[1]  meta  hash  epoch     of the newest owner
--                      next      offset of the first case record that is not applied yet
--                      deadlines offset of the first deadline that may not be acknowledged
--                      standing  clocks that run and whose own end has not fired
-- KEYS[2]  due   zset  case_id -> epoch ms of its first moment that has not fired
-- KEYS[3]  plan  hash  case_id -> MessagePack array {revision, written_ms, grade, site_id, desk,
--                      {moment, ...}, {identity that fired, ...}}, the moment being
--                      {at_ms, clock, share, event, version}
--
-- A case that has no moment to come has a plan and no due: its revision and what fired must stay.
local META, DUE, PLAN = KEYS[1], KEYS[2], KEYS[3]
local REVISION, MOMENTS, FIRED = 1, 6, 7
local AT_MS, CLOCK, SHARE, VERSION = 1, 2, 3, 5

-- Lua's own tostring turns epoch ms of the far future into 1e+14.
local function whole(number)
  return string.format('%.0f', number)
end

local function redis_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Why the caller may not go on, as an error to return; false if it may. ARGV[1] is its epoch, ARGV[2] the
-- offsets that it wrote or read last. A newer epoch than the stored one is adopted: Redis may have lost the
-- take-over, or everything. Other offsets mean that it did, or that somebody else writes.
local function refused()
  local stored = redis.call('HMGET', META, 'epoch', 'next', 'deadlines')
  local epoch, held = stored[1] or '0', (stored[2] or '') .. ' ' .. (stored[3] or '')
  if tonumber(ARGV[1]) < tonumber(epoch) then
    return redis.error_reply('FENCED a newer owner, of epoch ' .. epoch .. ', has taken over')
  end
  if ARGV[2] ~= held then
    return redis.error_reply('ELSEWHERE the next offsets are "' .. held .. '", not "' .. ARGV[2] .. '"')
  end
  if ARGV[1] ~= epoch then
    redis.call('HSET', META, 'epoch', ARGV[1])
  end
  return false
end

-- The same text as in store.py.
local function identity(moment)
  return moment[CLOCK] .. ':' .. moment[SHARE] .. ':' .. whole(moment[VERSION])
end

local function set_of(list)
  local set = {}
  for _, member in ipairs(list) do
    set[member] = true
  end
  return set
end

-- When the plan's first moment comes that has not fired (nil: none), and how many of its clocks stand.
local function outlook(plan)
  local fired = #plan[FIRED] > 0 and set_of(plan[FIRED])
  local first, standing = nil, 0
  for _, moment in ipairs(plan[MOMENTS]) do
    if not (fired and fired[identity(moment)]) then
      if moment[SHARE] == '1' then
        standing = standing + 1
      end
      if not first or moment[AT_MS] < first then
        first = moment[AT_MS]
      end
    end
  end
  return first, standing
end

-- The only place that changes a case: from the plan `old` (nil: there was none) to `new` (nil: it leaves).
-- `packed` is `new` as MessagePack where the caller has it.
local function put(case_id, old, new, packed)
  local first, standing, stood = nil, 0, 0
  if old then
    stood = select(2, outlook(old))
  end
  if new then
    first, standing = outlook(new)
  end
  if first then
    redis.call('ZADD', DUE, whole(first), case_id)
  elseif old then
    redis.call('ZREM', DUE, case_id)
  end
  if standing ~= stood then
    redis.call('HINCRBY', META, 'standing', standing - stood)
  end
  if new then
    redis.call('HSET', PLAN, case_id, packed or cmsgpack.pack(new))
  elseif old then
    redis.call('HDEL', PLAN, case_id)
  end
end

local function standing_clocks()
  return tonumber(redis.call('HGET', META, 'standing') or '0')
end
