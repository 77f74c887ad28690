-- Detection of pumping. Everything lies in the partition of the number's country; a start touches three charts (its
-- country, its carrier prefix, its block of 10,000 numbers), whatever the traffic.
--   chart:<rule>:<c|p|b><place>     a chart, as statistics.lua packs it
--   known:<tag>                     a number or address that converted: first conversion, starts, conversions
--   since:<rule>                    when the rule saw its first start here
--   block:<id>, blocks              what a block was made on; the ids by the end of the block
--
-- A trial is one verification, its resends left out. Its likelihood ratio, fraud against the place's usual conversion,
-- counts at once with what its age says (a code that is 10 s old is no failure yet) and is settled after SLOTS * SLOT.
-- The chart is the sum of these, floored (CUSUM). A block needs the odds, more volume than usual, and a bill for the
-- fraud above the worth of whom it would refuse wrongly. An attack adds failures; an outage takes conversions away:
-- while a country's conversions are missing there is no new block in it and nothing is learnt.
--
-- A rule on a start comes like a limit, with a key `limit:watch:<rule>:<country>:<prefix>:<block>:<number>:<ip>:t` that
-- is never stored but says whose charts are meant, and a spec of FACTS: the rule as msgpack, its name, the
-- country, the prefix, the block, the tags of number and address, short tags of the number and of the sixteen that it
-- is one of, whether neighbours were seen (1, 0, -1: not known, 2: the tags tell), the price.

local max, min, floor, exp = math.max, math.min, math.floor, math.exp
local put = import('writing').put
local common = import 'common'
local keeping_last, digits, refunds_late = common.keeping_last, common.digits, common.refunds_late
local refund_of = import('windows').refund_of
local statistics = import 'statistics'
local BLOCK, USED, SLOT, FLOOR, HOT_FLOOR, HOUR_MS, LIFE, TRUST, TRUST_LIFE, N, K, RATE, THIS, SIX, SENT, WON, NEAR,
  HOT, FAST, SLOW, SPREAD, TILL, RAISED, PROBES, PROBES_WON, REFUSED, OBSERVED, base_of, chart_keys, chart_of,
  save_chart, age_chart, slowness, settle_chart, open_trial, hourly, needed_hourly, excessive, is_quiet, usual =
  statistics.BLOCK, statistics.USED, statistics.SLOT, statistics.FLOOR, statistics.HOT_FLOOR, statistics.HOUR_MS,
  statistics.LIFE, statistics.TRUST, statistics.TRUST_LIFE, statistics.N, statistics.K, statistics.RATE,
  statistics.THIS, statistics.SIX, statistics.SENT, statistics.WON, statistics.NEAR, statistics.HOT, statistics.FAST,
  statistics.SLOW, statistics.SPREAD, statistics.TILL, statistics.RAISED, statistics.PROBES, statistics.PROBES_WON,
  statistics.REFUSED, statistics.OBSERVED, statistics.base_of, statistics.chart_keys, statistics.chart_of,
  statistics.save_chart, statistics.age_chart, statistics.slowness, statistics.settle_chart, statistics.open_trial,
  statistics.hourly, statistics.needed_hourly, statistics.excessive, statistics.is_quiet, statistics.usual
local outcomes = import 'outcomes'
local blocks = import 'blocks'
local is_blocked, make_block, record_block, probes =
  blocks.is_blocked, blocks.make_block, blocks.record_block, blocks.probes

local FACTS = '<Hc0Bc0Bc0Bc0Bc0Bc0Bc0c4c4hd'
local HOT_MS = 3 * HOUR_MS
-- Numbers in a row: whether one is of the same sixteen as another of the last MOST_USED of its prefix, as 2 in 100 of
-- people's are and 80 in 100 of those of who walks through a block; as evidence, of which NEAR_MOST counts, and a share
-- more of it for each trial that is too young to say anything. Tags have no order: they say that two are near, not
-- where.
local MOST_USED, NEAR_MOST, NEAR_YES, NEAR_NO, NEAR_SPEED = 12, 9, 3.69, -1.59, 0.006

local rule_of = keeping_last(function(packed) return cmsgpack.unpack(packed) end)

local function trusted(packed, rule, now)
  if not packed then return false end
  local first, starts, won = struct.unpack(TRUST, packed)
  return now - first >= rule.trust_after and won >= 0.4 * starts
end

-- Whether a number close to this one was among the last that were used, each of which left its own tag and that of its
-- sixteen, four bytes each.
local function neighbours(prefix, own, sixteen)
  local used = prefix[USED]
  local at = used and used:find(sixteen, 1, true)
  while at do
    if at % 8 == 5 and used:sub(at - 4, at - 1) ~= own then return true end
    at = used:find(sixteen, at + 1, true)
  end
  return false
end

-- Whether stopping the place costs less than the fraud.
local function worth_it(chart, rule, p0, price, waiting, hot)
  -- Who completes codes looks legitimate; but of legitimate starts there are no more than usual.
  local sent = chart[SENT]
  local legitimate = min(sent, chart[WON] / p0 * sent / max(1, sent - waiting))
  if hot then legitimate = min(legitimate, 1 + 4.5 * chart[RATE]) end
  return (sent - legitimate) * price >= rule.cost * legitimate
end

-- The evidence that a place needs, and what part of the volume; more of both where a block was lifted by hand.
local function needs_of(state, level)
  local rule, block = state.rule, state[level][BLOCK]
  if block and block[RAISED] > state.now then return 1.5 * (level == 2 and rule.prefix or rule.block), 1 end
  return level == 3 and rule.block or state.hot and rule.hot or rule.prefix, state.part
end

-- What a place says of a start, for explanations and blocks.
local function seen_at(state, level)
  local chart, key = state[level], state.keys[level]
  local needed, part = needs_of(state, level)
  return {
    place = '+' .. key:match('%d*$'), key = key, within = {unpack(state.keys, 1, level - 1)},
    messages = chart[SENT], converted = chart[WON],
    usual_conversion = state.p0, evidence = level == 2 and state.of_prefix or state.of_block, needed = needed,
    an_hour = hourly(chart, state.now), usual_an_hour = chart[RATE],
    needed_an_hour = needed_hourly(chart, state.rule,
      level == 2 and state.rule.prefix_messages or state.rule.block_messages, part),
  }
end

-- Whether the prefix (2) or block of numbers (3) is blocked; blocks it where that is due.
local function judge_place(state, level, price, waiting)
  local chart, rule, now, country = state[level], state.rule, state.now, state[1]
  local needed, part = needs_of(state, level)
  if (level == 2 and state.of_prefix or state.of_block) >= needed and not is_blocked(chart, now) and not state.outage
    and excessive(chart, rule, level == 2 and rule.prefix_messages or rule.block_messages, part, now)
    and worth_it(chart, rule, state.p0, price, waiting, state.hot) and not refunds_late(state.base, now) then
    local seen, again = make_block(state.base, rule, chart, seen_at(state, level), now)
    state.made = state.made or {}
    state.made[#state.made + 1] = seen
    if level == 2 and not again then country[SPREAD] = country[SPREAD] + 1 end
  end
  if not is_blocked(chart, now) then return end
  -- A block outlasts its attack: then it rests, unless the attack goes on nearby.
  local quiet = is_quiet(chart, now)
  if quiet and not state.hot or probes(chart[BLOCK], rule, now) then return end
  state.blocked, state.level = chart[BLOCK][TILL] - now, level
  if state.hot and not quiet then country[HOT] = max(country[HOT], now + HOT_MS) end
end

local function open(kind, key, place, looked_at, spec, keys)
  local base = base_of(key)
  local packed, name, of_country, of_prefix, of_block, number, ip, own, sixteen, near, price =
    struct.unpack(FACTS, spec)
  local own_keys, last = chart_keys(base, name, of_country, of_prefix, of_block, number, ip), #keys
  local since = base .. 'since:' .. name
  keys[last + 1], keys[last + 2], keys[last + 3], keys[last + 4], keys[last + 5], keys[last + 6] =
    since, unpack(own_keys)
  return {kind = kind, key = key, place = place, looked_at = looked_at, base = base, rule = rule_of(packed),
    since = since, keys = own_keys, own = own, sixteen = sixteen, told = near, price = price, found = nil, first = nil,
    now = nil, began = nil, hot = nil, outage = nil, near = nil, used = nil, of_prefix = nil, of_block = nil, p0 = nil,
    part = nil, wait = nil}
end

local function read(state, found, place)
  state.found, state.first = found, place
  return place + 1 + #state.keys
end

-- What goes on in the country of a start: whether it is under attack, or its route seems dead. Returns what share of
-- the usual conversion fraud has, what conversion is usual, and how slowly people enter their codes.
local function judge_country(state, country, now)
  local rule = state.rule
  age_chart(country, now)
  local conversion = (country[K] + 50 * rule.usual) / (country[N] + 50)
  -- A rule that is new knows neither what volume nor what conversion is usual: it would take the growth of a morning
  -- for excess and a poor carrier for fraud. Until it does, only what hardly converts at all is fraud.
  local drop = now - state.began < rule.learn_for and rule.learn_drop or rule.drop
  -- Conversions an hour: the last quarter's against the last hours'.
  local outage, slow = country[SLOW] / 3 >= 16 and country[FAST] * 4 < 0.3 * country[SLOW] / 3, slowness(country)
  local heat = settle_chart(country, drop, usual(conversion), now, not outage, slow, FLOOR)
  state.hot, state.outage = country[HOT] > now, outage
  if heat >= rule.country and not outage and not is_quiet(country, now)
    and excessive(country, rule, rule.country_messages, 1, now) then
    country[HOT], state.hot = now + HOT_MS, true
  end
  return drop, conversion, slow
end

-- The evidence of a carrier prefix, what conversion is usual there, and how many trials are too young to say anything.
local function judge_prefix(state, prefix, drop, conversion, slow, now)
  local hot = state.hot
  -- A carrier may be worse than its country, which is no fraud; under an attack it does not get that benefit.
  local p0 = usual((prefix[K] + 40 * conversion * (hot and 1 or 0.87)) / (prefix[N] + 40))
  local evidence, waiting =
    settle_chart(prefix, drop, p0, now, not state.outage and not hot, slow, hot and HOT_FLOOR or FLOOR)
  if state.told == 2 then
    state.near, state.used = neighbours(prefix, state.own, state.sixteen), state.own .. state.sixteen
  elseif state.told >= 0 then
    state.near = state.told == 1
  end
  return evidence, p0, waiting
end

-- The same of a block of numbers.
local function judge_block(state, block, drop, p0, slow, now)
  age_chart(block, now)
  local evidence, waiting = settle_chart(block, drop, p0, now, false, slow, FLOOR)
  if state.near ~= nil then
    block[NEAR] = min(NEAR_MOST, max(0, block[NEAR] + (state.near and NEAR_YES or NEAR_NO)))
  end
  -- Many at once are a script's rather than people's.
  return evidence + block[NEAR] * (1 + NEAR_SPEED * waiting), waiting
end

local function judge(state, now)
  local found, first = state.found, state.first
  local of_ip = state.keys[5] and found[first + 5]
  -- When the rule began here: by recorded time, so that a backtest learns as long.
  state.now, state.of_ip, state.began = now, of_ip, tonumber(found[first] or now)
  if trusted(found[first + 4], state.rule, now) or trusted(of_ip, state.rule, now) then
    state.trusted = true
    return 0
  end
  local country, prefix, block = chart_of(found[first + 1], now), chart_of(found[first + 2], now), nil
  prefix[HOT] = country[HOT]
  age_chart(prefix, now)
  local drop, conversion, slow = judge_country(state, country, now)
  prefix[HOT] = country[HOT]
  local in_prefix, p0, prefix_waiting = judge_prefix(state, prefix, drop, conversion, slow, now)
  local in_block, block_waiting
  -- A block of numbers has a chart once two of them were close to each other.
  if found[first + 3] or state.near then
    block = chart_of(found[first + 3], now)
    block[HOT] = country[HOT]
    in_block, block_waiting = judge_block(state, block, drop, p0, slow, now)
  end
  state[1], state[2], state[3] = country, prefix, block
  state.of_prefix, state.of_block, state.p0 = in_prefix, in_block, p0
  -- Under an attack on its country a place needs less than half of what it needs otherwise; where the attack is known
  -- to be on many of its places, a quarter.
  state.part = not state.hot and 1 or country[SPREAD] >= 2.5 and 0.25 or 0.4
  judge_place(state, 2, state.price, prefix_waiting)
  if block then judge_place(state, 3, state.price, block_waiting) end
  return state.blocked or 0
end

local function save_charts(state)
  local keys = state.keys
  save_chart(keys[1], 'c', state[1])
  save_chart(keys[2], 'p', state[2])
  if state[3] then save_chart(keys[3], 'b', state[3]) end
  if state.made then
    for _, seen in ipairs(state.made) do record_block(state.base, seen) end
  end
end

local function count_volume(state)
  -- With the first start of a country's hour: often enough to keep it alive.
  if state[1][THIS] == 0 then put(state.since, digits(state.began), LIFE.p) end
  for level = 1, #state do
    local chart = state[level]
    chart[THIS], chart[SIX] = chart[THIS] + 1, chart[SIX] + 1
  end
end

-- A start that the rule refuses, or would refuse, counts as volume and not as a trial. So the charts are the same in
-- either mode, and a rule that begins to enforce goes on with what it knows, its blocks included.
local function refuse(state)
  count_volume(state)
  local block, field = state[state.level][BLOCK], state.rule.enforced and REFUSED or OBSERVED
  block[field] = block[field] + 1
  save_charts(state)
end

-- An admitted start is a trial, unless who makes it is trusted, or it would have been refused.
local function hold(state, nonce, now)
  local flag = 't'
  if state.of_ip then
    local first, starts, won = struct.unpack(TRUST, state.of_ip)
    put(state.keys[5], struct.pack(TRUST, first, starts + 1, won), TRUST_LIFE)
  end
  if state.trusted then
    flag = '-'
  elseif state.blocked then
    refuse(state)
    flag = 'l'
  else
    count_volume(state)
    local slot, prefix = floor(now / SLOT), state[2]
    for level = 1, #state do open_trial(state[level], slot) end
    if state.used then prefix[USED] = (prefix[USED] or ''):sub(-8 * MOST_USED + 8) .. state.used end
    save_charts(state)
  end
  return refund_of(state.key:sub(1, -2) .. flag, nonce, now), flag == 't'
end

-- What the rule says, as a decision's record shows it.
local function verdict(state)
  if not state.wait then return nil end
  local rule = state.rule
  local word = state.blocked and (rule.enforced and 'refuse' or 'observe') or 'pass'
  local mode = rule.enforced and 'enforce' or 'observe'
  local said = {name = rule.name, kind = state.kind.name, mode = mode, verdict = word, wait = 0}
  if state.trusted then
    said.evidence = {trusted = 1}
    return said
  end
  -- The place that is blocked, or the one that is nearest to it.
  local level = state.level or 2
  if state[3] and not state.level and state.of_block / needs_of(state, 3) > state.of_prefix / needs_of(state, 2) then
    level = 3
  end
  local seen = seen_at(state, level)
  said.key, said.count, said.bound = seen.place, exp(max(0, seen.evidence)), exp(seen.needed)
  said.evidence = {trusted = 0, hot = state.hot and 1 or 0, outage = state.outage and 1 or 0, odds = said.count,
    needed_odds = said.bound}
  for _, name in ipairs({'messages', 'converted', 'usual_conversion', 'an_hour', 'usual_an_hour', 'needed_an_hour'}) do
    said.evidence[name] = seen[name]
  end
  if state.blocked then
    local block = state[level][BLOCK]
    said.wait = state.wait
    said.evidence.refused, said.evidence.observed = block[REFUSED], block[OBSERVED]
    said.evidence.probes, said.evidence.probes_converted = block[PROBES], block[PROBES_WON]
  end
  return said
end

return {refusal = 'blocked', first = true, once = true, prefix = 'watch:', open = open, read = read, judge = judge,
  hold = hold, exceed = hold, refuse = refuse, verdict = verdict, undo = outcomes.undo, approved = outcomes.approved,
  mistyped = outcomes.mistyped, usual_slip = outcomes.usual_slip, undelivered = outcomes.undelivered,
  corrected = outcomes.corrected}
