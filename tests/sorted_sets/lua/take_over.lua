-- A new owner: every earlier one is FENCED from here on.
--
-- KEYS    meta, due, plan
-- ARGV    none
-- result  {epoch, next offset or nil, next deadline or nil, standing clocks, Redis' time in ms}
-- writes  meta
-- cost    O(1)
--
-- The epoch is a time as well as a counter, so that it grows even where Redis has lost the last one.
local now = redis_ms()
local epoch = math.max(tonumber(redis.call('HGET', META, 'epoch') or '0') + 1, now)
redis.call('HSET', META, 'epoch', whole(epoch))
local stored = redis.call('HMGET', META, 'next', 'deadlines')
return {epoch, stored[1] and tonumber(stored[1]), stored[2] and tonumber(stored[2]), standing_clocks(), now}
