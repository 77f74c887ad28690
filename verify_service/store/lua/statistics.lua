-- statistics: what the detector of pumping knows of traffic, by country, carrier prefix and block of 10,000 numbers.
-- kinds/pumping.lua says what it is for.
--
-- A chart is packed: its fields, of which the first two say how many slots of open trials there are and whether the
-- place was ever blocked (1) and whether more follows that a later version put there (2); the block's fields; the open
-- trials,
-- {slot, sent, converted} each, oldest first; that more, with its length in two bytes before it, which is kept as it
-- is; of a prefix, the tags of the last numbers that were used. Unpacked, it is a list without a field by name, which
-- costs half as much: what is no number stands at the places of what says how long it is.

local max, min, floor, exp, ln = math.max, math.min, math.floor, math.exp, math.log
local put = import('writing').put

local SLOT, SLOTS = 10000, 18
-- Of those who will enter their code, the share that has, by slots of age, where half of them take 15 seconds.
local ENTERED = {0.04, 0.25, 0.48, 0.64, 0.74, 0.81, 0.855, 0.885, 0.91,
  0.93, 0.945, 0.955, 0.965, 0.972, 0.977, 0.982, 0.986, 0.99}
local USUAL_DELAY = 2.708
-- Evidence for people counts so far and no further, less under an attack; evidence for fraud, too; learning ends
-- sooner.
local FLOOR, HOT_FLOOR, CEILING, SUSPECT = -6, -2, 20, 3
local HOUR_MS = 3600000
local HALF_BASELINE, SHARE_RATE = 120 * HOUR_MS, 1 - 0.5 ^ (1 / 48)
local LIFE = {c = 1209600000, p = 1209600000, b = 172800000}

-- The fields of a chart: the open trials, the block or false, …, the last numbers that were used or nil, …
local OPEN, BLOCK = 1, 2
local AT, WEIGHT, N, K, RATE, SEEN = 3, 4, 5, 6, 7, 8
local THIS, LAST, SIX, SENT, WON, NEAR = 9, 10, 11, 12, 13, 14
local TOKENS, LATE, EXCUSED, HOT, FAST, SLOW = 15, 16, 17, 18, 19, 20
local DELAY, SPREAD, USED, MORE = 21, 22, 23, 24
local FIELDS = SPREAD
local LAYOUT = '<BBdffffffffffffffdffff'
-- The fields of its block.
local TILL, MADE, PROBED, RAISED, TIER, TRIED = 1, 2, 3, 4, 5, 6
local FAILED, PROBES, PROBES_WON, REFUSED, OBSERVED, LOST, NEEDED = 7, 8, 9, 10, 11, 12, 13
local BLOCK_FIELDS, BLOCK_LAYOUT = 13, '<ddddfffffffff'
local OPEN_LAYOUT = {}
for slots = 0, 255 do OPEN_LAYOUT[slots] = '<' .. ('IHH'):rep(slots) end

local function chart_of(packed, now)
  if not packed then
    return {{}, false, now, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, USUAL_DELAY, 0, nil, nil}
  end
  local chart = {struct.unpack(LAYOUT, packed)}
  local slots, follows, from = chart[OPEN], chart[BLOCK], chart[FIELDS + 1]
  local block = false
  if follows % 2 == 1 then
    block = {struct.unpack(BLOCK_LAYOUT, packed, from)}
    from = block[BLOCK_FIELDS + 1]
  end
  local open = {struct.unpack(OPEN_LAYOUT[slots], packed, from)}
  from, open[3 * slots + 1] = open[3 * slots + 1], nil
  if follows >= 2 then
    chart[MORE], from = struct.unpack('<Hc0', packed, from)
  end
  chart[OPEN], chart[BLOCK], chart[USED] = open, block, from <= #packed and packed:sub(from) or nil
  return chart
end

local function save_chart(key, kind, chart)
  local open, block, more = chart[OPEN], chart[BLOCK], chart[MORE]
  local slots = #open / 3
  local packed = struct.pack(LAYOUT, slots, (block and 1 or 0) + (more and 2 or 0), unpack(chart, 3, FIELDS))
    .. (block and struct.pack(BLOCK_LAYOUT, unpack(block, 1, BLOCK_FIELDS)) or '')
    .. (slots > 0 and struct.pack(OPEN_LAYOUT[slots], unpack(open)) or '')
    .. (more and struct.pack('<Hc0', #more, more) or '') .. (chart[USED] or '')
  put(key, packed, LIFE[kind])
end

-- Ages all that fades, up to now; no parameter of a rule takes part.
local function age_chart(chart, now)
  local passed = now - chart[AT]
  if passed <= 0 then return end
  local hours, gone = passed / HOUR_MS, floor(now / HOUR_MS) - floor(chart[AT] / HOUR_MS)
  local six = exp(-hours / 6)
  chart[AT], chart[SIX], chart[SPREAD] = now, chart[SIX] * six, chart[SPREAD] * six
  local two = 0.5 ^ (hours / 2)
  chart[SENT], chart[WON], chart[NEAR] = chart[SENT] * two, chart[WON] * two, chart[NEAR] * two
  local days = 0.5 ^ (passed / HALF_BASELINE)
  chart[N], chart[K] = chart[N] * days, chart[K] * days
  if chart[SLOW] > 0 then
    chart[FAST], chart[SLOW] = chart[FAST] * exp(-hours * 4), chart[SLOW] * exp(-hours / 3)
  end
  local rate = chart[RATE]
  chart[TOKENS] = min(max(5, 1.5 * rate), chart[TOKENS] + hours * max(0.5, 1.5 * rate))
  if hours > 1 then chart[USED] = nil end
  if gone > 0 then
    -- The usual volume learns no more from an hour than four times itself, and no excess while there is suspicion.
    local suspect = chart[WEIGHT] >= SUSPECT or chart[HOT] > now - passed
    local most = suspect and rate or 4 * max(rate, 1)
    local share = max(1 / (12 + chart[SEEN]), SHARE_RATE)
    chart[RATE] = (rate + share * (min(chart[THIS], most) - rate)) * (1 - share) ^ (gone - 1)
    chart[SEEN] = min(chart[SEEN] + gone, 1000)
    chart[LAST], chart[THIS] = gone == 1 and chart[THIS] or 0, 0
  end
end

-- How slowly people of a country enter their codes, 1 being half of them within 15 seconds.
local function slowness(country) return min(4, max(0.7, exp(country[DELAY] - USUAL_DELAY))) end

-- Settles the trials that are old enough, under the usual conversion p0, of which fraud has the share `drop`; returns
-- the evidence of all, open ones too, and how many are too young to say anything. `slow` is the country's slowness; no
-- evidence counts below `lowest`.
local function settle_chart(chart, drop, p0, now, learn, slow, lowest)
  chart[WEIGHT] = max(lowest, chart[WEIGHT])
  local p1, open = drop * p0, chart[OPEN]
  local win, fail = ln(drop), ln((1 - p1) / (1 - p0))
  if chart[LATE] ~= 0 or chart[EXCUSED] ~= 0 then
    chart[WEIGHT] = max(lowest, chart[WEIGHT] + chart[LATE] * (win - fail) - chart[EXCUSED] * fail)
    chart[K] = min(chart[N], chart[K] + chart[LATE])
    chart[LATE], chart[EXCUSED] = 0, 0
  end
  local slot, size, first = floor(now / SLOT), #open, 1
  local ripe = slot - max(SLOTS, floor(SLOTS * slow))
  while first < size and open[first] <= ripe do
    local sent, won = open[first + 1], open[first + 2]
    -- Only traffic of the usual volume, and unsuspicious, says what is usual.
    if learn and sent > 0 and chart[WEIGHT] < SUSPECT then
      local take = min(sent, chart[TOKENS])
      chart[TOKENS] = chart[TOKENS] - take
      chart[N], chart[K] = chart[N] + take, chart[K] + take * min(1, won / sent)
    end
    chart[WEIGHT] = min(CEILING, max(lowest, chart[WEIGHT] + (sent - won) * fail + won * win))
    first = first + 3
  end
  if first > 1 then
    open = {unpack(open, first)}
    chart[OPEN], size = open, size - first + 1
  end
  local evidence, waiting = chart[WEIGHT], 0
  for i = 1, size, 3 do
    local sent, won = open[i + 1], open[i + 2]
    -- A start may be judged after one that came later.
    local entered = ENTERED[max(1, min(SLOTS, floor((slot - open[i]) / slow) + 1))]
    waiting = waiting + sent * (1 - entered)
    evidence = evidence + (sent - won) * ln((1 - p1 * entered) / (1 - p0 * entered)) + won * win
  end
  return evidence, waiting
end

-- Counts a trial as open.
local function open_trial(chart, slot)
  local open = chart[OPEN]
  local last = #open - 2
  if last > 0 and open[last] == slot then
    open[last + 1] = open[last + 1] + 1
  else
    open[last + 3], open[last + 4], open[last + 5] = slot, 1, 0
  end
  chart[SENT] = chart[SENT] + 1
end

-- Where a chart keeps the trials of a slot; nil where these are settled.
local function place_of(chart, slot)
  local open = chart[OPEN]
  for i = #open - 2, 1, -3 do
    if open[i] == slot then return i end
  end
end

local function hourly(chart, now) return chart[THIS] + chart[LAST] * (1 - (now % HOUR_MS) / HOUR_MS) end

-- How many starts an hour are more than usual; `part` is how much of what a place needs otherwise is enough.
local function needed_hourly(chart, rule, least, part)
  return max(least * part, max(1.2, rule.excess * part) * chart[RATE])
end

local function excessive(chart, rule, least, part, now)
  return hourly(chart, now) >= needed_hourly(chart, rule, least, part)
    or chart[SIX] >= max(2 * least * part, max(1.2, rule.excess_six * part) * 6 * chart[RATE])
end

-- Whether there is no more going on at a place than usual.
local function is_quiet(chart, now) return hourly(chart, now) < max(2, 1.2 * chart[RATE]) end

local function usual(conversion) return min(0.92, max(0.3, conversion - 0.03)) end

-- When a number or an address first converted, how often it started and how often it converted.
local TRUST, TRUST_LIFE = '<dff', 7776000000

local function base_of(key) return key:sub(1, key:find('}', 1, true) + 1) end

-- The keys of a rule's three charts, of the number and of the address, if there is one.
local function chart_keys(base, name, country, prefix, block, number, ip)
  local stem = base .. 'chart:' .. name .. ':'
  return {stem .. 'c' .. country, stem .. 'p' .. prefix, stem .. 'b' .. block, base .. 'known:' .. number,
    ip ~= '' and base .. 'known:' .. ip or nil}
end

return {OPEN = OPEN, BLOCK = BLOCK, USED = USED, WEIGHT = WEIGHT, SENT = SENT, WON = WON, NEAR = NEAR, LATE = LATE,
  EXCUSED = EXCUSED, HOT = HOT, SPREAD = SPREAD, TILL = TILL, MADE = MADE, PROBED = PROBED, RAISED = RAISED, TIER =
  TIER, TRIED = TRIED, FAILED = FAILED, PROBES = PROBES, PROBES_WON = PROBES_WON, REFUSED = REFUSED, OBSERVED =
  OBSERVED, LOST = LOST, NEEDED = NEEDED, chart_of = chart_of, save_chart = save_chart, age_chart = age_chart, SLOT =
  SLOT, FLOOR = FLOOR, HOT_FLOOR = HOT_FLOOR, HOUR_MS = HOUR_MS, LIFE = LIFE, N = N, K = K, RATE = RATE, THIS = THIS,
  SIX = SIX, FAST = FAST, SLOW = SLOW, slowness = slowness, settle_chart = settle_chart, open_trial = open_trial, hourly
  = hourly, needed_hourly = needed_hourly, excessive = excessive, is_quiet = is_quiet, usual = usual, AT = AT, DELAY =
  DELAY, place_of = place_of, TRUST = TRUST, TRUST_LIFE = TRUST_LIFE, base_of = base_of, chart_keys = chart_keys}
