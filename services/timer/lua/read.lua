-- The entries of cases that are about to change.
--
-- KEYS    meta
-- ARGV    epoch.writes, next offsets of cases and deadlines, the case_ids, each behind its length (2 bytes)
-- result  {entry or nil, ...}; error FENCED or ELSEWHERE
-- writes  nothing
-- cost    O(cases)
--
-- What is read here is still so when it is written: the shard has one owner, and write.lua refuses any other.
local refusal = refused()
if refusal then
  return refusal
end
local found, packed, at = {}, ARGV[4], 1
while at <= #packed do
  local case_id
  case_id, at = struct.unpack('>I2c0', packed, at)
  found[#found + 1] = entry_of(case_id)
end
return found
