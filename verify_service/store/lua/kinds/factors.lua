-- factors: whether a code may be sent to a user who has a verified factor. It counts nothing: what it judges by is the
-- user's record, user:<tag>, as users.lua keeps it.

local get = import('writing').get
local keeping = import('common').keeping
local layouts = import 'layouts'
local counted_of = import('windows').counted_of

local rule_for = keeping(layouts.open_limit_spec)

local function open(kind, key, place, looked_at, spec)
  return {kind = kind, key = key, place = place, looked_at = looked_at, rule = rule_for(spec), wait = nil, verified = 0}
end

-- A record of another type, or one that cannot be read, is an error: it must not pass for a user without factors.
local function read(state, _, place)
  local packed = get(state.key)
  for _, factor in ipairs(packed and layouts.open_user(packed).factors or {}) do
    if factor.status == 'verified' then state.verified = state.verified + 1 end
  end
  return place
end

-- It lets a start pass once the user has none, and nobody knows when that is: no wait is promised.
local function judge(state) return state.verified > 0 and 1 or 0 end

local function hold() return '', false end

local function verdict(state, now)
  local rule, refuses = state.rule, judge(state, now) > 0
  return {
    name = rule.name, kind = state.kind.name, mode = rule.enforced and 'enforce' or 'observe', wait = 0,
    verdict = not refuses and 'pass' or rule.enforced and 'refuse' or 'observe', key = counted_of(state.key),
    evidence = {verified = state.verified},
  }
end

return {refusal = 'blocked', counts = true, first = true, open = open, read = read, judge = judge, hold = hold,
  verdict = verdict}
