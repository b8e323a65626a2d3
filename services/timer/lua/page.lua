-- The entries of all cases, a part at a time, for whoever looks.
--
-- KEYS    meta
-- ARGV    where to begin (0: at the beginning), how many entries make a part
-- result  {where the next part begins (nil: that was the last), {place, ...}, {name, ...}, {case_id, entry, ...}}
-- writes  nothing
-- cost    O(entries + those of one hash + places + names); of empty hashes 500 at most
--
-- A case that is there all the time is given once.
local at, result = tonumber(ARGV[1]), {}
local looked = 0
while at < ENTRIES and #result < 2 * tonumber(ARGV[2]) and looked < 500 do
  local found = redis.call('HGETALL', BASE .. 'case:' .. at)
  for i = 1, #found, 2 do
    -- The further pieces of long entries are fields of their own.
    if not string.find(found[i], '\0', 1, true) then
      result[#result + 1] = found[i]
      result[#result + 1] = #found[i + 1] < PIECE and found[i + 1] or entry_of(found[i])
    end
  end
  at, looked = at + 1, looked + 1
end
return {
  at < ENTRIES and at or false, redis.call('LRANGE', PLACES, 0, -1), redis.call('LRANGE', NAMES, 0, -1),
  result,
}
