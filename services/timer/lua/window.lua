-- Some of the cases of a window, for whoever looks.
--
-- KEYS    meta
-- ARGV    start of the window in ms, cursor ('0': from its beginning), about so many
-- result  {next cursor ('0': that was all), {case_id, ms, ...}}
-- writes  nothing
-- cost    O(limit)
local start = tonumber(ARGV[1])
local cursor, found = unpack(redis.call('HSCAN', far(window_of(start)), ARGV[2], 'COUNT', ARGV[3]))
for i = 2, #found, 2 do
  found[i] = whole(start + tonumber(found[i]))
end
return {cursor, found}
