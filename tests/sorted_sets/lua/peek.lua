-- The case whose moment comes first, for whoever looks.
--
-- KEYS    meta, due, plan
-- ARGV    none: it may be asked without owning the shard, for it changes nothing
-- result  {case_id, plan}; {} where no moment is to come
-- writes  nothing
-- cost    O(log cases)
local case_id = redis.call('ZRANGE', DUE, 0, 0)[1]
local plan = case_id and redis.call('HGET', PLAN, case_id)
if not plan then
  return {}
end
return {case_id, plan}
