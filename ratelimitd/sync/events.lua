-- What happened to keys, told to every node: the latest account of each, and in what order they came.
--
-- KEYS: accounts (hash: id -> rank and body; "text", "last"), order (zset: id by number), ends (zset: id by the ms when nobody needs it).
-- ARGV: the text that the caller knows, a fresh one, the last number it has heard, now (ms), how many it takes, how many are kept,
-- then for each account: id, rank, end, body. Of two accounts of one id that of the higher rank is kept. A rank is 40 digits.
-- Reply: text, last number of those that follow, 1 if there are more, bodies. Who knows another text, or a number that was
-- never given out, hears everything from the start.
local accounts, order, ends = KEYS[1], KEYS[2], KEYS[3]
local now, take, most = tonumber(ARGV[4]), tonumber(ARGV[5]), tonumber(ARGV[6])
local RANK, KEEP, GRACE, TRIM = 40, 86400000, 60000, 200

local text = redis.call('HGET', accounts, 'text')
if not text then
  text = ARGV[2]
  redis.call('HSET', accounts, 'text', text)
end

local function forget(ids)
  if #ids > 0 then
    redis.call('HDEL', accounts, unpack(ids))
    redis.call('ZREM', order, unpack(ids))
    redis.call('ZREM', ends, unpack(ids))
  end
end

for at = 7, #ARGV, 4 do
  local id, rank = ARGV[at], ARGV[at + 1]
  local known = redis.call('HGET', accounts, id)
  if not known or rank > string.sub(known, 1, RANK) then
    redis.call('HSET', accounts, id, rank .. ARGV[at + 3])
    redis.call('ZADD', order, redis.call('HINCRBY', accounts, 'last', 1), id)
    redis.call('ZADD', ends, ARGV[at + 2], id)
  end
end

forget(redis.call('ZRANGEBYSCORE', ends, '-inf', ARGV[4], 'LIMIT', 0, TRIM))
local spare = redis.call('ZCARD', ends) - most
if spare > 0 then
  forget(redis.call('ZRANGE', ends, 0, math.min(spare, TRIM) - 1))
end

if #ARGV > 6 or redis.call('PTTL', accounts) < KEEP / 2 then
  local longest = redis.call('ZREVRANGE', ends, 0, 0, 'WITHSCORES')
  local at = string.format('%.0f', math.max(now + KEEP, tonumber(longest[2] or 0) + GRACE))
  for _, key in ipairs(KEYS) do
    redis.call('PEXPIREAT', key, at)
  end
end

local heard = tonumber(ARGV[3])
local last = tonumber(redis.call('HGET', accounts, 'last') or 0)
if ARGV[1] ~= text or heard > last then
  heard = 0
end
local found = redis.call('ZRANGEBYSCORE', order, '(' .. string.format('%.0f', heard), '+inf', 'WITHSCORES', 'LIMIT', 0, take)
local reply = {text, string.format('%.0f', last), 0}
if #found == 0 then
  return reply
end
if #found == 2 * take then
  reply[2], reply[3] = found[#found], 1
end
local ids = {}
for at = 1, #found, 2 do
  ids[#ids + 1] = found[at]
end
for _, account in ipairs(redis.call('HMGET', accounts, unpack(ids))) do
  if account then
    reply[#reply + 1] = string.sub(account, RANK + 1)
  end
end
return reply
