-- The entries of all cases, a part at a time, for whoever looks.
--
-- KEYS    meta
-- ARGV    where to begin (0: at the beginning), how many entries make a part
-- result  {where the next part begins (nil: that was the last), {place, ...}, {name, ...}, {case_id, entry, ...}}
-- writes  nothing
-- cost    O(entries + those of one hash + places + names); of empty hashes 500 at most
--
-- A case that is there all the time is given once.
local at, result, looked = tonumber(ARGV[1]), {}, 0
while at < ENTRIES and #result < 2 * tonumber(ARGV[2]) and looked < 500 do
  local found, pieces = redis.call('HGETALL', BASE .. 'case:' .. at), {}
  for i = 1, #found, 2 do
    pieces[found[i]] = found[i + 1]
  end
  for i = 1, #found, 2 do
    local case_id = found[i]
    -- The further pieces of long entries are fields of their own.
    if not string.find(case_id, '\0', 1, true) then
      local piece, entry, number = found[i + 1], found[i + 1], 0
      while piece and #piece == PIECE do
        number = number + 1
        piece = pieces[case_id .. '\0' .. number]
        entry = entry .. (piece or '')
      end
      result[#result + 1] = case_id
      result[#result + 1] = entry
    end
  end
  at, looked = at + 1, looked + 1
end
return {
  at < ENTRIES and at or false, redis.call('LRANGE', PLACES, 0, -1), redis.call('LRANGE', NAMES, 0, -1),
  result,
}
