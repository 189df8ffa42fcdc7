-- What one node wants to be granted of the limits of one shard goes in, what it gets comes out. Grants count against a limit, hits do not.
--
-- KEYS: three for each group: the hashes of its span, of the span before and of the span after.
-- ARGV: the node's id; a number that is higher in every call of the node for this shard; then for each group when its hash expires (ms since
-- the epoch), its window (ms), the number of its span, 1 when those two count (sliding windows) or 0, and its records.
-- A record is 32 bytes: 16 of digest, u16 incarnation, u16 flags (as in flush.lua), u32 held, u32 wanted, u32 the limit.
-- A value is 14 bytes a part: u32 node, u16 incarnation, u32 granted, u32 number of the call. All little-endian.
-- Returns for each group two u32 a record: what this node is granted, and what all others are.
--
-- held is what the node may spend at any time: it is never granted less, also after the store forgot it. A call that comes late, after a
-- higher one, changes nothing: it could take away what was granted since.
local RECORD, PART, CHUNK, MOST = 32, 14, 1000, 4294967295
local node, call = tonumber(ARGV[1]), tonumber(ARGV[2])
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)

local function granted(value)
  local sum = 0
  for at = 1, #value, PART do sum = sum + struct.unpack('<I4', value, at + 6) end
  return sum
end

local function grant(value, incarnation, flags, held, wanted, room)
  local kept, others, known, late = {}, 0, false, nil
  for at = 1, #value, PART do
    local owner, life, amount, number = struct.unpack('<I4I2I4I4', value, at)
    if owner == node and life == incarnation then
      known = true
      if number >= call then late = amount end
    elseif flags % 4 < 2 and not (flags % 4 == 1 and owner == node) then
      others = others + amount
      kept[#kept + 1] = string.sub(value, at, at + PART - 1)
    end
  end
  if late then return value, late, others end
  local amount = math.max(held, math.min(wanted, room - others))
  if amount > 0 or known then kept[#kept + 1] = struct.pack('<I4I2I4I4', node, incarnation, amount, call) end
  return table.concat(kept), amount, others
end

local function exchange(keys, window, number, weighted, records, first, last)
  local digests, answers, writes = {}, {}, {}
  for at = first, last, RECORD do digests[#digests + 1] = string.sub(records, at, at + 15) end
  local values = redis.call('HMGET', keys[1], unpack(digests))
  local befores = weighted and redis.call('HMGET', keys[2], unpack(digests)) or {}
  local afters = weighted and redis.call('HMGET', keys[3], unpack(digests)) or {}
  local left = math.max(0, math.min(window, (number + 1) * window - now))
  local at = first + 16
  for i = 1, #digests do
    local incarnation, flags, held, wanted, limit = struct.unpack('<I2I2I4I4I4', records, at)
    at = at + RECORD
    -- When the span after begins, all of this one is still in the window.
    local room = limit - (afters[i] and granted(afters[i]) or 0)
    if befores[i] then room = room - math.ceil(granted(befores[i]) * left / window) end
    local value, amount, others = grant(values[i] or '', incarnation, flags, held, wanted, room)
    if value ~= (values[i] or '') then
      writes[#writes + 1] = digests[i]
      writes[#writes + 1] = value
    end
    answers[i] = struct.pack('<I4I4', amount, math.min(others, MOST))
  end
  if #writes > 0 then redis.call('HSET', keys[1], unpack(writes)) end
  return table.concat(answers), #writes > 0
end

local answer = {}
for group = 1, #KEYS / 3 do
  local at = 5 * group - 2
  local expires, window, number, weighted, records = ARGV[at], tonumber(ARGV[at + 1]), tonumber(ARGV[at + 2]), ARGV[at + 3] == '1', ARGV[at + 4]
  local keys = {KEYS[3 * group - 2], KEYS[3 * group - 1], KEYS[3 * group]}
  local answers, written = {}, false
  for first = 1, #records, CHUNK * RECORD do
    local wrote
    answers[#answers + 1], wrote =
      exchange(keys, window, number, weighted, records, first, math.min(#records, first + CHUNK * RECORD - 1))
    written = written or wrote
  end
  if written then redis.call('PEXPIREAT', keys[1], expires) end
  answer[group] = table.concat(answers)
end
return answer
