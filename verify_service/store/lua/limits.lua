-- limits: what a hit has to wait for, and counting it. Used by start, check, hold and decisions.
--
-- A limit is judged and held in the slot of its key, limit:<name>:<tag>, which holds what counts.lua says: of windows
-- of up to 32 hits their log, of larger ones the hits in aligned buckets (sliding-window counter). Both are `limits`'
-- strategies (MovingWindow, SlidingWindowCounter), several windows at once, all or nothing.
-- A budget is a limit whose hit has a cost: it counts micro-dollars in place of hits, always by the counter. One that
-- knows what is usual bounds its day by that too; its past is
--   usual, messages  what a day costs by its own past, and how many messages that is
--   day, over        the day that is being counted; what was let pass above the bound, where it is only observed
-- and for all of the same budget (of the same tenant, where it goes by tenant), in the same slot
--   usual:<name>[:<tenant tag>]   hash: since (its first start), messages (the sum)

local max, min, floor, ceil = math.max, math.min, math.floor, math.ceil
local writing = import 'writing'
local write, mget = writing.write, writing.mget
local digits = import('common').digits
local counts = import 'counts'
local open_counts, save_counts, logged_at, log_with, counted_in, count_in =
  counts.open_counts, counts.save_counts, counts.logged_at, counts.log_with, counts.counted_in, counts.count_in

local LOG_MAX = 32
local DAY_MS, USUAL_LIFE = 86400000, 32 * 86400000
local USUAL, MESSAGES, DAY, OVER = 1, 2, 3, 4
-- Before that nothing is known to be usual. The first days weigh the same, later a day half as much as one a week
-- younger; it counts for twice the usual at most: an attack does not make itself usual.
local LEARN_MS, EVEN_DAYS, DAY_SHARE, DAY_MOST = 2 * DAY_MS, 10, 1 - 0.5 ^ (1 / 7), 2

-- The rule of a limit from {name, enforced, net, {{amount, ms}, ...}, and of a budget cost and {times_usual,
-- share_of_all, at_least, ':<tenant tag>' or ''} or nothing}, with what its key's life follows from.
local function rule_from(spec, peek)
  local rule = {name = spec[1], enforced = spec[2], net = spec[3], windows = {}, life = 0, most = 0,
    budget = spec[5] ~= nil, cost = spec[5] or 1, relative = spec[6], peek = peek}
  if rule.relative then rule.life = USUAL_LIFE end
  for i, window in ipairs(spec[4]) do
    local amount, ms = unpack(window)
    local logged = amount <= LOG_MAX and not rule.budget
    rule.windows[i] = {amount = amount, ms = ms, seconds = ms / 1000, logged = logged}
    if logged then rule.most = max(rule.most, amount) end
    rule.life = max(rule.life, logged and ms + 1000 or 2 * ms)
  end
  return rule
end

-- The limit of a key and a packed spec, with 'p' in front where it is only peeked at. Rules are kept from call to call:
-- a policy has few, with a cost for each country.
local rules, kept = {}, 0
local function limit_of(packed, key)
  local rule = rules[packed]
  if not rule then
    local peek = packed:byte() == 112
    rule = rule_from(cmsgpack.unpack(peek and packed:sub(2) or packed), peek)
    if kept >= 1000 then rules, kept = {}, 0 end
    rules[packed], kept = rule, kept + 1
  end
  return {rule = rule, key = key}
end

-- Reads what the limits have counted, in one command.
local function read_limits(limits)
  local keys = {}
  for i, limit in ipairs(limits) do keys[i] = limit.key end
  if #keys == 0 then return end
  local found = mget(keys)
  for i, limit in ipairs(limits) do open_counts(limit, found[i]) end
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

local function all_of(limit)
  if not limit.all then
    limit.all_key = limit.key:match('^(.-{%d+}:)') .. 'usual:' .. limit.rule.name .. limit.rule.relative[4]
    local since, messages = unpack(redis.call('HMGET', limit.all_key, 'since', 'messages'))
    limit.all = {since = tonumber(since), messages = tonumber(messages) or 0}
  end
  return limit.all
end

-- What a day of the budget usually costs, with all days that have ended.
local function usual_of(limit, now)
  local past, relative = limit.past, limit.rule.relative
  if not past then return 0 end
  local usual, day, today = past[USUAL], past[DAY], floor(now / DAY_MS)
  if day >= today then return usual end
  -- Whole days that the budget has counted; its first one was only a part.
  local days = day + 1 - ceil((all_of(limit).since or now) / DAY_MS)
  if days < 1 then return usual end
  local spent = counted_in(limit.counters, DAY_MS / 1000, day) + past[OVER]
  if days * DAY_MS > LEARN_MS then
    spent = min(spent, max(DAY_MOST * usual, relative[3] / relative[1]))
  end
  usual = usual + (days <= EVEN_DAYS and 1 / days or DAY_SHARE) * (spent - usual)
  local quiet = today - day - 1
  local even = max(0, min(quiet, EVEN_DAYS - days))
  return floor(usual * days / (days + even) * (1 - DAY_SHARE) ^ (quiet - even))
end

-- The most that a day may cost where `window` says what is written for it. What is usual in all is looked up only where
-- that decides. Returns also whether the hit is known to fit.
local function day_bound(limit, window, now)
  local relative, cost, most = limit.rule.relative, limit.rule.cost, window.amount
  limit.usual = usual_of(limit, now)
  local own = max(relative[3], relative[1] * limit.usual)
  local fits = own < most and counter_wait(limit.counters, window, own, now, cost) == 0
  if (fits or own >= most) and not limit.explained then return min(own, most), fits end
  local all = all_of(limit)
  if not all.since or now - all.since < LEARN_MS then return most end
  return min(most, floor(max(own, relative[2] * all.messages * cost)))
end

-- Milliseconds until a hit can pass every window of the limit; 0 where it can now.
local function wait_of(limit, now)
  local rule, wait = limit.rule, 0
  if not limit.log and not limit.counters and not rule.budget then return 0 end
  for _, window in ipairs(rule.windows) do
    local amount, fits, need = window.amount, false, 0
    if window.logged then
      need = log_wait(limit.log, amount, window.ms, now)
    else
      if rule.relative and window.ms == DAY_MS then
        amount, fits = day_bound(limit, window, now)
        limit.bound = amount
      end
      if not fits then need = counter_wait(limit.counters, window, amount, now, rule.cost) end
    end
    if need > wait then wait = need end
  end
  return wait
end

-- Ends the days before this one for a budget, with the first start of the day, right after `wait_of`.
local function begin_day(limit, now)
  local all = all_of(limit)
  local messages, before = limit.usual / limit.rule.cost, limit.past and limit.past[MESSAGES] or 0
  limit.past = {limit.usual, messages, floor(now / DAY_MS), 0}
  all.since, all.messages = all.since or now, all.messages + messages - before
  write('HSET', limit.all_key, 'since', digits(all.since), 'messages', string.format('%.17g', all.messages))
  write('PEXPIRE', limit.all_key, USUAL_LIFE)
end

-- Notes what a budget only observed to be too much, right after `wait_of`: people got it, so it says what is usual.
local function exceed(limit, now)
  if not limit.past or limit.past[DAY] ~= floor(now / DAY_MS) then begin_day(limit, now) end
  limit.past[OVER] = limit.past[OVER] + limit.rule.cost
  save_counts(limit, limit.rule.life)
end

-- Counts a hit, right after `wait_of` has judged the limit at the same time.
local function hold(limit, nonce, now)
  local rule = limit.rule
  if rule.relative and not (limit.past and limit.past[DAY] == floor(now / DAY_MS)) then begin_day(limit, now) end
  if rule.most > 0 then limit.log = log_with(limit.log, now, nonce, rule.most) end
  for _, window in ipairs(rule.windows) do
    if not window.logged then
      limit.counters = limit.counters or {}
      count_in(limit.counters, window.seconds, floor(now / window.ms), rule.cost)
    end
  end
  -- Twice the longest window: its bucket is needed for less than two.
  save_counts(limit, rule.life)
end

-- What an approval gives back of a hit, as records and events carry it: "<partition>,<name>:<tag>,<nonce>,<time>;".
local function credit_of(key, nonce, at)
  return key:match('{(%d+)}') .. ',' .. key:match('limit:(.*)$') .. ',' .. nonce .. ',' .. digits(at) .. ';'
end

-- The longest of `least` and what each enforced limit would have a hit wait.
local function longest_wait(limits, now, least)
  for _, limit in ipairs(limits) do
    if limit.rule.enforced then least = max(least, wait_of(limit, now)) end
  end
  return least
end

-- A limit as a decision's record shows it: the window that decides, its count and bound, and what follows. Reads only.
local function verdict_of(limit, now)
  limit.explained = true
  local rule, wait, shown = limit.rule, wait_of(limit, now), nil
  for _, window in ipairs(rule.windows) do
    local amount, ms, count, need = window.amount, window.ms, 0
    if window.logged then
      for place = 1, rule.most do
        if (logged_at(limit.log, place) or 0) >= now - ms then count = count + 1 end
      end
      need = log_wait(limit.log, amount, ms, now)
    else
      if rule.relative and ms == DAY_MS then amount = limit.bound end
      count, need = counted(limit.counters, window, now), counter_wait(limit.counters, window, amount, now, rule.cost)
    end
    if not shown or need > shown.wait or (need == shown.wait and count / amount > shown.count / shown.bound) then
      shown = {wait = need, count = count, bound = amount, window = ms}
    end
  end
  shown.name, shown.kind = rule.name, rule.budget and 'budget' or 'limit'
  shown.mode = rule.enforced and 'enforce' or 'observe'
  shown.verdict = wait == 0 and 'pass' or rule.enforced and 'refuse' or 'observe'
  shown.key, shown.cost = limit.key:match('([^:]*)$'), rule.cost
  if rule.relative and shown.window == DAY_MS then
    local times, share_of_all, at_least = unpack(rule.relative)
    local all = all_of(limit)
    shown.evidence = {usual = limit.usual, times_usual = times, messages_in_all = all.messages,
      share_of_all = share_of_all, at_least = at_least,
      learning = (not all.since or now - all.since < LEARN_MS) and 1 or 0}
  end
  return shown
end

-- What the limit of a name counts: a number's tag, an address's, or what else its key ends with. Nil where none is
-- called so.
local function counted_by(name, limits)
  for _, limit in ipairs(limits) do
    if limit.rule.name == name then return limit.key:match('([^:]*)$') end
  end
end

local function verdicts_of(limits, now)
  local judged = {}
  for i, limit in ipairs(limits) do judged[i] = verdict_of(limit, now) end
  return judged
end

-- Judges all, then holds all or none. Returns the name and wait of the enforced limit that refuses longest (nil where
-- none does), the names of the observed ones that would have refused, the places of those held: only they may be given
-- back, since a counter would lose another's hit; and what its refusal is called. `peek` limits are judged, never held.
-- Where `is_told` says so of how many of them there are, it returns last what each limit said.
local function acquire(limits, nonce, now, is_told)
  local refused, longest, observed, held, exceeded, kind = nil, 0, {}, {}, {}, nil
  for i, limit in ipairs(limits) do
    local rule, wait = limit.rule, wait_of(limit, now)
    if wait == 0 then
      if not rule.peek then held[#held + 1] = i end
    elseif not rule.enforced then
      observed[#observed + 1] = rule.name
      if rule.relative then exceeded[#exceeded + 1] = limit end
    elseif wait > longest then
      refused, longest, kind = rule.name, wait, rule.budget and 'blocked' or 'rate-limited'
    end
  end
  if refused then return refused, longest, observed, {}, kind end
  local judged = is_told and is_told(#observed) and verdicts_of(limits, now) or nil
  for _, i in ipairs(held) do hold(limits[i], nonce, now) end
  for _, limit in ipairs(exceeded) do exceed(limit, now) end
  return nil, longest, observed, held, nil, judged
end

-- Judges limits of a check, each for itself: a wrong code is counted where there is room, whatever another says.
-- Returns the name and wait of the enforced limit that refuses longest (nil where none does), and the places of those
-- with room. The names of what only watches and would refuse are added to `observed`.
local function judge_check(limits, now, observed)
  local refused, longest, open = nil, 0, {}
  for i, limit in ipairs(limits) do
    local wait = wait_of(limit, now)
    if wait == 0 then
      open[#open + 1] = i
    elseif not limit.rule.enforced then
      observed[#observed + 1] = limit.rule.name
    elseif wait > longest then
      refused, longest = limit.rule.name, wait
    end
  end
  return refused, longest, open
end

return {credit_of = credit_of, limit_of = limit_of, DAY_MS = DAY_MS, longest_wait = longest_wait,
  counted_by = counted_by, verdicts_of = verdicts_of, acquire = acquire, hold = hold, judge_check = judge_check,
  rule_from = rule_from, read_limits = read_limits, verdict_of = verdict_of}
