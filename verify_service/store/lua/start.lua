local put = import('writing').put
local layouts = import 'layouts'
local common = import 'common'
local keeping_last, digits, record_decision, record_refusal, may_record, record_of, save_record, ID, note, emit,
  emit_refused, queue, withdraw, finish, replay_of, remember =
  common.keeping_last, common.digits, common.record_decision, common.record_refusal, common.may_record,
  common.record_of, common.save_record, common.ID, common.note, common.emit, common.emit_refused, common.queue,
  common.withdraw, common.finish, common.replay_of, common.remember
local limits = import 'limits'
local credit_of, longest_wait, counted_by, verdicts_of, acquire =
  limits.credit_of, limits.longest_wait, limits.counted_by, limits.verdicts_of, limits.acquire
local detector = import 'detector'
local watch_refuse, watch_admit, watch_verdict = detector.watch_refuse, detector.watch_admit, detector.watch_verdict
local judges = import 'judges'
local judges_of, watch_all = judges.judges_of, judges.watch_all
local unreachable_for = import('deliveries').unreachable_for

-- What an event says of neighbours, which nobody can see in an export: '1', '0', or '' where nothing is known.
local function near_of(states)
  for _, state in ipairs(states) do
    if state.near ~= nil then return state.near and '1' or '0' end
  end
  return ''
end

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
--   ARGV[1]  now          ARGV[2]  settings    ARGV[3]  ask
--   ARGV[4]  fingerprint of the body under its Idempotency-Key, or ''      ARGV[5]  the sealed number
--   ARGV[…]  a limit's spec, msgpack, for each limit key; a spec that starts with 'p' is peeked at, not held
-- Answers
--   {'started'|'resent', id, created_at, expires_at, resend_at, checks_left, sends_left, channel, observed}
--   {'mismatch'} · {'replayed', <the first form>} · {'opted-out', decision}
--   {'cooldown', wait_ms, id, resend_at, expires_at, decision} · {'sends-exhausted', wait_ms, id, expires_at, decision}
--   {'rate-limited'|'blocked', name, wait_ms, observed, decision}; the name is `unreachable` where a carrier said so
-- A refusal has a decision record, decision:<id>, or shares one; so has what an observed limit or rule would have
-- refused, some a minute.
local function start(KEYS, ARGV)
  local now, fingerprint = tonumber(ARGV[1]), ARGV[4]
  local ask, code, sealed = layouts.open_ask(ARGV[3]), settings_of(ARGV[2]), ARGV[5]
  local keep_events, idem_ms = code.keep_events, code.replay_ms
  local id, nonce, tenant, number = ask.id, ask.request, ask.tenant, ask.number
  local purpose, channel = ask.purpose, ask.channel
  local said, credits, test, decision, binding = ask.said, ask.credits, ask.test, ask.decision, ask.binding
  local context, former = ask.context, ask.former
  said[#said + 1], said[#said + 2] = 'facts', ask.facts
  local pointer = KEYS[1]
  local base = pointer:match('^(.-{%d+}:)')
  local first = 2
  if fingerprint ~= '' then
    local replay = replay_of(KEYS[2], fingerprint, now)
    if replay == 'mismatch' then return {'mismatch'} end
    if replay ~= 'new' then return {'replayed', replay} end
    first = 3
  end
  local keys = {
    base .. 'consent:' .. number .. ':' .. tenant, pointer, base .. 'unreachable:' .. number .. ':' .. channel,
  }
  for _, tag in ipairs(former) do keys[#keys + 1] = base .. 'consent:' .. tag .. ':' .. tenant end
  local limits, watches, found = judges_of(keys, KEYS, first, ARGV, 6 - first)
  local out, old_id, unreachable = found[1] == 'out', found[2] and found[2]:sub(1, ID), found[3]
  for i = 1, #former do out = out or found[3 + i] == 'out' end
  if out then
    return {'opted-out', (record_refusal(base, keep_events, decision, now, tenant, 'opted-out', 'opted-out', 0, context,
      number, function() return {} end))}
  end

  local old = old_id and record_of(base, old_id)
  if old and (old.status ~= 'pending' or old.expires_at <= now) then old = nil end

  local observed, states, judged, refusal = {}, {}, nil, nil
  local lost = test and 0 or unreachable_for(unreachable, now)
  if lost > 0 then
    refusal = {'blocked', 'unreachable', lost, observed}
  elseif old and old.sends >= old.sends_max then
    -- The wait is until a retry can pass, and that one meets the limits too.
    refusal = {'sends-exhausted', longest_wait(limits, now, old.expires_at - now), old_id, old.expires_at}
  elseif old and old.binding == binding and now < old.resend_at then
    -- Another binding is another message to the person, so it need not wait; its sends count all the same.
    local first_chance = math.min(old.resend_at, old.expires_at)
    refusal = {'cooldown', longest_wait(limits, now, first_chance - now), old_id, old.resend_at, old.expires_at}
  else
    states = watches
    local blocked, watched = watch_all(watches, found, now)
    -- Of a refused start, too: a backtest of the export may admit it.
    local near = near_of(states)
    if near ~= '' then said[#said + 1], said[#said + 2] = 'near', near end
    if blocked then
      watch_refuse(blocked)
      refusal = {'blocked', blocked.rule.name, blocked.wait, observed}
    else
      local name, wait, held, kind
      name, wait, observed, held, kind, judged = acquire(limits, nonce, now, function(count)
        return not test and count + #watched + #context.observed > 0 and may_record(base, now, keep_events)
      end)
      for _, state in ipairs(judged and states or {}) do judged[#judged + 1] = watch_verdict(state) end
      if name then refusal = {kind, name, wait, observed} end
      for _, i in ipairs(held) do
        local limit = limits[i]
        if limit.rule.net then credits = credits .. credit_of(limit.key, nonce, now) end
      end
      if not name and old and old.binding == binding then
        -- A resend is no trial of its own: what was counted for it in the country's partition is taken back, by way of
        -- the events.
        local undo = ''
        credits = credits:gsub('[^;]*,watch:[^;]*;', function(credit)
          undo = undo .. credit
          return ''
        end)
        if undo ~= '' then said[#said + 1], said[#said + 2] = 'undo', undo end
      elseif not name then
        for _, state in ipairs(states) do
          credits = credits .. watch_admit(state, nonce)
        end
      end
    end
    for _, each in ipairs(watched) do observed[#observed + 1] = each end
  end
  for _, name in ipairs(context.observed) do observed[#observed + 1] = name end
  if refusal then
    local by, wait = refusal[1], refusal[2]
    if type(wait) == 'string' then by, wait = wait, refusal[3] end
    local kind, who, count = refusal[1], number
    if kind == 'rate-limited' or (kind == 'blocked' and by ~= 'unreachable') then
      who = counted_by(by, limits) or address_of(ask.facts) or number
    end
    decision, count = record_refusal(base, keep_events, decision, now, tenant, kind, by, wait, context, who, function()
      local told = verdicts_of(limits, now)
      for _, state in ipairs(states) do told[#told + 1] = watch_verdict(state) end
      return told
    end)
    if not test then
      emit_refused(base, keep_events, now, old and old_id or id, said, by, decision, count, observed)
    end
    refusal[#refusal + 1] = decision
    return refusal
  end

  local record, resend = old, old and old.binding == binding
  if resend then
    id = old_id
    local known = false
    for _, each in ipairs(ask.ring) do known = known or each == record.kid end
    -- A key that has left the ring derives no code any more: the resend brings a new one.
    if code.renew or not known then
      record.nonce, record.kid, record.digest = ask.nonce, ask.kid, ask.digest
      withdraw(base, record, now)
    end
  else
    record = {
      tenant = tenant, number = number, purpose = purpose, status = 'pending', binding = binding,
      nonce = ask.nonce, kid = ask.kid, digest = ask.digest, created_at = now, expires_at = now + code.life,
      sends = 0, wrong = 0, checks_max = code.checks, sends_max = code.sends, outbox = '', credits = '', excused = '',
      test = test and '1' or '', timeline = '',
    }
    note(record, now, 'started')
    if old then
      -- Another binding: the pending one ends here, but neither sends nor wrong codes start again.
      record.sends, record.wrong = old.sends, old.wrong
      finish(base, old_id, old, 'canceled', now, true)
      note(old, now, 'canceled', nil, 'started again with another binding')
      save_record(base, old_id, old)
      emit(base, keep_events, now, 'canceled', old_id, {'tenant', tenant})
    end
  end
  local instead = resend and record.channel ~= channel and 'by ' .. channel .. ' in place of ' .. record.channel or nil
  record.channel = channel
  record.sends = record.sends + 1
  record.resend_at = now + code.cooldown[math.min(record.sends, #code.cooldown)]
  record.credits = record.credits .. credits

  if not test then
    local parts = {'observed', table.concat(observed, ',')}
    if judged then
      record_decision(base, decision, now, tenant, '', '', 0, context, judged)
      parts[3], parts[4] = 'decision', decision
    end
    for _, part in ipairs(parts) do said[#said + 1] = part end
    emit(base, keep_events, now, 'start', id, said)
    note(record, now, 'queued', nil, instead)
    record.outbox = queue(base, 'id', id, 'nonce', record.nonce, 'kid', record.kid,
      'expires_at', digits(record.expires_at), 'to', sealed, unpack(ask.message))
  end
  save_record(base, id, record, record.expires_at - now + code.keep_ms)
  put(pointer, id .. sealed, record.expires_at - now)

  local answer = {resend and 'resent' or 'started', id, record.created_at, record.expires_at, record.resend_at,
    record.checks_max - record.wrong, record.sends_max - record.sends, channel, observed}
  if fingerprint ~= '' then remember(KEYS[2], fingerprint, now, idem_ms, answer) end
  return answer
end

return {start = start, near_of = near_of, address_of = address_of}
