-- Forget the shard, but for its epoch: it is to be built anew from the log.
--
-- KEYS    meta
-- ARGV    epoch.writes, next offsets of cases and deadlines
-- result  {}; error FENCED or ELSEWHERE
-- writes  all
-- cost    O(keys), some thousands
local refusal = refused()
if refusal then
  return refusal
end
forget(string.match(ARGV[1], '%d+'))
return {}
