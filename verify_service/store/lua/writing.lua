-- writing: a call reads, computes and packs first, and writes last, all at once: an error in it leaves nothing behind.
-- What it writes waits here, in order. So every function of a verification writes by these, and reads strings by them:
-- they see what waits. What is written by type rather than by SET or DEL has been read by type before, in the same
-- call.

-- `writes` are commands, `queued` what goes into the outbox: {handle, stream, field, value, …}; `sets` has by key the
-- SET of a string as it will stand, false where there will be none; `records` what the packed ones of them say; `named`
-- has by SET those that name an entry of the outbox: {handle, tail}.
local writes, queued, sets, records, named, known = {}, {}, {}, {}, {}, {}

local function discard()
  if writes[1] or queued[1] or next(records) or next(known) then
    writes, queued, sets, records, named, known = {}, {}, {}, {}, {}, {}
  end
end

local function write(...) writes[#writes + 1] = {...} end

local function get(key)
  local set = sets[key]
  if set ~= nil then return set and set[3] end
  return redis.call('GET', key)
end

local function mget(keys)
  local found = redis.call('MGET', unpack(keys))
  if next(sets) then
    for i, key in ipairs(keys) do
      local set = sets[key]
      if set ~= nil then found[i] = set and set[3] end
    end
  end
  return found
end

-- `life` is in milliseconds, nil where the key keeps the one it has.
local function put(key, value, life)
  -- Of what the server would refuse: it would be too late then.
  if life and not (life >= 1 and life < 1e15 and life % 1 == 0) then error('no life of a key: ' .. tostring(life)) end
  local set = sets[key]
  if set then
    set[3] = value
    if life then set[4], set[5] = 'PX', life end
  else
    set = life and {'SET', key, value, 'PX', life} or {'SET', key, value, 'KEEPTTL'}
    sets[key], writes[#writes + 1] = set, set
  end
  return set
end

local function remove(key)
  sets[key] = false
  write('DEL', key)
end

-- Has an error come now where a key is of another type than `command`, which reads it, is for.
local function of_type(command, key)
  if known[key] then return end
  redis.call(command, key)
  known[key] = true
end

-- The same for a string that says what `record` does. Where it is to name an entry that is only queued yet, `entry` is
-- what `queue` answered: its name comes behind `packed`, and `tail` behind that.
local function put_record(key, record, packed, life, entry, tail)
  local set = put(key, packed, life)
  named[set] = entry and {entry, tail}
  records[key] = record
end

-- The record that was put under a key in this call, or nil.
local function record_at(key) return records[key] end

-- Queues an entry for a stream. Answers what is its name later; `put_record` takes it.
local function queue(stream, ...)
  local handle = {}
  queued[#queued + 1] = {handle, stream, ...}
  return handle
end

-- Writes all that waits. The outbox comes first, because it says what a record is to name: an entry's `tail` is what
-- stands in the record behind it.
local function flush()
  for _, entry in ipairs(queued) do entry[1].entry = redis.call('XADD', entry[2], '*', unpack(entry, 3)) end
  for set, entry in pairs(named) do set[3] = set[3] .. entry[1].entry .. entry[2] end
  for i = 1, #writes do redis.call(unpack(writes[i])) end
  discard()
end

-- Strings of a scratch store stay here, where none costs a command: nobody else reads them. All are gone with it.
if SCRATCH then
  local kept = {}
  get = function(key) return kept[key] or false end
  mget = function(keys)
    local found = {}
    for i, key in ipairs(keys) do found[i] = get(key) end
    return found
  end
  put = function(key, value) kept[key] = value end
  put_record = function(key, record, packed) kept[key], records[key] = packed, record end
  remove = function(key) kept[key] = nil end
end

return {discard = discard, write = write, get = get, mget = mget, put = put, put_record = put_record,
  record_at = record_at, queue = queue, remove = remove, of_type = of_type, flush = flush}
