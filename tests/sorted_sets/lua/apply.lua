-- Apply what one read of the case records says, and the offset that it leads to.
--
-- KEYS    meta, due, plan
-- ARGV    epoch, held offsets, next offset, then for each change:
--           case_id, revision ('' for a tombstone), plan as MessagePack ('' where the case leaves)
-- result  {standing clocks}; error FENCED or ELSEWHERE
-- writes  meta, due, plan
-- cost    O(changes x (log cases + moments))
--
-- A revision that is not above the stored one changes nothing. What has fired stays fired over revisions.
-- The offset comes last: if the script dies before, everything is applied again, to the same end.
local refusal = refused()
if refusal then
  return refusal
end
local before = redis.call('HGET', META, 'next')
if tonumber(ARGV[3]) < tonumber(before or '0') then
  return redis.error_reply('ELSEWHERE offset ' .. before .. ' does not move back to ' .. ARGV[3])
end

for i = 4, #ARGV, 3 do
  local case_id, revision, packed = ARGV[i], ARGV[i + 1], ARGV[i + 2]
  local stored = redis.call('HGET', PLAN, case_id)
  local old = stored and cmsgpack.unpack(stored) or nil
  if not old or revision == '' or tonumber(revision) > old[REVISION] then
    if packed == '' then
      put(case_id, old, nil)
    else
      local new = cmsgpack.unpack(packed)
      if old and #old[FIRED] > 0 then
        new[FIRED] = old[FIRED]
        packed = nil
      end
      put(case_id, old, new, packed)
    end
  end
end
redis.call('HSET', META, 'next', ARGV[3])
return {standing_clocks()}
