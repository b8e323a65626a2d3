-- The entries of cases that are about to change.
--
-- KEYS    meta
-- ARGV    epoch, next offsets of cases and deadlines, then each case_id
-- result  {entry or nil, ...}; error FENCED or ELSEWHERE
-- writes  nothing
-- cost    O(cases)
--
-- What is read here is still so when it is written: the shard has one owner, and write.lua refuses any other.
local refusal = refused()
if refusal then
  return refusal
end
local found = {}
for i = 4, #ARGV do
  found[i - 3] = entry_of(ARGV[i])
end
return found
