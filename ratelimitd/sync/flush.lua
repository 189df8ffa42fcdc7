-- One node's part of the counts of one shard goes in, everyone else's comes out.
--
-- KEYS: the shard's generation; then a hash for each group.
-- ARGV: the node's id; a text for a new generation; how long it lives (ms); then for each group when its hash expires (ms since the
-- epoch) and its records.
-- A record is 24 bytes: 16 of digest, u16 incarnation, u16 flags (1: drop this node's other parts, 2: drop all parts), u32 hits.
-- A value is 10 bytes a part: u32 node, u16 incarnation, u32 hits. All little-endian.
-- Returns the generation, how often it was flushed, and for each group a u32 a record: the hits of all other parts.
--
-- A node sends absolute counts and only ever raises its own part, so a call may come twice, late or out of order.
local RECORD, PART, CHUNK, MOST = 24, 10, 1000, 4294967295
-- Redis keeps a hash of up to 512 short values as a list and searches it from end to end. One long value makes it a table.
local MANY, FILLER = 32, string.rep('.', 65)
local node = tonumber(ARGV[1])

local flushes = redis.call('HINCRBY', KEYS[1], 'flushes', 1)
if flushes == 1 then redis.call('HSET', KEYS[1], 'text', ARGV[2]) end
redis.call('PEXPIRE', KEYS[1], ARGV[3])
local answer = {redis.call('HGET', KEYS[1], 'text'), flushes}

-- The value without the parts that a reset drops.
local function prune(value, everyone)
  if everyone then return '' end
  local kept = {}
  for at = 1, #value, PART do
    if struct.unpack('<I4', value, at) ~= node then kept[#kept + 1] = string.sub(value, at, at + PART - 1) end
  end
  return table.concat(kept)
end

local function exchange(key, records, first, last)
  local digests, count = {}, 0
  for at = first, last, RECORD do
    count = count + 1
    digests[count] = string.sub(records, at, at + 15)
  end
  local values = redis.call('HMGET', key, unpack(digests))
  local fresh, writes, others = {}, {}, {}
  local at = first + 16
  for i = 1, count do
    local digest = digests[i]
    local incarnation, flags, hits = struct.unpack('<I2I2I4', records, at)
    at = at + RECORD
    local old = fresh[digest] or values[i] or ''
    local value = old
    if flags % 4 ~= 0 then value = prune(value, flags % 4 >= 2) end
    local sum, mine = 0, nil
    for part = 1, #value, PART do
      local owner, life, known = struct.unpack('<I4I2I4', value, part)
      if owner == node and life == incarnation then
        mine = part
        if known > hits then hits = known end
      else
        sum = sum + known
      end
    end
    if mine then
      value = string.sub(value, 1, mine + 5) .. struct.pack('<I4', hits) .. string.sub(value, mine + PART)
    elseif hits > 0 then
      value = value .. struct.pack('<I4I2I4', node, incarnation, hits)
    end
    if value ~= old then fresh[digest] = value end
    others[i] = struct.pack('<I4', sum < MOST and sum or MOST)
  end
  if count >= MANY and next(fresh) then fresh[''] = FILLER end
  for digest, value in pairs(fresh) do
    writes[#writes + 1] = digest
    writes[#writes + 1] = value
  end
  if #writes > 0 then redis.call('HSET', key, unpack(writes)) end
  return table.concat(others), #writes > 0
end

for group = 2, #KEYS do
  local expires, records = ARGV[2 * group], ARGV[2 * group + 1]
  local others, written = {}, false
  for first = 1, #records, CHUNK * RECORD do
    local wrote
    others[#others + 1], wrote = exchange(KEYS[group], records, first, math.min(#records, first + CHUNK * RECORD - 1))
    written = written or wrote
  end
  if written then redis.call('PEXPIREAT', KEYS[group], expires) end
  answer[#answer + 1] = table.concat(others)
end
return answer
