-- counts: what a limit's key holds, packed in one string, so that all that a start is judged by is read at once:
--   how many windows are counted, and what follows: 1, a budget's past; 2, more, which a later version put there
--   of each counted window {seconds, bucket, hits in it, hits in the one before}; buckets are aligned
--   a budget's past {usual, messages, day, over}, as kinds/budget.lua has it
--   how long more is, in two bytes, and more, which is kept as it is
--   the log, newest hit first: its time and the last 8 letters of its request's nonce, which tell 32 hits apart
-- A window is known by its length, so that a policy may change what is judged by the same key.

local floor = math.floor
local writing = import 'writing'
local get, put, remove = writing.get, writing.put, writing.remove

local HIT, MARK = 16, 8
local PAST = '<dddd'
local COUNTED, HEADED = {}, {}
for windows = 0, 255 do
  COUNTED[windows] = '<' .. ('IIdd'):rep(windows)
  HEADED[windows] = '<BB' .. ('IIdd'):rep(windows)
end

-- Unpacks into `limit.counters`, `limit.past` and `limit.log` what was read of its key; leaves them out where it is
-- empty.
local function open_counts(limit, found)
  if not found then return end
  local windows, follows = found:byte(1, 2)
  local from = 3
  if windows > 0 then
    local counters = {struct.unpack(COUNTED[windows], found, from)}
    from = counters[4 * windows + 1]
    counters[4 * windows + 1] = nil
    limit.counters = counters
  end
  if follows % 2 == 1 then
    local usual, messages, day, over
    usual, messages, day, over, from = struct.unpack(PAST, found, from)
    limit.past = {usual, messages, day, over}
  end
  if follows >= 2 then
    limit.more, from = struct.unpack('<Hc0', found, from)
  end
  if from <= #found then limit.log = found:sub(from) end
end

local function packed_counts(limit)
  local counters, past = limit.counters, limit.past
  local windows = counters and #counters / 4 or 0
  local follows = (past and 1 or 0) + (limit.more and 2 or 0)
  return (counters and struct.pack(HEADED[windows], windows, follows, unpack(counters)) or string.char(0, follows))
    .. (past and struct.pack(PAST, unpack(past)) or '')
    .. (limit.more and struct.pack('<Hc0', #limit.more, limit.more) or '') .. (limit.log or '')
end

-- `life` is in milliseconds, nil where the key keeps the one it has.
local function save_counts(limit, life) put(limit.key, packed_counts(limit), life) end

-- When the hit at a place of the log was, 1 being the newest; nil where there are fewer.
local function logged_at(log, place)
  if not log or #log < place * HIT then return nil end
  return (struct.unpack('<d', log, place * HIT - HIT + 1))
end

local function mark_of(nonce)
  return #nonce >= MARK and nonce:sub(-MARK) or nonce .. ('\0'):rep(MARK - #nonce)
end

-- The log with a hit more, of which it keeps the newest `most`. A start may be judged after one that came later.
local function log_with(log, at, nonce, most)
  if not log then return struct.pack('<d', at) .. mark_of(nonce) end
  local place, later = 1, logged_at(log, 1)
  while later and later > at do
    place = place + 1
    later = logged_at(log, place)
  end
  local hit, cut = struct.pack('<d', at) .. mark_of(nonce), (place - 1) * HIT
  return (log:sub(1, cut) .. hit .. log:sub(cut + 1)):sub(1, most * HIT)
end

local function log_without(log, nonce)
  local mark = mark_of(nonce)
  for from = 1, #log, HIT do
    if log:sub(from + HIT - MARK, from + HIT - 1) == mark then return log:sub(1, from - 1) .. log:sub(from + HIT) end
  end
  return log
end

-- The hits of a window's bucket, and of the one before.
local function counted_in(counters, seconds, bucket)
  for i = 1, counters and #counters or 0, 4 do
    if counters[i] == seconds then
      local newest = counters[i + 1]
      if bucket == newest then return counters[i + 2], counters[i + 3] end
      if bucket == newest + 1 then return 0, counters[i + 2] end
      if bucket == newest - 1 then return counters[i + 3], 0 end
      return 0, 0
    end
  end
  return 0, 0
end

local function count_in(counters, seconds, bucket, cost)
  for i = 1, #counters, 4 do
    if counters[i] == seconds then
      local newest = counters[i + 1]
      if bucket > newest then
        local before = bucket == newest + 1 and counters[i + 2] or 0
        counters[i + 1], counters[i + 2], counters[i + 3] = bucket, cost, before
      elseif bucket == newest then
        counters[i + 2] = counters[i + 2] + cost
      else
        counters[i + 3] = counters[i + 3] + cost
      end
      return
    end
  end
  local last = #counters
  counters[last + 1], counters[last + 2], counters[last + 3], counters[last + 4] = seconds, bucket, cost, 0
end

-- Gives one hit back, however often it is asked to, but where the caller asks only `once`: the hit made at `at` under
-- `nonce`.
local function give_back(base, key, nonce, at, cost, once)
  local found = get(key)
  if not found then return end
  local limit = {key = key}
  open_counts(limit, found)
  local counters = limit.counters or {}
  limit.log = log_without(limit.log or '', nonce)
  -- A counter cannot tell one hit from another; the marker does, for as long as a repetition could come.
  local given = not once and base .. 'given:' .. key:match('limit:(.*)$') .. ':' .. nonce
  if #counters > 0 and not (given and get(given)) then
    if given then put(given, '', 600000) end
    for i = 1, #counters, 4 do
      local back = counters[i + 1] - floor(at / (counters[i] * 1000))
      local field = back == 0 and i + 2 or i + 3
      if (back == 0 or back == 1) and counters[field] > 0 then counters[field] = counters[field] - (cost or 1) end
    end
  end
  if #counters == 0 and limit.log == '' and not limit.past then
    remove(key)
  else
    save_counts(limit)
  end
end

return {open_counts = open_counts, packed_counts = packed_counts, save_counts = save_counts, logged_at = logged_at,
  log_with = log_with, counted_in = counted_in, count_in = count_in, give_back = give_back}
