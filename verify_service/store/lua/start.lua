local min = math.min
local put = import('writing').put
local layouts = import 'layouts'
local common = import 'common'
local keeping_last, digits, record_decision, record_refusal, may_record, record_of, save_record, ID, note, emit,
  emit_refused, carry, queue, withdraw, finish, replay_of, remember =
  common.keeping_last, common.digits, common.record_decision, common.record_refusal, common.may_record,
  common.record_of, common.save_record, common.ID, common.note, common.emit, common.emit_refused, common.carry,
  common.queue, common.withdraw, common.finish, common.replay_of, common.remember
local evaluation = import 'evaluation'
local open_rules, judge_all, hold_all, longest_wait, verdicts_of, near_of, counted_by =
  evaluation.open_rules, evaluation.judge_all, evaluation.hold_all, evaluation.longest_wait, evaluation.verdicts_of,
  evaluation.near_of, evaluation.counted_by
local of_resend = import('refunds').of_resend
local unreachable_for = import('deliveries').unreachable_for

-- The tag of the address in a start's facts, or nil.
local function address_of(facts)
  local address = layouts.open_facts(facts).ip
  return address ~= '' and address or nil
end

local settings_of = keeping_last(layouts.open_settings)

-- start: one start, judged, counted, recorded and queued in one step. Called by the service.
--   KEYS[1]  live:<number>:<tenant>:<purpose>    the pointer; every other key of its partition shares its prefix
--   KEYS[2]  idempotency:<tag>                   only where ARGV[4] is not ''
--   KEYS[…]  limit:<name>:<tag>                  one per limit judged here
--   ARGV[1]  now          ARGV[2]  settings    ARGV[3]  start_ask
--   ARGV[4]  fingerprint of the body under its Idempotency-Key, or ''      ARGV[5]  the sealed number
--   ARGV[6]  the kinds of the rules   ARGV[…]  a spec for each limit key
-- Answers a started_answer, {'mismatch'}, {'replayed', <a started_answer>}, {'absent'} where the one verification that
-- it may send again is not pending, an opted_out_answer, cooldown_answer, sent_out_answer, or a limited_answer, whose
-- name is `unreachable` where a carrier said so.
-- A refusal has a decision record, decision:<id>, or shares one; so has what an observed limit or rule would have
-- refused, some a minute.

-- What is asked, by name.
local function asked(KEYS, ARGV)
  local ask = layouts.open_start_ask(ARGV[3])
  ask.now, ask.fingerprint, ask.sealed, ask.settings = tonumber(ARGV[1]), ARGV[4], ARGV[5], settings_of(ARGV[2])
  ask.base = KEYS[1]:match('^(.-{%d+}:)')
  ask.tested = ask.test ~= ''
  ask.event = {facts = ask.facts, unjudged = ask.unjudged, near = ask.near}
  return ask
end

-- 1. Was it answered before? Its answer, or nil.
local function answered(ask, KEYS)
  if ask.fingerprint == '' then return nil end
  local replay = replay_of(KEYS[2], ask.fingerprint, ask.now)
  if replay == 'mismatch' then return {'mismatch'} end
  return replay ~= 'new' and {'replayed', replay} or nil
end

-- 2. Reads all that decides, in one command: `out` where consent was taken back, `lost`, for how long nothing reaches
-- the number, `old`, the verification that is pending, and the states of the rules.
local function read_state(ask, KEYS, ARGV)
  local base, number, tenant, now = ask.base, ask.number, ask.tenant, ask.now
  local keys = {
    base .. 'consent:' .. number .. ':' .. tenant, KEYS[1], base .. 'unreachable:' .. number .. ':' .. ask.channel,
  }
  for _, tag in ipairs(ask.former) do keys[#keys + 1] = base .. 'consent:' .. tag .. ':' .. tenant end
  local states, found = open_rules(keys, KEYS, ask.fingerprint == '' and 2 or 3, ARGV, 6)
  local out = found[1] == 'out'
  for i = 1, #ask.former do out = out or found[3 + i] == 'out' end
  local old_id = found[2] and found[2]:sub(1, ID)
  local old = old_id and record_of(base, old_id) or nil
  if old and (old.status ~= 'pending' or old.expires_at <= now) then old = nil end
  return {out = out, lost = ask.tested and 0 or unreachable_for(found[3], now), old = old, old_id = old_id,
    resend = old ~= nil and old.binding == ask.binding, states = states}
end

-- 3. Judges. What refuses, as {kind, by, wait, and what is answered in place of `by` and what was observed}, or nil;
-- and the names of what only observes and would refuse.
local function judge(ask, state)
  local old, now, states = state.old, ask.now, state.states
  if state.out then return {kind = 'opted-out', by = 'opted-out', wait = 0}, {} end
  if state.lost > 0 then return {kind = 'blocked', by = 'unreachable', wait = state.lost}, {} end
  if old and old.sends >= old.sends_max then
    -- The wait is until a retry can pass, and that one meets the limits too.
    local wait = longest_wait(states, now, old.expires_at - now)
    local answer = {id = state.old_id, expires_at = old.expires_at}
    return {kind = 'sends-exhausted', by = 'sends-exhausted', wait = wait, answer = answer}, {}
  end
  if state.resend and now < old.resend_at then
    -- Another binding is another message to the person, so it need not wait; its sends count all the same.
    local wait = longest_wait(states, now, min(old.resend_at, old.expires_at) - now)
    local answer = {id = state.old_id, resend_at = old.resend_at, expires_at = old.expires_at}
    return {kind = 'cooldown', by = 'cooldown', wait = wait, answer = answer}, {}
  end
  local refusing, observed = judge_all(states, now)
  -- Of a refused start, too: a backtest of the export may admit it.
  local near = near_of(states)
  if near ~= '' then ask.event.near = near end
  if not refusing then return nil, observed end
  refusing.kind.refuse(refusing)
  return {kind = refusing.kind.refusal, by = refusing.rule.name, wait = refusing.wait, rule = refusing}, observed
end

local REFUSED = {
  ['opted-out'] = layouts.array_opted_out_answer,
  ['sends-exhausted'] = layouts.array_sent_out_answer,
  cooldown = layouts.array_cooldown_answer,
}

-- 4. Refuses: with a decision record, and an event where that becomes one.
local function refuse(ask, state, refusal, observed)
  local kind, by, who = refusal.kind, refusal.by, ask.number
  if refusal.rule then who = counted_by(refusal.rule) or address_of(ask.facts) or who end
  for _, name in ipairs(ask.context.observed) do observed[#observed + 1] = name end
  local function judged() return state.out and {} or verdicts_of(state.states, ask.now) end
  local decision, count = record_refusal(ask.base, ask.settings.keep_events, ask.decision, ask.now, ask.tenant, kind,
    by, refusal.wait, ask.context, who, judged)
  if not (ask.tested or state.out) then
    local about = state.old and state.old_id or ask.id
    emit_refused(ask.base, ask.settings.keep_events, ask.now, about, ask.event, by, decision, count, observed)
  end
  local answer = refusal.answer or {name = by, observed = observed}
  answer.kind, answer.wait, answer.decision = kind, refusal.wait, decision
  return (REFUSED[kind] or layouts.array_limited_answer)(answer)
end

-- Of how many digits a nonce's code is, as its end behind 32 digits says; '' of one that an earlier version made.
local function length_of(nonce) return nonce:sub(33) end

-- A resend goes out with the verification that is pending. A key that has left the ring derives no code any more, and
-- of another length it would be another code than the one that is compared: then it brings a new one.
local function resent(ask, record)
  local known = false
  for _, each in ipairs(ask.ring) do known = known or each == record.kid end
  local was = length_of(record.nonce)
  if ask.settings.renew or not known or (was ~= '' and was ~= length_of(ask.nonce)) then
    record.nonce, record.kid, record.digest = ask.nonce, ask.kid, ask.digest
    withdraw(ask.base, record, ask.now)
  end
  return record
end

-- A new verification. One that is pending with another binding ends here, but neither sends nor wrong codes start
-- again.
local function begun(ask, state)
  local now, settings, old = ask.now, ask.settings, state.old
  local record = {
    tenant = ask.tenant, number = ask.number, purpose = ask.purpose, status = 'pending', binding = ask.binding,
    nonce = ask.nonce, kid = ask.kid, digest = ask.digest, created_at = now, expires_at = now + settings.life,
    sends = 0, wrong = 0, checks_max = settings.checks, sends_max = settings.sends, outbox = '', refunds = '',
    mistyped = '', test = ask.test, timeline = '', country = ask.country, place = ask.place,
  }
  note(record, now, 'started')
  if old then
    record.sends, record.wrong = old.sends, old.wrong
    finish(ask.base, state.old_id, old, 'canceled', now, true)
    note(old, now, 'canceled', nil, 'started again with another binding')
    save_record(ask.base, state.old_id, old)
    emit(ask.base, settings.keep_events, now, 'canceled', state.old_id, old)
  end
  return record
end

-- Counts by every rule; where something only observed would refuse, some a minute have a record. Returns what an end of
-- the verification gives back, and the verdicts for the record, or nil.
local function count(ask, state, observed)
  local judged
  local would = not ask.tested and #observed + #ask.context.observed > 0
  if would and may_record(ask.base, ask.now, ask.settings.keep_events) then
    judged = verdicts_of(state.states, ask.now)
  end
  local given = hold_all(state.states, ask.request, ask.now, state.resend)
  if not state.resend then return ask.refunds .. given, judged end
  -- What was counted elsewhere for a resend, which is no verification of its own, is taken back there.
  local undo, left = of_resend(ask.refunds .. given)
  if undo ~= '' then carry(ask.base, ask.settings.keep_events, 'undo', 'refunds', undo) end
  return left, judged
end

-- Tells of an admitted start, and queues its message.
local function send(ask, id, record, observed, judged, instead)
  local base, now, keep_events, said = ask.base, ask.now, ask.settings.keep_events, ask.event
  said.observed = table.concat(observed, ',')
  if judged then
    record_decision(base, ask.decision, now, ask.tenant, '', '', 0, ask.context, judged)
    said.decision = ask.decision
  end
  emit(base, keep_events, now, 'start', id, said)
  note(record, now, 'queued', nil, instead)
  record.outbox = queue(base, 'id', id, 'nonce', record.nonce, 'kid', record.kid,
    'expires_at', digits(record.expires_at), 'to', ask.sealed, unpack(ask.message))
end

-- 5. Admits: counts, and writes record, pointer, event and message together.
local function admit(ask, state, observed, KEYS)
  local base, now, settings, channel = ask.base, ask.now, ask.settings, ask.channel
  local given, judged = count(ask, state, observed)
  for _, name in ipairs(ask.context.observed) do observed[#observed + 1] = name end
  local id = state.resend and state.old_id or ask.id
  local record = state.resend and resent(ask, state.old) or begun(ask, state)
  local instead = state.resend and record.channel ~= channel and 'by ' .. channel .. ' in place of ' .. record.channel
  record.channel = channel
  record.sends = record.sends + 1
  record.resend_at = now + settings.cooldown[min(record.sends, #settings.cooldown)]
  record.refunds = record.refunds .. given
  if not ask.tested then send(ask, id, record, observed, judged, instead or nil) end
  save_record(base, id, record, record.expires_at - now + settings.keep_ms)
  put(KEYS[1], id .. ask.sealed, record.expires_at - now)

  local answer = layouts.array_started_answer({
    kind = state.resend and 'resent' or 'started', id = id, created_at = record.created_at,
    expires_at = record.expires_at, resend_at = record.resend_at, checks_left = record.checks_max - record.wrong,
    sends_left = record.sends_max - record.sends, channel = channel, observed = observed,
  })
  if ask.fingerprint ~= '' then remember(KEYS[2], ask.fingerprint, now, settings.replay_ms, answer) end
  return answer
end

local function start(KEYS, ARGV)
  local ask = asked(KEYS, ARGV)
  local answer = answered(ask, KEYS)
  if answer then return answer end
  local state = read_state(ask, KEYS, ARGV)
  if ask.only ~= '' and not (state.resend and state.old_id == ask.only) then return {'absent'} end
  local refusal, observed = judge(ask, state)
  if refusal then return refuse(ask, state, refusal, observed) end
  return admit(ask, state, observed, KEYS)
end

return {start = start}
