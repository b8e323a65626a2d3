-- A new owner: every earlier one is FENCED from here on.
--
-- KEYS    meta, due, plan
-- ARGV    none
-- result  {epoch, next offset or nil, standing clocks, Redis' time in ms}
-- writes  meta
-- cost    O(1)
--
-- The epoch is a time as well as a counter, so that it grows even where Redis has lost the last one.
local now = redis_ms()
local epoch = math.max(tonumber(redis.call('HGET', META, 'epoch') or '0') + 1, now)
redis.call('HSET', META, 'epoch', whole(epoch))
local next_offset = redis.call('HGET', META, 'next')
return {epoch, next_offset and tonumber(next_offset), standing_clocks(), now}
