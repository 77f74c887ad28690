local min = math.min
local layouts = import 'layouts'
local writing = import 'writing'
local get, put, remove, write, of_type = writing.get, writing.put, writing.remove, writing.write, writing.of_type
local common = import 'common'
local emit, digits, record_refusal, replay_of, remember, DAY_MS =
  common.emit, common.digits, common.record_refusal, common.replay_of, common.remember, common.DAY_MS
local tell_user = import('notices').tell_user
local evaluation = import 'evaluation'
local open_rules, judge_each, verdicts_of = evaluation.open_rules, evaluation.judge_each, evaluation.verdicts_of

-- users: what is kept of a tenant's users, and their second factors.
--
-- A user is one record under user:<tag>. It has a time to live until a factor is verified or a contact set, and then
-- none. Beside it, approvals:<tag> has what may be asked for again, by the fingerprint of its binding. `sealed` counts
-- by kid what each key seals in records that last, so that a key can be let go when it seals nothing.

-- HASH_BYTES is the length of a recovery code's hash, as authenticators.py has it.
local USED_STEPS, MOST_APPROVALS, HASH_BYTES = 30, 100, 16

local function user_of(key)
  local packed = get(key)
  -- One that cannot be read is an error, which answers 503: it must not be written over.
  return packed and layouts.open_user(packed)
end

local function has_factor(user)
  for _, factor in ipairs(user.factors) do
    if factor.status == 'verified' then return true end
  end
  return false
end

local function lasts(user) return has_factor(user) or user.channel ~= '' end

-- What is sealed in a record, as {what holds it, its name there}: the user's name, where notices go, and each
-- factor's secret.
local function pieces_of(user)
  local found = {{user, 'name'}}
  if user.channel ~= '' then found[2] = {user, 'to'} end
  for _, factor in ipairs(user.factors) do found[#found + 1] = {factor, 'sealed'} end
  return found
end

-- How much of a record each kid seals, added to `counts` times `by`; what nobody verified goes by itself.
local function count_sealed(counts, user, by)
  if not user or not lasts(user) then return end
  for _, piece in ipairs(pieces_of(user)) do
    local holder, name = piece[1], piece[2]
    if holder.status ~= 'unverified' then
      local kid = holder[name]:match('^(%w*):') or ''
      counts[kid] = (counts[kid] or 0) + by
    end
  end
end

local function new_user(subject)
  return {tenant = subject.tenant, name = subject.name, factors = {}, salt = '', codes = '', to = '', message = '',
    channel = '', wrong = 0, warned_at = 0}
end

-- A record as it is changed: `was` what each kid sealed in it before.
local function open(KEYS)
  local base, key = KEYS[1]:match('^(.-{%d+}:)'), KEYS[1]
  local user = user_of(key)
  local change = {base = base, key = key, user = user, sealed = {}, lasted = user and lasts(user)}
  count_sealed(change.sealed, user, -1)
  return change
end

local function approvals_of(key) return (key:gsub('user:', 'approvals:', 1)) end

local function forget_approvals(key)
  of_type('HLEN', approvals_of(key))
  write('DEL', approvals_of(key))
end

local function save(change)
  local user, key = change.user, change.key
  if user and not has_factor(user) then
    user.salt, user.codes = '', ''
    if #user.factors == 0 and not lasts(user) then user = nil end
  end
  count_sealed(change.sealed, user, 1)
  if not user then
    remove(key)
    forget_approvals(key)
  else
    local long = lasts(user)
    put(key, layouts.pack_user(user), not long and DAY_MS or nil)
    if long and not change.lasted then write('PERSIST', key) end
  end
  for kid, more in pairs(change.sealed) do
    if more ~= 0 then
      of_type('HLEN', change.base .. 'sealed')
      write('HINCRBY', change.base .. 'sealed', kid, digits(more))
    end
  end
end

local function factor_of(user, id)
  for place, factor in ipairs(user and user.factors or {}) do
    if factor.id == id then return factor, place end
  end
end

-- Tells what happened to a user's factor, '' where it is none of them.
local function tell(change, keep_events, now, event, subject, kind, id)
  emit(change.base, keep_events, now, event, id, {tenant = subject.tenant, user = subject.user, kind = kind})
end

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

-- enrol: adds a factor. One that was not verified goes within a day, and gives way where there is no room.
--   KEYS[1]  user:<tag>
--   ARGV[1]  now   ARGV[2]  keep_events   ARGV[3]  subject   ARGV[4]  factor   ARGV[5]  how many a user may have
-- Answers 'enrolled', 'full', or 'known' where it is there.
local function enrol(KEYS, ARGV)
  local now, subject, factor = tonumber(ARGV[1]), layouts.open_subject(ARGV[3]), layouts.open_factor(ARGV[4])
  local change = open(KEYS)
  local user = change.user or new_user(subject)
  if factor_of(user, factor.id) then return 'known' end
  change.user = user
  local kept, spare = {}, nil
  for _, each in ipairs(user.factors) do
    if each.status == 'verified' or each.created_at > now - DAY_MS then
      kept[#kept + 1] = each
      if each.status ~= 'verified' and not spare then spare = #kept end
    end
  end
  if #kept >= tonumber(ARGV[5]) then
    if not spare then return 'full' end
    table.remove(kept, spare)
  end
  kept[#kept + 1] = factor
  user.factors = kept
  save(change)
  local event = factor.status == 'verified' and 'factor-verified' or 'factor-enrolled'
  tell(change, ARGV[2], now, event, subject, factor.kind, 'fa_' .. factor.id)
  return 'enrolled'
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

-- remove_factor: takes a factor from its user, and forgets what was approved. With the last one that was verified, the
-- recovery codes are void.
--   KEYS[1]  user:<tag>   ARGV[1]  now   ARGV[2]  keep_events   ARGV[3]  subject   ARGV[4]  the factor's id
-- Answers 1, or 0 where there is none.
local function remove_factor(KEYS, ARGV)
  local change, subject = open(KEYS), layouts.open_subject(ARGV[3])
  local factor, place = factor_of(change.user, ARGV[4])
  if not factor then return 0 end
  table.remove(change.user.factors, place)
  save(change)
  forget_approvals(change.key)
  tell(change, ARGV[2], tonumber(ARGV[1]), 'factor-removed', subject, factor.kind, 'fa_' .. factor.id)
  return 1
end

-- recovery_codes: gives a user new recovery codes; those of before are void.
--   KEYS[1]  user:<tag>   ARGV[1]  now   ARGV[2]  keep_events   ARGV[3]  subject   ARGV[4]  salt   ARGV[5]  hashes
--   ARGV[6]  the id of what happened
-- Answers 1, or 0 where the user has no verified factor.
local function recovery_codes(KEYS, ARGV)
  local change, subject = open(KEYS), layouts.open_subject(ARGV[3])
  if not change.user or not has_factor(change.user) then return 0 end
  change.user.salt, change.user.codes = ARGV[4], ARGV[5]
  save(change)
  tell(change, ARGV[2], tonumber(ARGV[1]), 'recovery-codes', subject, 'recovery-code', ARGV[6])
  return 1
end

-- set_contact: says where a user's notices go, or that they go nowhere.
--   KEYS[1]  user:<tag>   ARGV[1]  now   ARGV[2]  keep_events   ARGV[3]  subject   ARGV[4]  a contact
--   ARGV[5]  the id of what happened
-- Answers 1, or 0 where they went nowhere before.
local function set_contact(KEYS, ARGV)
  local change, subject, contact = open(KEYS), layouts.open_subject(ARGV[3]), layouts.open_contact(ARGV[4])
  local user = change.user or new_user(subject)
  if contact.channel == '' and user.channel == '' then return 0 end
  change.user = user
  user.to, user.message, user.channel = contact.to, contact.message, contact.channel
  save(change)
  local number = contact.channel ~= '' and layouts.open_content(contact.message).number or ''
  emit(change.base, ARGV[2], tonumber(ARGV[1]), 'contact', ARGV[5], {tenant = subject.tenant, user = subject.user,
    number = number, channel = contact.channel})
  return 1
end

-- erase_user: forgets a user, and what Twilio's API asked of it.
--   KEYS[1]  user:<tag>   ARGV[1]  now   ARGV[2]  keep_events   ARGV[3]  subject   ARGV[4]  the id of what happened
-- Answers 1, or 0 where there was nobody.
local function erase_user(KEYS, ARGV)
  local change, subject = open(KEYS), layouts.open_subject(ARGV[3])
  remove((KEYS[1]:gsub('user:', 'entity:', 1)))
  if not change.user then return 0 end
  change.user = nil
  save(change)
  tell(change, ARGV[2], tonumber(ARGV[1]), 'user-erased', subject, '', ARGV[4])
  return 1
end

return {user = look, enrol = enrol, check_factor = check_factor, remove_factor = remove_factor,
  recovery_codes = recovery_codes, set_contact = set_contact, erase_user = erase_user,
  open = open, save = save, factor_of = factor_of, pieces_of = pieces_of}
