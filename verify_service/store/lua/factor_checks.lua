local min = math.min
local layouts = import 'layouts'
local writing = import 'writing'
local get, write = writing.get, writing.write
local common = import 'common'
local record_refusal, replay_of, remember, DAY_MS =
  common.record_refusal, common.replay_of, common.remember, common.DAY_MS
local tell_user = import('notices').tell_user
local evaluation = import 'evaluation'
local open_rules, judge_each, verdicts_of = evaluation.open_rules, evaluation.judge_each, evaluation.verdicts_of
local users = import 'users'
local open, save, factor_of, has_factor, approvals_of, tell =
  users.open, users.save, users.factor_of, users.has_factor, users.approvals_of, users.tell

-- factor_checks: a code that a user typed. What is kept of users is in users.lua.

-- HASH_BYTES is the length of a recovery code's hash, as authenticators.py has it.
local USED_STEPS, MOST_APPROVALS, HASH_BYTES = 30, 100, 16

-- How many wrong codes the limits have room for, -1 where none counts them.
local function room(states, now)
  local least
  for _, state in ipairs(states) do
    if state.rule.enforced then least = min(least or math.huge, state.kind.left(state, now)) end
  end
  return least or -1
end

-- user: a user's record, and whether the limits have room for a code.
--   KEYS[1]  user:<tag>   KEYS[…]  limit:<name>:<tag>, one per limit on a user's wrong codes
--   ARGV[1]  now   ARGV[2]  the kinds of the limits   ARGV[…]  a spec for each limit
-- Answers a seen_user.
local function look(KEYS, ARGV)
  local now = tonumber(ARGV[1])
  local states = open_rules({}, KEYS, 2, ARGV, 2)
  local refusing = judge_each(states, now, {})
  return layouts.array_seen_user({
    record = get(KEYS[1]) or '', limit = refusing and refusing.rule.name or '',
    wait = refusing and refusing.wait or 0, left = room(states, now),
  })
end

-- Whether a time step is new, and the factor as it is then: each step is accepted once (RFC 6238, section 5.2), in
-- whatever order steps of one window come.
local function take_step(factor, step)
  local below = factor.counter - step
  if below < 0 then
    local moved = math.min(-below, USED_STEPS + 1)
    local used = factor.counter < 0 and 0 or factor.used * 2 + 1
    factor.used = used * 2 ^ (moved - 1) % 2 ^ USED_STEPS
    factor.counter = step
    return true
  end
  if below == 0 or below > USED_STEPS or math.floor(factor.used / 2 ^ (below - 1)) % 2 == 1 then return false end
  factor.used = factor.used + 2 ^ (below - 1)
  return true
end

-- Whether HOTP has not come past a counter yet, and the factor as it is then. One far ahead is believed when the next
-- comes behind it (RFC 4226, section 7.4); until then it is wrong.
local function take_counter(factor, match)
  if match.counter < factor.counter then return 'used' end
  if match.ahead and match.counter ~= factor.ahead then
    factor.ahead = match.counter + 1
    return 'wrong'
  end
  factor.counter, factor.ahead = match.counter + 1, 0
  return 'approved'
end

-- The factor whose code it is, or nil, and what becomes of the code: a recovery code is gone then.
local function compare(user, ask, now)
  local word, last = 'wrong', nil
  for _, match in ipairs(ask.matches) do
    local factor = factor_of(user, match.factor)
    if factor and (factor.status == 'verified' or factor.id == ask.verifying) then
      local found
      if factor.kind == 'hotp' then
        found = take_counter(factor, match)
      else
        found = take_step(factor, match.counter) and 'approved' or 'used'
      end
      if match.sealed ~= '' then factor.sealed, user.name = match.sealed, ask.subject.name end
      if found == 'approved' then
        factor.used_at, factor.drift = now, match.drift
        return 'approved', factor
      end
      if found == 'used' then word, last = found, factor end
    end
  end
  for from = 1, ask.recovery ~= '' and #user.codes or 0, HASH_BYTES do
    if user.codes:sub(from, from + HASH_BYTES - 1) == ask.recovery then
      user.codes = user.codes:sub(1, from - 1) .. user.codes:sub(from + HASH_BYTES)
      return 'approved', {id = '', kind = 'recovery-code'}
    end
  end
  return word, last
end

-- Judges the limits on wrong codes. Returns the answer of a refusal, or nil; those that have room; what only observes
-- and would refuse.
local function judge(change, ask, states, now, keep_events)
  local observed = {}
  local refusing, open_states = judge_each(states, now, observed)
  if not refusing then return nil, open_states, observed end
  local subject, name, wait = ask.subject, refusing.rule.name, refusing.wait
  local decision = record_refusal(change.base, keep_events, ask.decision, now, subject.tenant, 'rate-limited', name,
    wait, layouts.name_context({ask.revision}), subject.user, function() return verdicts_of(states, now) end)
  return layouts.array_limited_answer({
    kind = 'rate-limited', name = name, wait = wait, observed = observed, decision = decision,
  })
end

local function keep_approval(change, ask, answer, now)
  local key = approvals_of(change.key)
  if redis.call('HLEN', key) >= MOST_APPROVALS then write('DEL', key) end
  local approval = {at = now, id = ask.id, factor = answer.factor, kind = answer.of_kind}
  write('HSET', key, ask.binding, layouts.pack_approval(approval))
  write('PEXPIRE', key, DAY_MS)
end

-- What an approval changes beyond its factor: the first verifies it, and brings recovery codes to who has none.
-- Returns whether it did that.
local function verified(user, ask, factor)
  if ask.verifying == '' or factor.id ~= ask.verifying or factor.status == 'verified' then return false end
  factor.status = 'verified'
  local brought = user.codes == '' and ask.codes ~= ''
  if brought then user.salt, user.codes = ask.salt, ask.codes end
  return true, brought
end

-- check_factor: counts, compares and consumes in one step. What matches is known to the caller, who tells nobody before
-- this has counted: no more wrong codes are told from right ones than the limits allow.
--   KEYS[1]  user:<tag>   KEYS[2]  idempotency:<tag>, only where ARGV[4] is not ''
--   KEYS[…]  limit:<name>:<tag>, one per limit on a user's wrong codes
--   ARGV[1]  now   ARGV[2]  keep_events   ARGV[3]  factor_ask   ARGV[4]  fingerprint or ''
--   ARGV[5]  the kinds of the limits   ARGV[…]  a spec for each limit
-- Answers a factor_answer, {'replayed', <one>}, {'absent'}, {'mismatch'}, {'unread'} where there is room by now, or a
-- limited_answer.
local function check_factor(KEYS, ARGV)
  local now, keep_events, ask, fingerprint = tonumber(ARGV[1]), ARGV[2], layouts.open_factor_ask(ARGV[3]), ARGV[4]
  local first = 2
  if fingerprint ~= '' then
    local replay = replay_of(KEYS[2], fingerprint, now)
    if replay == 'mismatch' then return {'mismatch'} end
    if replay ~= 'new' then return {'replayed', replay} end
    first = 3
  end
  local change = open(KEYS)
  local user = change.user
  local verifying = ask.verifying ~= '' and factor_of(user, ask.verifying)
  if not user or (ask.verifying == '' and not has_factor(user)) or (ask.verifying ~= '' and not verifying) then
    return {'absent'}
  end
  if verifying and verifying.status ~= 'verified' and verifying.created_at <= now - DAY_MS then return {'absent'} end
  local states = open_rules({}, KEYS, first, ARGV, 5)
  local refused, open_states, observed = judge(change, ask, states, now, keep_events)
  if refused then return refused end
  if ask.unread then return {'unread'} end
  local word, factor = compare(user, ask, now)
  local answer = {
    kind = word, id = ask.id, factor = factor and factor.id or '', of_kind = factor and factor.kind or '',
    codes_kept = 0, at = now, observed = observed,
  }
  local id = answer.factor ~= '' and 'fa_' .. answer.factor or ask.id
  local first_code, brought
  if word == 'approved' then
    first_code, brought = verified(user, ask, factor)
    if brought then answer.codes_kept = 1 end
    local event = first_code and 'factor-verified' or 'factor-approved'
    tell(change, keep_events, now, event, ask.subject, answer.of_kind, id)
    if ask.binding ~= '' then keep_approval(change, ask, answer, now) end
  elseif word == 'wrong' then
    for _, state in ipairs(open_states) do state.kind.hold(state, ask.request, now) end
    tell(change, keep_events, now, 'factor-wrong', ask.subject, '', ask.id)
  end
  answer.left = room(states, now)
  answer.codes_left = #user.codes / HASH_BYTES
  tell_user(change.base, keep_events, now, ask, user, {word = word, first = first_code,
    recovery = answer.of_kind == 'recovery-code', verifying = ask.verifying ~= ''})
  save(change)
  answer = layouts.array_factor_answer(answer)
  if fingerprint ~= '' then remember(KEYS[2], fingerprint, now, ask.replay_ms, answer) end
  return answer
end

return {user = look, check_factor = check_factor}
