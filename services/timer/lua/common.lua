-- Put before each of the other scripts. KEYS[1] is the shard's meta; its other keys are made from that name,
-- so all have its hash tag:
--
-- meta      hash  epoch      of the newest owner
--                 cases      offset of the first case record that is not applied yet
--                 deadlines  offset of the first deadline that the entries may not know of
--                 standing   clocks that run and whose own end has not fired
--                 opened     windows below this number are open
--                 written    Redis' time in ms of the last write
--                 writes     a number that grows with each write.lua, so that none can be lost unseen
--                 writing    there while write.lua is at work
--                 layout     of these keys
--                 doing      what the owner of an epoch does: the epoch, and words
-- case:<n>  hash  case_id -> entry (services/timer/entry.py), in pieces of at most 64 bytes: the further ones
--                 are fields of their own, case_id .. NUL .. number
-- near      zset  case_id -> epoch ms of its first moment that has not fired; of open windows
-- far:<w>   hash  case_id -> ms of that moment within window w; of windows that are not open
-- windows   zset  w -> w, for each far:<w> that there is
-- places    list  what entries name by number: site and desk
-- names     list  the same: clock, share, event
--
-- A case with a moment to come is in exactly one place, near or far:<w>, by its time and `opened` alone; only
-- while a window is being opened, in calls of bounded work, some of its cases are still in far:<w>.
-- A case that has no moment to come has an entry and no place: its revision and what fired must stay.
local META = KEYS[1]
local BASE = string.sub(META, 1, -5)
local NEAR, WINDOWS = BASE .. 'near', BASE .. 'windows'
local PLACES, NAMES = BASE .. 'places', BASE .. 'names'
-- Raise it with any change to keys or entries: a shard of another layout is built anew.
local LAYOUT = '4'
-- 17 minutes. A far:<w> has some 100 cases where 250,000 of a shard are spread over a month.
local WINDOW_MS = 1048576
-- Windows are opened a minute before they begin, so nobody waits for that.
local AHEAD_MS = 60000
-- How many case:<n> there are: a prime, so that any kind of id spreads. A hash of up to 512 stays in one piece
-- and is searched from its start, so many small ones are faster than few.
local ENTRIES = 4093
local PIECE = 64

-- Lua's own tostring turns epoch ms of the far future into 1e+14.
local function whole(number)
  return string.format('%.0f', number)
end

local function redis_ms()
  local time = redis.call('TIME')
  return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- Why the caller may not go on, as an error to return; false if it may. ARGV[1] is its epoch, a dot, and
-- `writes` as it knows it; ARGV[2] and [3] are the offsets that it wrote or read last ('' for none). A newer
-- epoch than the stored one is adopted: Redis may have lost the take-over. Anything else that differs means that
-- it has lost more, or that somebody else writes.
local function refused()
  local stored = redis.call('HMGET', META, 'epoch', 'cases', 'deadlines', 'writes')
  local own_epoch, own_writes = string.match(ARGV[1], '(%d+)%.(%d+)')
  local epoch = stored[1] or '0'
  if tonumber(own_epoch) < tonumber(epoch) then
    return redis.error_reply('FENCED a newer owner, of epoch ' .. epoch .. ', has taken over')
  end
  local held = table.concat({stored[2] or '', stored[3] or '', stored[4] or ''}, ' ')
  local known = table.concat({ARGV[2], ARGV[3], own_writes}, ' ')
  if known ~= held then
    return redis.error_reply(
      'ELSEWHERE the next offsets and the writes are "' .. held .. '", not "' .. known .. '"'
    )
  end
  if own_epoch ~= epoch then
    redis.call('HSET', META, 'epoch', own_epoch)
  end
  return false
end

local function opened()
  return tonumber(redis.call('HGET', META, 'opened') or '0')
end

local function window_of(at_ms)
  return math.floor(at_ms / WINDOW_MS)
end

local function far(window)
  return BASE .. 'far:' .. whole(window)
end

local function entries_of(case_id)
  return BASE .. 'case:' .. struct.unpack('>I4', string.sub('\0\0\0\0' .. case_id, -4)) % ENTRIES
end

-- The entry of a case; false: it has none.
local function entry_of(case_id)
  local key = entries_of(case_id)
  local entry = redis.call('HGET', key, case_id)
  local piece, number = entry, 0
  while piece and #piece == PIECE do
    number = number + 1
    piece = redis.call('HGET', key, case_id .. '\0' .. number)
    entry = entry .. (piece or '')
  end
  return entry
end

-- Everything but the epoch, from which the writes are counted anew: so no other life of the shard has the same
-- number. The work is O(keys), some thousands; Redis frees the memory beside its other work.
local function forget(epoch)
  for _, window in ipairs(redis.call('ZRANGE', WINDOWS, 0, -1)) do
    redis.call('UNLINK', far(tonumber(window)))
  end
  for number = 0, ENTRIES - 1 do
    redis.call('UNLINK', BASE .. 'case:' .. number)
  end
  redis.call('UNLINK', NEAR, WINDOWS, PLACES, NAMES)
  redis.call('HDEL', META, 'cases', 'deadlines', 'standing', 'opened', 'written', 'writing', 'doing')
  redis.call('HSET', META, 'writes', epoch)
end
