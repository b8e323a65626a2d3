-- Forget a shard that is being served: its owner notices, takes it over anew, and builds it anew from the log.
--
-- KEYS    meta
-- ARGV    none: whoever wants it may ask for it
-- result  {epoch} of the owner that was serving; {} where none is: then nothing is forgotten
-- writes  all but the epoch
-- cost    O(keys), some thousands
--
-- Only of one that is served: its owner knows an offset, so its next script is refused (ELSEWHERE). One that
-- builds it anew just now may know none yet, and would go on as if what it wrote were there.
local stored = redis.call('HMGET', META, 'epoch', 'cases', 'doing')
if not stored[1] or not stored[2] or stored[3] ~= stored[1] .. ' serving' then
  return {}
end
forget(stored[1])
return {tonumber(stored[1])}
