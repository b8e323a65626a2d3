-- The case whose moment comes first, for whoever looks.
--
-- KEYS    meta
-- ARGV    none: it may be asked without owning the shard, for it changes nothing
-- result  {case_id, entry, {place, ...}, {name, ...}}; {} where no moment is to come
-- writes  nothing
-- cost    O(cases of the first window + places + names)
local first = redis.call('ZRANGE', NEAR, 0, 0, 'WITHSCORES')
local case_id, at_ms = first[1], tonumber(first[2])
local window = tonumber(redis.call('ZRANGE', WINDOWS, 0, 0)[1])
if window and (not case_id or window < opened()) then
  local found = redis.call('HGETALL', far(window))
  for i = 1, #found, 2 do
    local comes_ms = window * WINDOW_MS + tonumber(found[i + 1])
    if not at_ms or comes_ms < at_ms then
      case_id, at_ms = found[i], comes_ms
    end
  end
end
local entry = case_id and entry_of(case_id)
if not entry then
  return {}
end
return {case_id, entry, redis.call('LRANGE', PLACES, 0, -1), redis.call('LRANGE', NAMES, 0, -1)}
