local writing = import 'writing'
local write, of_type = writing.write, writing.of_type
local common = import 'common'
local digits, emit = common.digits, common.emit

-- health: how much of its weight each provider deserves, on each of its channels; shared by all dispatchers. Weights
-- shift away from one that fails, is slow, or whose receipts stay out, and drift back.
--   health   hash: '<provider>/<channel>' -> a state, msgpack, fields below. Sums fade with time: they are recent ones.
--     factor    percent of its weight           changed   when it last shifted      reason   why it last went down
--     at, gone  when the sums were made, and how long after those of before
--     probed    when one message was last let through, while down
--     up        when it was first seen, or last up again after it had been down
--     tries, errors                             answers, and those of them that were errors or came too late
--     failing                                   errors in a row
--     came, missing, silent                     receipts that say delivered; messages without; those in a row
--     usual, learned                            the share of receipts that come as a rule, and how long that was seen
--     hist                                      answers by time, as HIST_MS
--   shifts   list: the newest changes of weights, {time, name, from, to, reason}, msgpack
local TRIES_MS, RECEIPTS_MS, HIST_FADE_MS = 10000, 30000, 60000
local LEAST, WORST, STREAK, SILENT = 8, 0.3, 3, 5
-- Steps and probes come with the dispatchers' pulses, a second apart and a little less.
local STEP, STEP_EACH, BACK, BACK_EACH, PROBE_EACH = 20, 900, 10, 10000, 1900
-- What is usual is the mean of an hour. For the first minute it is a guess, and after one that was down nothing is
-- learned: a message that arrives says so before one that does not, so the share is too good. A look counts for ten
-- seconds at most.
local SETTLED_MS, LOOK_MS, USUAL_MS = 60000, 10000, 3600000
local HEALTH_LIFE, COSTS_LIFE = 86400000, 172800000
local SHIFTS_MOST, SHIFTS_LIFE = 100, 2592000000

-- A state as it is now; nil where no dispatcher has had it in a route for a day.
local function health_of(packed, now)
  if not packed then
    return {factor = 100, changed = 0, reason = '', at = now, probed = 0, up = now, tries = 0, errors = 0, failing = 0,
      came = 0, missing = 0, silent = 0, usual = -1, learned = 0, gone = 0, hist = {0}}
  end
  local state = cmsgpack.unpack(packed)
  local gone = math.max(0, now - state.at)
  if gone > HEALTH_LIFE then return nil end
  for _, field in ipairs({'tries', 'errors'}) do state[field] = state[field] * math.exp(-gone / TRIES_MS) end
  for _, field in ipairs({'came', 'missing'}) do state[field] = state[field] * math.exp(-gone / RECEIPTS_MS) end
  for i, n in ipairs(state.hist) do state.hist[i] = n * math.exp(-gone / HIST_FADE_MS) end
  state.at, state.gone = now, gone
  return state
end

-- What speaks against a provider now, in words; nil where nothing does.
local function complaint(state)
  if state.failing >= STREAK then return digits(state.failing) .. ' tries in a row failed or came too late' end
  if state.tries >= LEAST and state.errors / state.tries >= WORST then
    return string.format('%.0f %% of tries failed or came too late', 100 * state.errors / state.tries)
  end
  if state.usual < 0.5 then return nil end
  -- So many in a row that chance would take a million messages for it.
  if state.silent >= math.max(SILENT, -6 / math.log10(math.max(0.001, 1 - state.usual))) then
    return digits(state.silent) .. ' messages in a row without a receipt that they arrived'
  end
  local known = state.came + state.missing
  local expected = known * state.usual
  -- Three times what chance deviates by.
  local least = math.min(0.6 * expected, expected - 3 * math.sqrt(expected * (1 - state.usual)))
  if known >= LEAST and state.came < least then
    return string.format('%.0f %% of receipts come, where %.0f %% are usual', 100 * state.came / known,
      100 * state.usual)
  end
end

local function add_report(state, report)
  local _, tries, errors, failing, came, missing, silent, hist = unpack(report)
  state.tries, state.errors = state.tries + tries, state.errors + errors
  state.failing = failing < tries and failing or state.failing + failing
  state.came, state.missing = state.came + came, state.missing + missing
  state.silent = silent < came + missing and silent or state.silent + silent
  for i, n in ipairs(hist) do state.hist[i] = (state.hist[i] or 0) + n end
  local known = state.came + state.missing
  if came + missing > 0 and known >= LEAST and state.factor > 0 then
    local share, learned, weight = state.came / known, state.learned or 0, 0
    if state.at - (state.up or 0) >= SETTLED_MS then
      local seen = math.min(state.gone, LOOK_MS)
      state.learned = math.min(USUAL_MS, math.max(learned, SETTLED_MS) + seen)
      weight = seen / state.learned
    elseif learned == 0 and share > 0.6 * state.usual then
      weight = math.min(1, 0.01 * (came + missing))
    end
    state.usual = state.usual < 0 and share or state.usual + weight * (share - state.usual)
  end
  -- Down, it comes back by what a message that was let through has shown.
  local silence = state.reason:find('receipt', 1, true)
  return silence and came > 0 or not silence and tries > failing
end

-- Shifts a weight, and says so in the events. Answers {name, from, to, reason}.
local function shift(base, keep_events, now, name, state, to, reason)
  local from = state.factor
  reason = reason or 'does well again'
  state.factor, state.changed = to, now
  if to < from then state.reason = reason end
  if from == 0 then state.up = now end
  -- Down, the next messages that are let through are what counts, not hundreds of old failures; up again, not those of
  -- the messages that had been let through before.
  if to == 0 or from == 0 then state.tries, state.errors, state.came, state.missing = 0, 0, 0, 0 end
  local provider, channel = name:match('^(.*)/(.*)$')
  emit(base, keep_events, now, 'shifted', name, {provider = provider, channel = channel, from = digits(from),
    to = digits(to), reason = reason})
  write('LPUSH', base .. 'shifts', cmsgpack.pack({now, name, from, to, reason}))
  write('LTRIM', base .. 'shifts', 0, SHIFTS_MOST - 1)
  write('PEXPIRE', base .. 'shifts', SHIFTS_LIFE)
  return {name, from, to, reason}
end

-- pulse: adds what a dispatcher saw since it last asked, lets weights shift, and tells what holds now.
--   KEYS[1]  health   KEYS[2]  costs:<day>
--   ARGV[1]  now   ARGV[2]  keep_events   ARGV[3]  {{name, tries, errors, errors at the end in a row, came, missing,
--            missing at the end in a row, hist}, …}, msgpack
--   ARGV[4]  the names of each route, {{name, …}, …}, msgpack
--   ARGV[5]  {field, amount, …} to add to the day's costs, msgpack
-- Answers {{name, factor, 1 where one message may be let through, when it was up again}, …}, {{name, from, to, reason},
-- …}.
local function pulse(KEYS, ARGV)
  local base, now = KEYS[1]:match('^(.-{%d+}:)'), tonumber(ARGV[1])
  local states, well, flat = {}, {}, redis.call('HGETALL', KEYS[1])
  for i = 1, #flat, 2 do
    states[flat[i]] = health_of(flat[i + 1], now)
    if not states[flat[i]] then write('HDEL', KEYS[1], flat[i]) end
  end
  for _, report in ipairs(cmsgpack.unpack(ARGV[3])) do
    local name = report[1]
    states[name] = states[name] or health_of(nil, now)
    well[name] = add_report(states[name], report)
  end
  local bad, helped, names, ours = {}, {}, {}, {}
  local groups = cmsgpack.unpack(ARGV[4])
  for name, state in pairs(states) do bad[name] = complaint(state) end
  for _, group in ipairs(groups) do
    local good = 0
    for _, name in ipairs(group) do
      if not bad[name] then good = good + 1 end
      if not ours[name] then ours[name], names[#names + 1] = true, name end
    end
    for _, name in ipairs(group) do helped[name] = helped[name] or good > 0 end
  end
  local rows, shifts = {}, {}
  for _, name in ipairs(names) do
    local state = states[name] or health_of(nil, now)
    local from, to, reason = state.factor, state.factor, bad[name]
    if from == 0 then
      -- Whatever is still said of the messages of before: the first that does well brings it back.
      if well[name] then to, reason = BACK, nil end
    elseif reason then
      -- Where all of a route do badly it is not the provider: then nobody is blamed.
      if helped[name] and now - state.changed >= STEP_EACH then to = math.max(0, from - STEP) end
    elseif from < 100 and now - state.changed >= BACK_EACH then
      to = math.min(100, from + BACK)
    end
    if to ~= from then shifts[#shifts + 1] = shift(base, ARGV[2], now, name, state, to, reason) end
    local probe = 0
    if state.factor == 0 and now - state.probed >= PROBE_EACH then
      state.probed, probe = now, 1
    end
    rows[#rows + 1] = {name, state.factor, probe, state.up or 0}
    write('HSET', KEYS[1], name, cmsgpack.pack(state))
  end
  write('PEXPIRE', KEYS[1], HEALTH_LIFE)
  local costs = cmsgpack.unpack(ARGV[5])
  if #costs > 0 then of_type('HLEN', KEYS[2]) end
  for i = 1, #costs, 2 do write('HINCRBY', KEYS[2], costs[i], costs[i + 1]) end
  if #costs > 0 then write('PEXPIRE', KEYS[2], COSTS_LIFE) end
  return {rows, shifts}
end

return {pulse = pulse}
