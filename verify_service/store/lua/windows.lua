-- windows: how long a hit waits for room in a window, and what a key of limits counts. Used by the kinds of rules that
-- count: limit and budget.
--
-- A rule is judged and held in the slot of its key, limit:<name>:<tag>, which holds what counts.lua says: of windows of
-- up to 32 hits their log, of larger ones the hits in aligned buckets (sliding-window counter). Both are `limits`'
-- strategies (MovingWindow, SlidingWindowCounter), several windows at once, all or nothing.

local floor, ceil, max, min = math.floor, math.ceil, math.max, math.min
local put = import('writing').put
local counts = import 'counts'
local counted_in, count_in, log_with, logged_at, packed_counts, save_counts =
  counts.counted_in, counts.count_in, counts.log_with, counts.logged_at, counts.packed_counts, counts.save_counts
local digits = import('common').digits
local line_refund = import('layouts').line_refund

local LOG_MAX = 32

-- Makes a rule of its spec, with what its key's life follows from.
local function rule_of(spec, logs)
  local rule = {name = spec.name, enforced = spec.enforced, windows = {}, life = 0, most = 0}
  for i, window in ipairs(spec.windows) do
    local amount, ms = window.amount, window.ms
    local logged = logs and amount <= LOG_MAX
    rule.windows[i] = {amount = amount, ms = ms, seconds = ms / 1000, logged = logged}
    if logged then rule.most = max(rule.most, amount) end
    -- Twice the longest window that is counted by bucket: its bucket is needed for less than two.
    rule.life = max(rule.life, logged and ms + 1000 or 2 * ms)
  end
  return rule
end

local function log_wait(log, amount, ms, now)
  local at = logged_at(log, amount)
  if at and at >= now - ms then return at + ms + 1 - now end
  return 0
end

-- How much a window counts at `now`: the older bucket by what is left of it.
local function counted(counters, window, now)
  local ms = window.ms
  local bucket = floor(now / ms)
  local current, previous = counted_in(counters, window.seconds, bucket)
  return floor(previous * (ms - now + bucket * ms) / ms) + current
end

local function counter_wait(counters, window, amount, now, cost)
  local ms = window.ms
  if cost > amount then return 2 * ms end  -- It never fits; nor does an empty window make it fit.
  local bucket = floor(now / ms)
  local current, previous = counted_in(counters, window.seconds, bucket)
  local elapsed = now - bucket * ms
  if floor(previous * (ms - elapsed) / ms) + current + cost <= amount then return 0 end
  local room = amount - cost + 1
  if current < room then
    -- The smallest elapsed time at which the previous bucket weighs little enough.
    local fits = ms - ceil((room - current) * ms / previous) + 1
    if fits < ms then return fits - elapsed end
    return ms - elapsed
  end
  return ms - elapsed + ms - ceil(room * ms / current) + 1
end

-- What a key holds after its first hit, where all windows are counted by bucket: the same for all keys of a rule until
-- a bucket ends.
local function first_hit(rule, now, cost)
  local first = rule.first
  if first and first.cost == cost and now >= first.from and now < first.till then return first.packed end
  local counters, from, till = {}, 0, math.huge
  for _, window in ipairs(rule.windows) do
    local bucket = floor(now / window.ms)
    count_in(counters, window.seconds, bucket, cost)
    from, till = max(from, bucket * window.ms), min(till, (bucket + 1) * window.ms)
  end
  rule.first = {cost = cost, from = from, till = till, packed = packed_counts({counters = counters})}
  return rule.first.packed
end

-- Counts a hit of `cost`.
local function count(state, nonce, now, cost)
  local rule = state.rule
  if rule.most == 0 and not (state.counters or state.past or state.log or state.more) then
    put(state.key, first_hit(rule, now, cost), rule.life)
    return
  end
  if rule.most > 0 then state.log = log_with(state.log, now, nonce, rule.most) end
  for _, window in ipairs(rule.windows) do
    if not window.logged then
      state.counters = state.counters or {}
      count_in(state.counters, window.seconds, floor(now / window.ms), cost)
    end
  end
  save_counts(state, rule.life)
end

-- What an approval gives back of a hit, as records and events carry it: "<partition>,<name>:<tag>,<nonce>,<time>;".
local function refund_of(key, nonce, at)
  local partition, hit = key:match('{(%d+)}:limit:(.*)$')
  return line_refund({partition = partition, hit = hit, nonce = nonce, at = digits(at)})
end

-- What a rule's key counts: a number's tag, an address's, or what else it ends with.
local function counted_of(key) return key:match('([^:]*)$') end

-- How many hits a window counts.
local function hits_in(state, window, now)
  if not window.logged then return counted(state.counters, window, now) end
  local hits = 0
  for place = 1, state.rule.most do
    if (logged_at(state.log, place) or 0) >= now - window.ms then hits = hits + 1 end
  end
  return hits
end

-- What a rule says, as a decision's record shows it: by the window that decides, its count and bound. `bound` answers
-- that of a window that is counted by bucket.
local function verdict_of(state, wait, now, cost, bound)
  local rule, shown = state.rule, nil
  for _, window in ipairs(rule.windows) do
    local amount, ms, hits = window.amount, window.ms, hits_in(state, window, now)
    local need
    if window.logged then
      need = log_wait(state.log, amount, ms, now)
    else
      amount = bound(window)
      need = counter_wait(state.counters, window, amount, now, cost)
    end
    if not shown or need > shown.wait or (need == shown.wait and hits / amount > shown.count / shown.bound) then
      shown = {wait = need, count = hits, bound = amount, window = ms}
    end
  end
  shown.name, shown.kind, shown.mode = rule.name, state.kind.name, rule.enforced and 'enforce' or 'observe'
  shown.verdict = wait == 0 and 'pass' or rule.enforced and 'refuse' or 'observe'
  shown.key, shown.cost = counted_of(state.key), cost
  return shown
end

return {rule_of = rule_of, log_wait = log_wait, counter_wait = counter_wait, count = count, refund_of = refund_of,
  counted_of = counted_of, hits_in = hits_in, verdict_of = verdict_of}
