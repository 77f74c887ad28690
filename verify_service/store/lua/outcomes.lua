-- outcomes: what became of the starts that a detector counted: approved, taken back, mistyped.

local max, min, floor, ln = math.max, math.min, math.floor, math.log
local writing = import 'writing'
local get, mget, put = writing.get, writing.mget, writing.put
local statistics = import 'statistics'
local OPEN, BLOCK, SLOT, HOUR_MS, LIFE, TRUST, TRUST_LIFE, AT, THIS, SIX, SENT, WON, LATE, EXCUSED, FAST, SLOW, DELAY,
  MADE, LOST, chart_of, save_chart, age_chart, place_of, base_of, chart_keys =
  statistics.OPEN, statistics.BLOCK, statistics.SLOT, statistics.HOUR_MS, statistics.LIFE, statistics.TRUST,
  statistics.TRUST_LIFE, statistics.AT, statistics.THIS, statistics.SIX, statistics.SENT, statistics.WON,
  statistics.LATE, statistics.EXCUSED, statistics.FAST, statistics.SLOW, statistics.DELAY, statistics.MADE,
  statistics.LOST, statistics.chart_of, statistics.save_chart, statistics.age_chart, statistics.place_of,
  statistics.base_of, statistics.chart_keys
local blocks = import 'blocks'
local is_blocked, probe_won = blocks.is_blocked, blocks.probe_won

-- Whose charts a key of the detector's means, and what became of its start: `t`, a trial; `m`, one whose first code was
-- wrong; `l`, one that would have been refused; `-`, one of somebody trusted.
local function parts_of(key)
  local base = base_of(key)
  local name, country, prefix, block, number, ip, flag =
    key:match('limit:watch:(.-):(.-):(.-):(.-):(.-):(.-):(.*)$')
  return chart_keys(base, name, country, prefix, block, number, ip), flag, base
end

local LEVELS = {'c', 'p', 'b'}

-- Takes a trial back, once: it was refused elsewhere, or was a resend.
local function undo(base, key, nonce, at)
  local keys = parts_of(key)
  local given = base .. 'given:watch:' .. nonce
  if get(given) then return end
  put(given, '', 600000)
  for i, kind in ipairs(LEVELS) do
    local packed = get(keys[i])
    if packed then
      local chart = chart_of(packed)
      local place = place_of(chart, floor(at / SLOT))
      if place and chart[OPEN][place + 1] > 0 then
        chart[OPEN][place + 1] = chart[OPEN][place + 1] - 1
        for _, field in ipairs({SENT, SIX}) do chart[field] = max(0, chart[field] - 1) end
        if floor(at / HOUR_MS) == floor(chart[AT] / HOUR_MS) then
          chart[THIS] = max(0, chart[THIS] - 1)
        end
        save_chart(keys[i], kind, chart)
      end
    end
  end
end

-- Takes a trial out of a chart (-1), or back in (1).
local function recount(chart, at, step)
  local place = place_of(chart, floor(at / SLOT))
  if place then
    chart[OPEN][place + 1] = max(0, chart[OPEN][place + 1] + step)
  else
    chart[EXCUSED] = chart[EXCUSED] - step
  end
  chart[SENT] = max(0, chart[SENT] + step)
end

-- A wrong code for the start that was counted at `at`, where such are usual: the message arrived, or somebody guesses.
-- Either way it was not pumped, so it is no trial any more.
local function mistyped(key, at)
  local keys, flag = parts_of(key)
  if flag ~= 't' then return end
  for i, kind in ipairs(LEVELS) do
    local packed = get(keys[i])
    if packed then
      local chart = chart_of(packed)
      recount(chart, at, -1)
      save_chart(keys[i], kind, chart)
    end
  end
end

-- Where a wrong code was followed by the right one, the start is a trial again.
local function corrected(hit) return (hit:gsub(':t$', ':m')) end

-- A message that did not arrive is no trial of fraud.
local function undelivered(hit) return hit:sub(-2) == ':t' end

-- Remembers that a number (once: of it only the time matters) or an address converted.
local function trust(keys, found, now)
  if not found[4] then put(keys[4], struct.pack(TRUST, now, 0, 1), TRUST_LIFE) end
  if not keys[5] then return end
  local first, starts, won = now, 1, 0
  if found[5] then first, starts, won = struct.unpack(TRUST, found[5]) end
  if starts > 200 then starts, won = starts / 2, won / 2 end
  put(keys[5], struct.pack(TRUST, first, starts, won + 1), TRUST_LIFE)
end

-- An approval at `now` of the start that was counted at `at`.
local function approved(_, key, _, at, now)
  local keys, flag = parts_of(key)
  local found = mget(keys)
  for i = 1, flag == '-' and 0 or 3 do
    if found[i] then
      local chart = chart_of(found[i])
      age_chart(chart, now)
      if i == 1 then
        chart[FAST], chart[SLOW] = chart[FAST] + 1, chart[SLOW] + 1
        chart[DELAY] = chart[DELAY] + (ln(min(300, max(2, (now - at) / 1000))) - chart[DELAY]) / 100
      end
      local block = chart[BLOCK]
      if flag == 'l' then
        if block then block[LOST] = block[LOST] + 1 end
      else
        if flag == 'm' then recount(chart, at, 1) end
        chart[WON] = chart[WON] + 1
        local place = place_of(chart, floor(at / SLOT))
        if place then
          chart[OPEN][place + 2] = chart[OPEN][place + 2] + 1
        else
          chart[LATE] = chart[LATE] + 1
        end
        if is_blocked(chart, now) and at >= block[MADE] then probe_won(chart, now) end
      end
      save_chart(keys[i], LEVELS[i], chart)
    end
  end
  trust(keys, found, now)
end

-- What is known in the number's partition of a place's approvals (half-life of five days) and wrong codes (two hours).
--   habit:<rule>:<prefix>, habit:<rule>:*    the place's, and all of them
local BASELINE = '<dff'

local function baseline_of(packed, now)
  if not packed then return 0, 0 end
  local at, approved, wrong = struct.unpack(BASELINE, packed)
  local hours = max(0, now - at) / HOUR_MS
  return approved * 0.5 ^ (hours / 120), wrong * 0.5 ^ (hours / 2)
end

-- Counts an approval or a wrong code. Returns whether wrong codes are as frequent in the place, given all there are, as
-- its approvals are: who guesses goes where the users are, who pumps goes where he is paid.
local function usual_slip(base, hit, now, is_wrong)
  local rule, prefix = hit:match('^watch:([^:]*):[^:]*:([^:]*):')
  local own, all = base .. 'habit:' .. rule .. ':' .. prefix, base .. 'habit:' .. rule .. ':*'
  local found = mget({own, all})
  local right, wrong = baseline_of(found[1], now)
  local approvals, wrongs = baseline_of(found[2], now)
  if is_wrong then
    wrong, wrongs = wrong + 1, wrongs + 1
  else
    right, approvals = right + 1, approvals + 1
  end
  put(own, struct.pack(BASELINE, now, right, wrong), LIFE.p)
  put(all, struct.pack(BASELINE, now, approvals, wrongs), LIFE.p)
  local expected = (right + 1) / (approvals + 50) * wrongs
  -- Three standard deviations of both, and three more.
  return wrong <= expected + 3 * (expected + expected * expected / (right + 1)) ^ 0.5 + 3
end

return {undo = undo, approved = approved, mistyped = mistyped, usual_slip = usual_slip, undelivered = undelivered,
  corrected = corrected}
