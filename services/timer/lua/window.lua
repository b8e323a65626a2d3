-- Some of the cases of a window, for whoever looks.
--
-- KEYS    meta
-- ARGV    start of the window in ms, cursor ('0': from its beginning), about so many, none that come later than
--         this in ms ('' for no bound)
-- result  {next cursor ('0': that was all), {case_id, ms, ...}}
-- writes  nothing
-- cost    O(limit)
local start, last, result = tonumber(ARGV[1]), tonumber(ARGV[4]), {}
local cursor, found = unpack(redis.call('HSCAN', far(window_of(start)), ARGV[2], 'COUNT', ARGV[3]))
for i = 1, #found, 2 do
  local at_ms = start + tonumber(found[i + 1])
  if not last or at_ms <= last then
    result[#result + 1] = found[i]
    result[#result + 1] = whole(at_ms)
  end
end
return {cursor, result}
