-- budget: what messages may cost. A limit whose hit has a cost in micro-dollars, always counted by bucket.
--
-- One that knows what is usual bounds its day by that too; its past, in its key, is
--   usual, messages  what a day costs by its own past, and how many messages that is
--   day, over        the day that is being counted; what was let pass above the bound, where it is only observed
-- and for all of the same budget (of the same tenant, where it goes by tenant), in the same slot
--   usual:<name>[:<tenant tag>]   hash: since (its first start), messages (the sum)

local max, min, floor, ceil = math.max, math.min, math.floor, math.ceil
local write = import('writing').write
local common = import 'common'
local digits, keeping, DAY_MS = common.digits, common.keeping, common.DAY_MS
local open_budget_spec = import('layouts').open_budget_spec
local counts = import 'counts'
local open_counts, save_counts, counted_in, give_back =
  counts.open_counts, counts.save_counts, counts.counted_in, counts.give_back
local windows = import 'windows'
local rule_of, counter_wait, count, verdict_of =
  windows.rule_of, windows.counter_wait, windows.count, windows.verdict_of

local USUAL_LIFE = 32 * DAY_MS
local USUAL, MESSAGES, DAY, OVER = 1, 2, 3, 4
-- Before that nothing is known to be usual. The first days weigh the same, later a day half as much as one a week
-- younger; it counts for twice the usual at most: an attack does not make itself usual.
local LEARN_MS, EVEN_DAYS, DAY_SHARE, DAY_MOST = 2 * DAY_MS, 10, 1 - 0.5 ^ (1 / 7), 2

local function made(spec)
  local rule = rule_of(spec, false)
  rule.cost, rule.by_usual = spec.cost, spec.by_usual
  if rule.by_usual then rule.life = max(rule.life, USUAL_LIFE) end
  return rule
end

-- As many as countries, each of which has its cost.
local rule_for = keeping(function(packed) return made(open_budget_spec(packed)) end)

local function open(kind, key, place, looked_at, spec, keys)
  keys[#keys + 1] = key
  return {kind = kind, key = key, place = place, looked_at = looked_at, rule = rule_for(spec), wait = nil,
    counters = nil, past = nil, usual = nil, bound = nil}
end

local function read(budget, found, place)
  open_counts(budget, found[place])
  return place + 1
end

local function all_of(budget)
  if not budget.all then
    budget.all_key = budget.key:match('^(.-{%d+}:)') .. 'usual:' .. budget.rule.name .. budget.rule.by_usual.tenant
    local since, messages = unpack(redis.call('HMGET', budget.all_key, 'since', 'messages'))
    budget.all = {since = tonumber(since), messages = tonumber(messages) or 0}
  end
  return budget.all
end

-- What a day of the budget usually costs, with all days that have ended.
local function usual_of(budget, now)
  local past, by_usual = budget.past, budget.rule.by_usual
  if not past then return 0 end
  local usual, day, today = past[USUAL], past[DAY], floor(now / DAY_MS)
  if day >= today then return usual end
  -- Whole days that the budget has counted; its first one was only a part.
  local days = day + 1 - ceil((all_of(budget).since or now) / DAY_MS)
  if days < 1 then return usual end
  local spent = counted_in(budget.counters, DAY_MS / 1000, day) + past[OVER]
  if days * DAY_MS > LEARN_MS then
    spent = min(spent, max(DAY_MOST * usual, by_usual.at_least / by_usual.times))
  end
  usual = usual + (days <= EVEN_DAYS and 1 / days or DAY_SHARE) * (spent - usual)
  local quiet = today - day - 1
  local even = max(0, min(quiet, EVEN_DAYS - days))
  return floor(usual * days / (days + even) * (1 - DAY_SHARE) ^ (quiet - even))
end

-- The most that a day may cost where `window` says what is written for it. What is usual in all is looked up only where
-- that decides. Returns also whether the hit is known to fit.
local function day_bound(budget, window, now)
  local by_usual, cost, most = budget.rule.by_usual, budget.rule.cost, window.amount
  budget.usual = usual_of(budget, now)
  local own = max(by_usual.at_least, by_usual.times * budget.usual)
  local fits = own < most and counter_wait(budget.counters, window, own, now, cost) == 0
  if (fits or own >= most) and not budget.explained then return min(own, most), fits end
  local all = all_of(budget)
  if not all.since or now - all.since < LEARN_MS then return most end
  return min(most, floor(max(own, by_usual.share_of_all * all.messages * cost)))
end

local function judge(budget, now)
  local rule, wait = budget.rule, 0
  for _, window in ipairs(rule.windows) do
    local amount, fits, need = window.amount, false, 0
    if rule.by_usual and window.ms == DAY_MS then
      amount, fits = day_bound(budget, window, now)
      budget.bound = amount
    end
    if not fits then need = counter_wait(budget.counters, window, amount, now, rule.cost) end
    if need > wait then wait = need end
  end
  return wait
end

-- Ends the days before this one, with the first start of the day, right after `judge`.
local function begin_day(budget, now)
  if budget.past and budget.past[DAY] == floor(now / DAY_MS) then return end
  local all = all_of(budget)
  local messages, before = budget.usual / budget.rule.cost, budget.past and budget.past[MESSAGES] or 0
  budget.past = {budget.usual, messages, floor(now / DAY_MS), 0}
  all.since, all.messages = all.since or now, all.messages + messages - before
  write('HSET', budget.all_key, 'since', digits(all.since), 'messages', string.format('%.17g', all.messages))
  write('PEXPIRE', budget.all_key, USUAL_LIFE)
end

-- What it only observed to be too much: people got it, so it says what is usual.
local function exceed(budget, _, now)
  if budget.rule.by_usual then
    begin_day(budget, now)
    budget.past[OVER] = budget.past[OVER] + budget.rule.cost
    save_counts(budget, budget.rule.life)
  end
  return '', false
end

local function hold(budget, nonce, now)
  if budget.rule.by_usual then begin_day(budget, now) end
  count(budget, nonce, now, budget.rule.cost)
  return '', true
end

local function verdict(budget, now)
  budget.explained = true
  local rule, wait = budget.rule, judge(budget, now)
  local function bound(window) return rule.by_usual and window.ms == DAY_MS and budget.bound or window.amount end
  local shown = verdict_of(budget, wait, now, rule.cost, bound)
  if rule.by_usual and shown.window == DAY_MS then
    local by_usual, all = rule.by_usual, all_of(budget)
    shown.evidence = {usual = budget.usual, times_usual = by_usual.times, messages_in_all = all.messages,
      share_of_all = by_usual.share_of_all, at_least = by_usual.at_least,
      learning = (not all.since or now - all.since < LEARN_MS) and 1 or 0}
  end
  return shown
end

return {refusal = 'blocked', counts = true, made = made, open = open, read = read, judge = judge, hold = hold,
  exceed = exceed, verdict = verdict, undo = give_back}
