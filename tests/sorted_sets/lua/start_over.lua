-- Forget the shard, but for its epoch: what it holds is of a log that is no more.
--
-- KEYS    meta, due, plan
-- ARGV    epoch, held offsets
-- result  {}; error FENCED or ELSEWHERE
-- writes  meta, due, plan
-- cost    O(1); Redis frees the memory beside its other work
local refusal = refused()
if refusal then
  return refusal
end
redis.call('UNLINK', DUE, PLAN)
redis.call('HDEL', META, 'next', 'deadlines', 'standing')
return {}
