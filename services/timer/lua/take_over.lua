-- A new owner: every earlier one is FENCED from here on.
--
-- KEYS    meta
-- ARGV    none
-- result  {epoch, next offset of the cases or nil, of the deadlines or nil, standing clocks, Redis' time in ms,
--         time of the last write in ms or nil, writes, {place, ...}, {name, ...}}
-- writes  meta; where there is no offset, or it is not as it must be, all
-- cost    O(places + names), or O(keys)
--
-- The epoch is a time as well as a counter, so that it grows even where Redis has lost the last one.
local now = redis_ms()
local epoch = math.max(tonumber(redis.call('HGET', META, 'epoch') or '0') + 1, now)
redis.call('HSET', META, 'epoch', whole(epoch))
-- Without an offset, or of another layout, the shard is built anew, from nothing; also where a script that
-- writes has died half-way. The first layout kept its own as `next`, beside a sorted set and a hash: its shard
-- is built anew, and ours where an instance of that version owned it between.
local found = redis.call('HMGET', META, 'layout', 'cases', 'writing', 'next')
if found[1] ~= LAYOUT or not found[2] or found[3] or found[4] then
  forget(whole(epoch))
  redis.call('HSET', META, 'layout', LAYOUT)
  redis.call('UNLINK', BASE .. 'due', BASE .. 'plan')
  redis.call('HDEL', META, 'next')
end
local stored = redis.call('HMGET', META, 'cases', 'deadlines', 'standing', 'written', 'writes')
local function number(text)
  return text and tonumber(text)
end
return {
  epoch, number(stored[1]), number(stored[2]), tonumber(stored[3] or '0'), now, number(stored[4]),
  number(stored[5]),
  redis.call('LRANGE', PLACES, 0, -1), redis.call('LRANGE', NAMES, 0, -1),
}
