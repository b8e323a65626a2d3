-- How a shard stands, for whoever looks.
--
-- KEYS    meta
-- ARGV    none: it may be asked without owning the shard, for it changes nothing
-- result  {epoch, next offset of the cases or nil, of the deadlines or nil, standing clocks, time of the last
--         write in ms or nil, what its owner does (tell.lua) or nil, Redis' time in ms}
-- writes  nothing
-- cost    O(1)
local stored = redis.call('HMGET', META, 'epoch', 'cases', 'deadlines', 'standing', 'written', 'doing')
local function number(text)
  return text and tonumber(text)
end
return {
  tonumber(stored[1] or '0'), number(stored[2]), number(stored[3]), tonumber(stored[4] or '0'), number(stored[5]),
  stored[6], redis_ms(),
}
