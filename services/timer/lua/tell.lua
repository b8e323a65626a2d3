-- What the owner does now, for whoever looks.
--
-- KEYS    meta
-- ARGV    epoch.writes, next offsets of cases and deadlines, what it does (words)
-- result  {}; error FENCED or ELSEWHERE
-- writes  meta
-- cost    O(1)
local refusal = refused()
if refusal then
  return refusal
end
-- With the epoch: what a former owner did says nothing about the shard any more.
redis.call('HSET', META, 'doing', string.match(ARGV[1], '%d+') .. ' ' .. ARGV[4])
return {}
