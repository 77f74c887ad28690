-- blocks: what the detector of pumping blocks, for how long, and what lets it go.

local max, min = math.max, math.min
local writing = import 'writing'
local write, get, put, remove, of_type = writing.write, writing.get, writing.put, writing.remove, writing.of_type
local common = import 'common'
local digits, emit = common.digits, common.emit
local statistics = import 'statistics'
local OPEN, BLOCK, WEIGHT, SENT, WON, NEAR, LATE, EXCUSED, HOT, SPREAD, TILL, MADE, PROBED, RAISED, TIER, TRIED, FAILED,
  PROBES, PROBES_WON, REFUSED, OBSERVED, LOST, NEEDED, chart_of, save_chart, age_chart =
  statistics.OPEN, statistics.BLOCK, statistics.WEIGHT, statistics.SENT, statistics.WON, statistics.NEAR,
  statistics.LATE, statistics.EXCUSED, statistics.HOT, statistics.SPREAD, statistics.TILL, statistics.MADE,
  statistics.PROBED, statistics.RAISED, statistics.TIER, statistics.TRIED, statistics.FAILED, statistics.PROBES,
  statistics.PROBES_WON, statistics.REFUSED, statistics.OBSERVED, statistics.LOST, statistics.NEEDED,
  statistics.chart_of, statistics.save_chart, statistics.age_chart

local BLOCK_LIFE = 172800000

local function block_of(chart) return chart[BLOCK] or {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0} end

local function is_blocked(chart, now) return chart[BLOCK] and chart[BLOCK][TILL] > now end

local function make_block(base, rule, chart, seen, now)
  local block = block_of(chart)
  local again = block[TILL] > 0 and now - block[TILL] < 86400000
  block[TIER] = again and block[TIER] + 1 or 0
  block[MADE], block[TILL] = now, now + min(rule.block_most, rule.block_for * 2 ^ block[TIER])
  for field = TRIED, LOST do block[field] = 0 end
  block[PROBED], block[NEEDED] = 0, seen.needed
  chart[BLOCK] = block
  seen.id = string.format('bl_%04x', tonumber(base:match('{(%d+)}')))
    .. redis.sha1hex(seen.key .. digits(now)):sub(1, 28)
  seen.rule, seen.mode, seen.at, seen.till = rule.name, rule.enforced and 'enforce' or 'observe', now, block[TILL]
  seen.forgive = rule.forgive
  return seen, again
end

local function record_block(base, seen)
  put(base .. 'block:' .. seen.id, cmsgpack.pack(seen), BLOCK_LIFE)
  of_type('ZCARD', base .. 'blocks')
  write('ZREMRANGEBYSCORE', base .. 'blocks', '-inf', digits(seen.at))
  write('ZADD', base .. 'blocks', digits(seen.till), seen.id)
  write('PEXPIRE', base .. 'blocks', BLOCK_LIFE)
  -- The next start trims the stream.
  emit(base, '1000000000', seen.at, 'blocked', seen.id,
    {rule = seen.rule, mode = seen.mode, place = seen.place, till = digits(seen.till)})
end

-- Whether a blocked place lets this one through, to see whether it converts.
local function probes(block, rule, now)
  block[TRIED] = block[TRIED] + 1
  local pause = min(1800000, 60000 * 2 ^ block[FAILED])
  if block[TRIED] < rule.probe_every or now - block[PROBED] < pause then return false end
  block[TRIED], block[PROBED] = 0, now
  block[FAILED], block[PROBES] = block[FAILED] + 1, block[PROBES] + 1
  return true
end

-- A probe that converted. Once probes are likelier to be of the usual people than of the attacker the block ends.
local function probe_won(chart, now)
  local block = chart[BLOCK]
  block[FAILED], block[PROBES_WON] = 0, block[PROBES_WON] + 1
  chart[WEIGHT] = chart[WEIGHT] - 1
  if chart[WEIGHT] < block[NEEDED] / 2 then block[TILL] = now end
end

-- The block as it stands, or nil where it has ended.
local function live_block(base, id, now)
  local packed = get(base .. 'block:' .. id)
  if not packed then return nil end
  local seen = cmsgpack.unpack(packed)
  local found = get(seen.key)
  if not found then return nil end
  local chart = chart_of(found)
  local block = chart[BLOCK]
  if not is_blocked(chart, now) or block[MADE] ~= seen.at then return nil end
  seen.refused, seen.observed, seen.observed_converted = block[REFUSED], block[OBSERVED], block[LOST]
  seen.probes, seen.probes_converted = block[PROBES], block[PROBES_WON]
  return seen, chart
end

local function watch_blocks(base, now, most)
  local answer = {}
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', base .. 'blocks', '(' .. digits(now), '+inf', 'LIMIT', 0, most)) do
    local seen = live_block(base, id, now)
    if seen then answer[#answer + 1] = cmsgpack.pack(seen) end
  end
  return answer
end

-- Leaves a place without evidence; where it is to need half as much again for a while, until when.
local function forget_evidence(chart, raised)
  chart[WEIGHT], chart[NEAR], chart[LATE], chart[EXCUSED], chart[SENT], chart[WON] = 0, 0, 0, 0, 0, 0
  chart[OPEN] = {}
  if raised then
    chart[BLOCK] = block_of(chart)
    chart[BLOCK][RAISED] = raised
  end
end

-- Ends a block that was a mistake. What its place showed stands in the charts of its prefix and its country, too: they
-- forget with it, but for a prefix that is blocked, and for a country where another prefix was blocked lately.
local function watch_lift(base, id, now)
  local seen, chart = live_block(base, id, now)
  if not seen then return nil end
  local till = now + seen.forgive
  forget_evidence(chart, till)
  local block = chart[BLOCK]
  block[TILL], block[MADE], block[TIER] = 0, 0, 0
  save_chart(seen.key, seen.key:match(':(%a)[^:]*$'), chart)
  for level, key in ipairs(seen.within or {}) do
    local packed = get(key)
    if packed then
      local around = chart_of(packed)
      if level == 2 and not is_blocked(around, now) then
        forget_evidence(around, till)
      elseif level == 1 then
        age_chart(around, now)
        if #seen.within == 1 then around[SPREAD] = max(0, around[SPREAD] - 1) end
        if around[SPREAD] < 0.5 then
          forget_evidence(around)
          around[HOT] = 0
        end
      end
      save_chart(key, level == 1 and 'c' or 'p', around)
    end
  end
  remove(base .. 'block:' .. id)
  of_type('ZCARD', base .. 'blocks')
  write('ZREM', base .. 'blocks', id)
  return seen
end
-- blocks: the live blocks of a partition, msgpack each, soonest end first.
--   KEYS[1]  blocks     ARGV[1]  now   ARGV[2]  how many at most
local function blocks(KEYS, ARGV)
  return watch_blocks(KEYS[1]:match('^(.-{%d+}:)'), tonumber(ARGV[1]), tonumber(ARGV[2]))
end

-- lift: ends a block by hand. Called by the service, for an operator.
--   KEYS[1]  block:<id>     ARGV[1]  now   ARGV[2]  keep_events   ARGV[3]  by whom   ARGV[4]  why
--   ARGV[5]  the modes of the rules in force by name, msgpack; of any other it is off
-- Answers the block as it stood, msgpack, or false where none is live.
local function lift(KEYS, ARGV)
  local base, id, now = KEYS[1]:match('^(.-{%d+}:)'), KEYS[1]:match('block:(.*)$'), tonumber(ARGV[1])
  local seen = watch_lift(base, id, now)
  if not seen then return false end
  seen.mode = cmsgpack.unpack(ARGV[5])[seen.rule] or 'off'
  emit(base, ARGV[2], now, 'lifted', id, {rule = seen.rule, mode = seen.mode, place = seen.place, by = ARGV[3],
    reason = ARGV[4]})
  return cmsgpack.pack(seen)
end

return {blocks = blocks, lift = lift, is_blocked = is_blocked, make_block = make_block, record_block = record_block,
  probes = probes, probe_won = probe_won}
