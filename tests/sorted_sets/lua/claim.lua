-- The cases of which a moment has come, the earliest first.
--
-- KEYS    meta, due, plan
-- ARGV    epoch, held offsets, at most so many cases, now in ms ('' for Redis' time; tests give another)
-- result  {now in ms, earliest due time of the shard or nil, case_id, plan, case_id, plan, ...};
--         error FENCED or ELSEWHERE
-- writes  due, only to drop an entry that has no plan
-- cost    O(log cases + claimed)
--
-- Nothing is marked as in flight: the shard has one owner, and what it claims and does not acknowledge is
-- still due, so it is simply claimed again, by it or by its successor.
local refusal = refused()
if refusal then
  return refusal
end
local now = tonumber(ARGV[4]) or redis_ms()
local first = redis.call('ZRANGE', DUE, 0, 0, 'WITHSCORES')[2]
local result = {now, first and tonumber(first) or false}
local case_ids = redis.call('ZRANGEBYSCORE', DUE, '-inf', whole(now), 'LIMIT', 0, tonumber(ARGV[3]))
if #case_ids == 0 then
  return result
end
-- unpack() is limited by Lua's stack, some thousands: the limit in ARGV is far below.
local plans = redis.call('HMGET', PLAN, unpack(case_ids))
for i, case_id in ipairs(case_ids) do
  if plans[i] then
    result[#result + 1] = case_id
    result[#result + 1] = plans[i]
  else
    redis.call('ZREM', DUE, case_id)
  end
end
return result
