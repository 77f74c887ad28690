-- Detection of pumping. Everything lies in the partition of the number's country; a start touches three charts (its
-- country, its carrier prefix, its block of 10,000 numbers), whatever the traffic.
--   pumping:<rule>:<c|p|b><place>   a chart: a packed struct, fields below
--   near:<tag>:<hour>               a bit for each number of a block that was used in the hour
--   trust:<tag>                     a number or address that converted: {first conversion, starts, conversions}
--   block:<id>, blocks              what a block was made on; the ids by the end of the block
--
-- A trial is one verification, its resends left out. Its likelihood ratio, fraud against the place's usual conversion,
-- counts at once with what its age says (a code that is 10 s old is no failure yet) and is settled after SLOTS * SLOT.
-- The chart is the sum of these, floored (CUSUM). A block needs the odds, more volume than usual, and a bill for the
-- fraud above the worth of whom it would refuse wrongly. An attack adds failures; an outage takes conversions away: while
-- a country's conversions are missing there is no new block in it and nothing is learnt.
--
-- A rule on a start comes like a limit, with a key `limit:watch:<rule>:<country>:<prefix>:<block>:<number>:<ip>:t` that is
-- never stored but says whose charts are meant, and a spec of 'w' and msgpack {rule, facts}.

local rules = {}
local function rule_of(packed)
  local rule = rules[packed]
  if not rule then
    rule = cmsgpack.unpack(packed)
    rules = {[packed] = rule}
  end
  return rule
end

local function trusted(packed, rule, now)
  if not packed then return false end
  local first, starts, won = unpack(cmsgpack.unpack(packed))
  return now - first >= rule.trust_after and won >= 0.4 * starts
end

-- Whether a number close to this one was used in the hour; the key names no number, being a tag.
local function neighbours(base, facts, now)
  if facts.place < 0 then return facts.near end
  local place = facts.place
  local byte, first = math.floor(place / 8), math.max(0, math.floor(place / 8) - 1)
  local bits = redis.call('GETRANGE', base .. 'near:' .. facts.near_tag .. ':' .. digits(math.floor(now / HOUR_MS)), first, byte + 1)
  for i = 1, #bits do
    local here = bits:byte(i)
    if first + i - 1 == byte then
      local own = 2 ^ (7 - place % 8)
      if math.floor(here / own) % 2 == 1 then here = here - own end
    end
    if here > 0 then return true end
  end
  return false
end

local function evidence_of(chart, p0, evidence, needed, now)
  return {
    messages = chart[SENT], converted = chart[WON], usual_conversion = p0, evidence = evidence, needed = needed,
    an_hour = hourly(chart, now), usual_an_hour = chart[RATE],
  }
end

-- Judges a start, and writes nothing. `facts`: {country, prefix, block, near_tag, place, near, number, ip, price}; a place
-- below 0 is not known, and `near` says then what is known of neighbours. Returns a state for one of `watch_admit` and
-- `watch_refuse`; its `blocked` says whether the rule would refuse.
local function watch_judge(key, spec, now)
  local base = key:match('^(.-{%d+}:)')
  local packed, facts = unpack(cmsgpack.unpack(spec:sub(2)))
  local rule = rule_of(packed)
  local stem = base .. 'pumping:' .. rule.name .. ':'
  local keys = {stem .. 'c' .. facts.country, stem .. 'p' .. facts.prefix, stem .. 'b' .. facts.block,
    base .. 'trust:' .. facts.number}
  if facts.ip ~= '' then keys[5] = base .. 'trust:' .. facts.ip end
  local found = redis.call('MGET', unpack(keys))
  local state = {base = base, rule = rule, facts = facts, keys = keys, found = found, now = now, key = key, made = {}}
  if trusted(found[4], rule, now) or trusted(found[5], rule, now) then
    state.trusted = true
    return state
  end
  local charts = {}
  for i = 1, 3 do
    local chart = chart_of(found[i], now)
    age_chart(chart, now)
    charts[i] = chart
  end
  state.charts = charts
  local country, prefix, block = charts[1], charts[2], charts[3]
  local of_country = (country[K] + 50 * rule.usual) / (country[N] + 50)
  local p_country = usual(of_country)
  -- Conversions an hour: the last quarter's against the last hours'.
  local outage = country[SLOW] / 3 >= 16 and country[FAST] * 4 < 0.3 * country[SLOW] / 3
  local heat = settle_chart(country, rule, p_country, now, not outage)
  if heat >= rule.country and not outage and excessive(country, rule, rule.country_messages, false, now) then
    country[HOT] = now + 6 * HOUR_MS
  end
  local near = neighbours(base, facts, now)
  local most = math.log(0.8 / 0.02)
  local q0 = math.min(0.6, math.max(0.02, 16 * block[THIS] / 10000 + 0.01))
  if near ~= nil then
    state.bonus = math.min(8, math.max(0, block[NEAR] + (near and math.min(most, math.log(0.8 / q0)) or math.log(0.2 / (1 - q0)))))
  end
  state.near = near
  local hot = country[HOT] > now
  prefix[HOT], block[HOT] = country[HOT], country[HOT]
  -- A carrier may be worse than its country, which is no fraud; under an attack it does not get that credit.
  local p_prefix = usual((prefix[K] + 40 * of_country * (hot and 1 or 0.87)) / (prefix[N] + 40))
  local in_prefix, prefix_waiting = settle_chart(prefix, rule, p_prefix, now, not outage and not hot)
  local in_block, block_waiting = settle_chart(block, rule, p_prefix, now, false)
  in_block = in_block + (state.bonus or block[NEAR])
  state.outage, state.hot = outage, hot

  local tests = {
    {prefix, in_prefix, hot and rule.hot or rule.prefix, rule.prefix_messages, facts.prefix, 2, prefix_waiting},
    {block, in_block, rule.block, rule.block_messages, facts.block, 3, block_waiting},
  }
  for _, test in ipairs(tests) do
    local chart, evidence, needed, least, place, i, waiting = unpack(test)
    local forgiven = chart[RAISED] > now
    if forgiven then needed = 1.5 * (i == 2 and rule.prefix or rule.block) end
    local seen = evidence_of(chart, p_prefix, evidence, needed, now)
    seen.place, seen.key = '+' .. place, keys[i]
    if chart[TILL] <= now and not outage and evidence >= needed and excessive(chart, rule, least, hot and not forgiven, now) then
      -- Who completes codes looks legitimate; but of legitimate starts there are no more than usual.
      local known = math.max(1, chart[SENT] - waiting)
      local legitimate = math.min(chart[SENT], chart[WON] / p_prefix * chart[SENT] / known)
      if hot then legitimate = math.min(legitimate, 1 + 4.5 * chart[RATE]) end
      if (chart[SENT] - legitimate) * facts.price >= rule.cost * legitimate then
        state.made[#state.made + 1] = make_block(base, rule, chart, seen, now)
      end
    end
    if chart[TILL] > now then
      if probes(chart, rule, now) then
        state.probe = true
      else
        state.blocked, state.chart, state.seen, state.wait = true, chart, seen, chart[TILL] - now
      end
    elseif not state.seen or evidence / needed > state.seen.evidence / state.seen.needed then
      state.seen = state.blocked and state.seen or seen
    end
  end
  return state
end

local function save_charts(state)
  for i, kind in ipairs({'c', 'p', 'b'}) do save_chart(state.keys[i], kind, state.charts[i]) end
  for _, seen in ipairs(state.made) do record_block(state.base, seen) end
end

local function count_volume(state)
  for i = 1, 3 do
    local chart = state.charts[i]
    chart[THIS], chart[SIX] = chart[THIS] + 1, chart[SIX] + 1
  end
end

-- A start that the rule refuses, or would refuse: it counts as volume, not as a trial. So the charts are the same in
-- either mode, and a rule that begins to enforce goes on with what it knows, its blocks included.
local function watch_refuse(state)
  count_volume(state)
  local field = state.rule.enforced and REFUSED or OBSERVED
  state.chart[field] = state.chart[field] + 1
  save_charts(state)
end

-- Counts an admitted start. Returns what its approval brings back, as `credit_of`, and whether it is a trial.
local function watch_admit(state, nonce)
  local facts, now, flag = state.facts, state.now, 't'
  if state.found[5] then
    local first, starts, won = unpack(cmsgpack.unpack(state.found[5]))
    redis.call('SET', state.keys[5], cmsgpack.pack({first, starts + 1, won}), 'PX', TRUST_LIFE)
  end
  if state.trusted then
    flag = '-'
  elseif state.blocked then
    watch_refuse(state)
    flag = 'l'
  else
    count_volume(state)
    for i = 1, 3 do
      local chart = state.charts[i]
      local place = SENDS + chart[SLOT_AT] % SLOTS
      chart[SENT], chart[place] = chart[SENT] + 1, chart[place] + 1
    end
    if state.bonus then state.charts[3][NEAR] = state.bonus end
    if facts.place >= 0 then
      local key = state.base .. 'near:' .. facts.near_tag .. ':' .. digits(math.floor(now / HOUR_MS))
      redis.call('SETBIT', key, facts.place, 1)
      redis.call('PEXPIRE', key, 2 * HOUR_MS)
    end
    save_charts(state)
  end
  return credit_of(state.key:sub(1, -2) .. flag, nonce, now), flag == 't'
end

local function parts_of(watch)
  local base = watch:match('^(.-{%d+}:)')
  local name, country, prefix, block, number, ip, flag = watch:match('limit:watch:(.-):(.-):(.-):(.-):(.-):(.-):(.*)$')
  local stem = base .. 'pumping:' .. name .. ':'
  return {stem .. 'c' .. country, stem .. 'p' .. prefix, stem .. 'b' .. block, base .. 'trust:' .. number,
    ip ~= '' and base .. 'trust:' .. ip or nil}, flag, base
end

-- Takes a trial back, once: it was refused elsewhere, or was a resend.
local function watch_undo(key, nonce, at)
  local keys, _, base = parts_of(key)
  if not redis.call('SET', base .. 'given:watch:' .. nonce, '', 'NX', 'PX', 600000) then return end
  for i, kind in ipairs({'c', 'p', 'b'}) do
    local packed = redis.call('GET', keys[i])
    if packed then
      local chart = chart_of(packed)
      local slot = math.floor(at / SLOT)
      local place = SENDS + slot % SLOTS
      if slot > chart[SLOT_AT] - SLOTS and chart[place] > 0 then
        for _, field in ipairs({place, SENT, SIX}) do chart[field] = math.max(0, chart[field] - 1) end
        if math.floor(at / HOUR_MS) == chart[HOUR] then chart[THIS] = math.max(0, chart[THIS] - 1) end
        save_chart(keys[i], kind, chart)
      end
    end
  end
end

-- An approval at `now` of the start that was counted at `at`. Returns whether it was a probe's.
local function watch_won(key, at, now)
  local keys, flag = parts_of(key)
  local probe = false
  for i, kind in ipairs({'c', 'p', 'b'}) do
    local packed = flag ~= '-' and redis.call('GET', keys[i])
    if packed then
      local chart = chart_of(packed)
      age_chart(chart, now)
      if kind == 'c' then chart[FAST], chart[SLOW] = chart[FAST] + 1, chart[SLOW] + 1 end
      if flag == 'l' then
        if chart[TILL] > 0 then chart[LOST] = chart[LOST] + 1 end
      else
        local slot = math.floor(at / SLOT)
        chart[WON] = chart[WON] + 1
        if slot > chart[SLOT_AT] - SLOTS then
          local place = WINS + slot % SLOTS
          chart[place] = chart[place] + 1
        else
          chart[LATE] = chart[LATE] + 1
        end
        if chart[TILL] > now and at >= chart[MADE] then
          probe = true
          chart[FAILED], chart[PROBES_WON] = 0, chart[PROBES_WON] + 1
          chart[WEIGHT] = chart[WEIGHT] - 1
          if chart[WEIGHT] < chart[NEEDED] / 2 then chart[TILL] = now end
        end
      end
      save_chart(keys[i], kind, chart)
    end
  end
  for i = 4, 5 do
    if keys[i] then
      local packed = redis.call('GET', keys[i])
      local first, starts, won = now, 1, 0
      if packed then first, starts, won = unpack(cmsgpack.unpack(packed)) end
      if i == 4 then starts = 0 end
      if starts > 200 then starts, won = starts / 2, won / 2 end
      redis.call('SET', keys[i], cmsgpack.pack({first, starts, won + 1}), 'PX', TRUST_LIFE)
    end
  end
  return probe
end

-- What the rule says, as a decision's record shows it.
local function watch_verdict(state)
  local rule, seen = state.rule, state.seen
  local verdict = state.blocked and (rule.enforced and 'refuse' or 'observe') or 'pass'
  local said = {name = rule.name, kind = 'pumping', mode = rule.enforced and 'enforce' or 'observe', verdict = verdict, wait = 0}
  if seen then
    said.key, said.count, said.bound = seen.place, seen.evidence, seen.needed
    said.evidence = {trusted = 0, hot = state.hot and 1 or 0, outage = state.outage and 1 or 0}
    for _, name in ipairs({'messages', 'converted', 'usual_conversion', 'an_hour', 'usual_an_hour'}) do
      said.evidence[name] = seen[name]
    end
    if state.blocked then
      said.wait = state.wait
      said.evidence.refused, said.evidence.observed = state.chart[REFUSED], state.chart[OBSERVED]
      said.evidence.probes, said.evidence.probes_converted = state.chart[PROBES], state.chart[PROBES_WON]
    end
  else
    said.evidence = {trusted = 1}
  end
  return said
end

-- Judges a start by all its watches. Returns the states; the one that refuses, or nil; the names of those that watched
-- only and would have.
local function watch_all(watches, now)
  local states, refused, observed = {}, nil, {}
  for i, watch in ipairs(watches) do
    local state = watch_judge(watch[1], watch[2], now)
    states[i] = state
    if state.blocked and not state.rule.enforced then
      observed[#observed + 1] = state.rule.name
    elseif state.blocked then
      refused = refused or state
    end
  end
  return states, refused, observed
end

-- won: an approval credits a watch in another partition. Called by the dispatcher.
--   KEYS[1]  the watch's key     ARGV[1]  the time of the start   ARGV[2]  of the approval
local function won(KEYS, ARGV)
  watch_won(KEYS[1], tonumber(ARGV[1]), tonumber(ARGV[2]))
  return 1
end

register('won', won)
