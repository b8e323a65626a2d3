-- The cases whose next moment has come and lies in a range of time, the earliest first.
--
-- KEYS    meta, due, plan
-- ARGV    epoch, held offsets, at most so many cases, the range in ms: from, and up to but without ('' for no bound), now in
--         ms ('' for Redis' time; tests give another)
-- result  {now in ms, earliest due time of the shard or nil, of the range or nil, case_id, plan, case_id, plan, ...};
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
local from, to, now = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6]) or redis_ms()
local lowest, highest = from and whole(from) or '-inf', to and '(' .. whole(to) or '+inf'
local first_ms = tonumber(redis.call('ZRANGE', DUE, 0, 0, 'WITHSCORES')[2])
local next_ms = tonumber(redis.call('ZRANGEBYSCORE', DUE, lowest, highest, 'WITHSCORES', 'LIMIT', 0, 1)[2])
local result = {now, first_ms or false, next_ms or false}
if not to or now < to then
  highest = whole(now)
end
local case_ids = redis.call('ZRANGEBYSCORE', DUE, lowest, highest, 'LIMIT', 0, tonumber(ARGV[3]))
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
