-- limit: how often something may happen.

local counts = import 'counts'
local open_counts, give_back = counts.open_counts, counts.give_back
local keeping = import('common').keeping
local open_limit_spec = import('layouts').open_limit_spec
local windows = import 'windows'
local rule_of, log_wait, counter_wait, count, refund_of, hits_in, verdict_of =
  windows.rule_of, windows.log_wait, windows.counter_wait, windows.count, windows.refund_of, windows.hits_in,
  windows.verdict_of

-- A rule of a limit_spec.
local function made(spec)
  local rule = rule_of(spec, true)
  rule.net = spec.net
  return rule
end

local rule_for = keeping(function(packed) return made(open_limit_spec(packed)) end)

local function open(kind, key, place, looked_at, spec, keys)
  keys[#keys + 1] = key
  return {kind = kind, key = key, place = place, looked_at = looked_at, rule = rule_for(spec), wait = nil,
    counters = nil, log = nil}
end

local function read(limit, found, place)
  open_counts(limit, found[place])
  return place + 1
end

local function judge(limit, now)
  local log, counters, wait = limit.log, limit.counters, 0
  if not log and not counters then return 0 end
  for _, window in ipairs(limit.rule.windows) do
    local amount, need = window.amount
    if window.logged then
      need = log_wait(log, amount, window.ms, now)
    else
      need = counter_wait(counters, window, amount, now, 1)
    end
    if need > wait then wait = need end
  end
  return wait
end

local function hold(limit, nonce, now)
  count(limit, nonce, now, 1)
  return limit.rule.net and refund_of(limit.key, nonce, now) or '', true
end

-- How many hits it has room for.
local function left(limit, now)
  local least = math.huge
  for _, window in ipairs(limit.rule.windows) do
    least = math.min(least, window.amount - hits_in(limit, window, now))
  end
  return math.max(0, least)
end

local function verdict(limit, now)
  return verdict_of(limit, judge(limit, now), now, 1, function(window) return window.amount end)
end

local function approved(base, key, nonce, at, _, once) give_back(base, key, nonce, at, 1, once) end

return {refusal = 'rate-limited', counts = true, made = made, open = open, read = read, judge = judge, hold = hold,
  left = left, verdict = verdict, undo = give_back, approved = approved}
