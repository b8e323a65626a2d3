-- The entries of some cases, for whoever looks.
--
-- KEYS    meta
-- ARGV    case_id, ...
-- result  {{place, ...}, {name, ...}, entry or nil, ...}
-- writes  nothing
-- cost    O(cases + places + names)
local result = {redis.call('LRANGE', PLACES, 0, -1), redis.call('LRANGE', NAMES, 0, -1)}
for _, case_id in ipairs(ARGV) do
  result[#result + 1] = entry_of(case_id)
end
return result
