-- charts: the statistics of the detector of pumping, per country, carrier prefix and block of 10,000 numbers. Used by
-- detector.lua, which says what they are for.

local SLOT, SLOTS = 20000, 9
-- Of those who will enter their code, the share that has, by slots of age.
local ENTERED = {0.1, 0.5, 0.75, 0.86, 0.92, 0.95, 0.97, 0.98, 0.99}
local HOUR_MS, FLOOR, CEILING, SUSPECT = 3600000, -6, 20, 3
local HALF_BASELINE, SHARE_RATE = 120 * HOUR_MS, 1 - 0.5 ^ (1 / 48)
local LIFE = {c = 1209600000, p = 1209600000, b = 172800000}
local TRUST_LIFE, BLOCK_LIFE = 7776000000, 172800000

-- The fields of a chart.
local OBSERVED, AT, SLOT_AT, WEIGHT, N, K = 1, 2, 3, 4, 5, 6
local RATE, SEEN, HOUR, THIS, LAST, SIX = 7, 8, 9, 10, 11, 12
local SENT, WON, NEAR, TOKENS, LATE, HOT = 13, 14, 15, 16, 17, 18
local FAST, SLOW, TILL, MADE, TIER, TRIED = 19, 20, 21, 22, 23, 24
local PROBED, FAILED, PROBES, PROBES_WON, REFUSED, LOST = 25, 26, 27, 28, 29, 30
local RAISED, NEEDED = 31, 32
local SENDS, WINS = 33, 33 + SLOTS
local FIELDS = 32 + 2 * SLOTS
-- In half the time that msgpack takes: three charts are read and written per start.
local LAYOUT = '<fddfffffdffffffffdffddffdfffffdf' .. ('H'):rep(2 * SLOTS)

local function forget_evidence(chart)
  chart[WEIGHT], chart[NEAR], chart[LATE], chart[SENT], chart[WON] = 0, 0, 0, 0, 0
  for i = SENDS, FIELDS do chart[i] = 0 end
end

local function chart_of(packed, now)
  if packed then return {struct.unpack(LAYOUT, packed)} end
  local chart = {}
  for i = 1, FIELDS do chart[i] = 0 end
  chart[AT], chart[SLOT_AT], chart[HOUR] = now, math.floor(now / SLOT), math.floor(now / HOUR_MS)
  return chart
end

local function save_chart(key, kind, chart) redis.call('SET', key, struct.pack(LAYOUT, unpack(chart, 1, FIELDS)), 'PX', LIFE[kind]) end

-- Ages all that fades, up to now; no parameter of a rule takes part.
local function age_chart(chart, now)
  local passed = now - chart[AT]
  if passed <= 0 then return end
  chart[AT] = now
  local hours = passed / HOUR_MS
  chart[SIX] = chart[SIX] * math.exp(-hours / 6)
  local two = 0.5 ^ (hours / 2)
  chart[SENT], chart[WON], chart[NEAR] = chart[SENT] * two, chart[WON] * two, chart[NEAR] * two
  local days = 0.5 ^ (passed / HALF_BASELINE)
  chart[N], chart[K] = chart[N] * days, chart[K] * days
  if chart[SLOW] > 0 then
    chart[FAST], chart[SLOW] = chart[FAST] * math.exp(-hours * 4), chart[SLOW] * math.exp(-hours / 3)
  end
  chart[TOKENS] = math.min(math.max(5, 1.5 * chart[RATE]), chart[TOKENS] + hours * math.max(0.5, 1.5 * chart[RATE]))
  local hour = math.floor(now / HOUR_MS)
  local gone = hour - chart[HOUR]
  if gone > 0 then
    -- The usual volume learns no more from an hour than four times itself, and no excess while there is suspicion.
    local suspect = chart[WEIGHT] >= SUSPECT or chart[HOT] > chart[HOUR] * HOUR_MS
    local most = suspect and chart[RATE] or 4 * math.max(chart[RATE], 1)
    local share = math.max(1 / (12 + chart[SEEN]), SHARE_RATE)
    chart[RATE] = (chart[RATE] + share * (math.min(chart[THIS], most) - chart[RATE])) * (1 - share) ^ (gone - 1)
    chart[SEEN] = math.min(chart[SEEN] + gone, 1000)
    chart[LAST] = gone == 1 and chart[THIS] or 0
    chart[HOUR], chart[THIS] = hour, 0
  end
end

-- Settles the trials that are old enough, under the usual conversion p0; returns the evidence of all, open ones too, and
-- how many are too young to say anything.
local function settle_chart(chart, rule, p0, now, learn)
  local p1, slot = rule.drop * p0, math.floor(now / SLOT)
  local win, fail = math.log(rule.drop), math.log((1 - p1) / (1 - p0))
  if chart[LATE] > 0 then
    chart[WEIGHT] = math.max(FLOOR, chart[WEIGHT] + chart[LATE] * (win - fail))
    chart[K] = math.min(chart[N], chart[K] + chart[LATE])
    chart[LATE] = 0
  end
  for old = chart[SLOT_AT] + 1, math.min(slot, chart[SLOT_AT] + SLOTS) do
    local place = old % SLOTS
    local sends, wins = chart[SENDS + place], chart[WINS + place]
    if sends > 0 then
      local weight = chart[WEIGHT] + (sends - wins) * fail + wins * win
      -- Only traffic of the usual volume, and unsuspicious, says what is usual.
      if learn and chart[WEIGHT] < SUSPECT then
        local take = math.min(sends, chart[TOKENS])
        chart[TOKENS] = chart[TOKENS] - take
        chart[N], chart[K] = chart[N] + take, chart[K] + take * wins / sends
      end
      chart[WEIGHT] = math.min(CEILING, math.max(FLOOR, weight))
      chart[SENDS + place], chart[WINS + place] = 0, 0
    end
  end
  if slot > chart[SLOT_AT] then chart[SLOT_AT] = slot end
  local evidence, waiting = chart[WEIGHT], 0
  for back = 0, SLOTS - 1 do
    local place = (chart[SLOT_AT] - back) % SLOTS
    local sends, wins = chart[SENDS + place], chart[WINS + place]
    if sends > 0 then
      local entered = ENTERED[back + 1]
      waiting = waiting + sends * (1 - entered)
      evidence = evidence + (sends - wins) * math.log((1 - p1 * entered) / (1 - p0 * entered)) + wins * win
    end
  end
  return evidence, waiting
end

local function hourly(chart, now) return chart[THIS] + chart[LAST] * (1 - (now % HOUR_MS) / HOUR_MS) end

-- Under an attack on its country, a place needs less than half of what it needs otherwise.
local function excessive(chart, rule, least, hot, now)
  local part = hot and 0.4 or 1
  return hourly(chart, now) >= math.max(least * part, math.max(1.2, rule.excess * part) * chart[RATE])
    or chart[SIX] >= math.max(2 * least * part, math.max(1.2, rule.excess_six * part) * 6 * chart[RATE])
end

local function usual(conversion) return math.min(0.92, math.max(0.3, conversion - 0.03)) end
