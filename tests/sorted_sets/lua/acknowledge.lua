-- What was claimed has been published: mark it as fired and find each case's next moment.
--
-- KEYS    meta, due, plan
-- ARGV    epoch, held offsets, next deadline ('': as before), then for each case: case_id, MessagePack array of the identities that fired
-- result  {standing clocks}; error FENCED or ELSEWHERE
-- writes  meta, due, plan
-- cost    O(cases x (log cases + moments))
local refusal = refused()
if refusal then
  return refusal
end
for i = 4, #ARGV, 2 do
  local case_id = ARGV[i]
  local stored = redis.call('HGET', PLAN, case_id)
  if stored then
    -- Unpacked twice: put() compares the plan before with the plan after.
    local old, new = cmsgpack.unpack(stored), cmsgpack.unpack(stored)
    for _, name in ipairs(cmsgpack.unpack(ARGV[i + 1])) do
      table.insert(new[FIRED], name)
    end
    put(case_id, old, new)
  end
end
if ARGV[3] ~= '' then
  redis.call('HSET', META, 'deadlines', ARGV[3])
end
return {standing_clocks()}
