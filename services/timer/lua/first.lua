-- The cases of open windows whose moments come first, and the windows that begin first, for whoever looks.
--
-- KEYS    meta
-- ARGV    at most so many of each
-- result  {{case_id, ms, ...}, {start of a window in ms, ...}}
-- writes  nothing
-- cost    O(limit)
local last = tonumber(ARGV[1]) - 1
local starts = redis.call('ZRANGE', WINDOWS, 0, last)
for i, window in ipairs(starts) do
  starts[i] = whole(tonumber(window) * WINDOW_MS)
end
return {redis.call('ZRANGE', NEAR, 0, last, 'WITHSCORES'), starts}
