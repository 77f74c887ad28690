-- start: one start, judged, counted, recorded and queued in one step. Called by the service.
--   KEYS[1]  live:<number>:<tenant>:<purpose>    the pointer; every other key of the number's partition shares its prefix
--   KEYS[2]  idempotency:<tag>                   only where ARGV[4] is not ''
--   KEYS[…]  limit:<name>:<tag>                  one per limit judged here
--   ARGV[1]  now          ARGV[2]  code settings, msgpack array    ARGV[3]  the start, msgpack array
--   ARGV[4]  fingerprint of the body under its Idempotency-Key, or ''      ARGV[5]  the sealed number
--   ARGV[…]  a limit's spec, msgpack, for each limit key; a spec that starts with 'p' is peeked at, not held
-- Answers
--   {'started'|'resent', id, created_at, expires_at, resend_at, checks_left, sends_left, channel, observed}
--   {'opted-out'} · {'mismatch'} · {'replayed', <the first form>}
--   {'cooldown', wait_ms, id, resend_at, expires_at} · {'sends-exhausted', wait_ms, id, expires_at}
--   {'rate-limited', name, wait_ms, observed}
local function start(KEYS, ARGV)
  local now, fingerprint = tonumber(ARGV[1]), ARGV[4]
  local settings, ask = cmsgpack.unpack(ARGV[2]), cmsgpack.unpack(ARGV[3])
  local life, checks, sends, cooldown, renew, keep_ms, keep_events, idem_ms = unpack(settings)
  local id, nonce, tenant, number, purpose, channel = ask[1], ask[2], ask[3], ask[4], ask[5], ask[6]
  local code_nonce, kid, digest, binding, sealed = ask[7], ask[8], ask[9], ask[10], ARGV[5]
  local message, facts, credits, test, decision, ring = ask[11], ask[12], ask[13], ask[14], ask[15], ask[16]
  local pointer = KEYS[1]
  local base = pointer:match('^(.-{%d+}:)')
  local first = 2
  if fingerprint ~= '' then
    local replay = replay_of(KEYS[2], fingerprint, now)
    if replay == 'mismatch' then return {'mismatch'} end
    if replay ~= 'new' then return {'replayed', replay} end
    first = 3
  end
  local consent, old_id = unpack(redis.call('MGET', base .. 'consent:' .. number .. ':' .. tenant, pointer))
  if consent == 'out' then return {'opted-out'} end

  local old = old_id and record_of(base .. 'verification:' .. old_id)
  if old and (old.status ~= 'pending' or old.expires_at <= now) then old = nil end

  local limits, observed = {}, {}
  for i = first, #KEYS do
    local spec = ARGV[6 + i - first]
    local peek = spec:sub(1, 1) == 'p'
    local limit = limit_of(cmsgpack.unpack(peek and spec:sub(2) or spec), KEYS[i])
    limit.peek = peek
    limits[#limits + 1] = limit
  end
  local refusal
  if old and old.sends >= old.sends_max then
    -- The wait is until a retry can pass, and that one meets the limits too.
    refusal = {'sends-exhausted', longest_wait(limits, now, old.expires_at - now), old_id, old.expires_at}
  elseif old and old.binding == binding and now < old.resend_at then
    -- Another binding is another message to the person, so it need not wait; its sends count all the same.
    local first_chance = math.min(old.resend_at, old.expires_at)
    refusal = {'cooldown', longest_wait(limits, now, first_chance - now), old_id, old.resend_at, old.expires_at}
  else
    local name, wait, held
    name, wait, observed, held = acquire(limits, nonce, now)
    if name then refusal = {'rate-limited', name, wait, observed} end
    for _, i in ipairs(held) do
      local limit = limits[i]
      if limit.net then credits = credits .. credit_of(limit.key, nonce, now) end
    end
  end
  if refusal then
    facts[#facts + 1] = 'refused'
    facts[#facts + 1] = refusal[1] == 'rate-limited' and refusal[2] or refusal[1]
    facts[#facts + 1] = 'decision'
    facts[#facts + 1] = decision
    if not test then emit(base, keep_events, now, 'start', old and old_id or id, facts) end
    return refusal
  end

  local record, resend = old, old and old.binding == binding
  if resend then
    id = old_id
    local known = false
    for _, each in ipairs(ring) do known = known or each == record.kid end
    -- A key that has left the ring derives no code any more: the resend brings a new one.
    if renew or not known then
      record.nonce, record.kid, record.digest = code_nonce, kid, digest
      withdraw(base, id, now, record.outbox)
    end
  else
    record = {
      tenant = tenant, number = number, purpose = purpose, status = 'pending', binding = binding,
      nonce = code_nonce, kid = kid, digest = digest, created_at = now, expires_at = now + life,
      sends = 0, wrong = 0, checks_max = checks, sends_max = sends, credits = '', test = test and '1' or '',
    }
    if old then
      -- Another binding: the pending one ends here, but neither sends nor wrong codes start again.
      record.sends, record.wrong = old.sends, old.wrong
      finish(base, old_id, old, 'canceled', now, true)
      note(base, old_id, now, 'canceled', nil, 'started again with another binding')
      emit(base, keep_events, now, 'canceled', old_id, {'tenant', tenant})
    end
  end
  record.channel = channel
  record.sends = record.sends + 1
  record.resend_at = now + cooldown[math.min(record.sends, #cooldown)]
  record.credits = record.credits .. credits

  local ttl = record.expires_at - now + keep_ms
  if not test then
    record.outbox = redis.call('XADD', base .. 'outbox', '*', 'id', id, 'nonce', record.nonce, 'kid', record.kid,
      'expires_at', digits(record.expires_at), 'tenant', tenant, 'purpose', purpose, 'channel', channel,
      'to', sealed, unpack(message))
    facts[#facts + 1] = 'observed'
    facts[#facts + 1] = table.concat(observed, ',')
    emit(base, keep_events, now, 'start', id, facts)
  end
  local key, flat = base .. 'verification:' .. id, {}
  for field, value in pairs(record) do
    flat[#flat + 1] = field
    flat[#flat + 1] = type(value) == 'number' and digits(value) or value
  end
  redis.call('HSET', key, unpack(flat))
  redis.call('PEXPIRE', key, ttl)
  redis.call('SET', base .. 'to:' .. id, sealed, 'PX', record.expires_at - now)
  redis.call('SET', pointer, id, 'PX', record.expires_at - now)
  local timeline = base .. 'timeline:' .. id
  local lines = (resend and '' or line(now, 'started')) .. (test and '' or line(now, 'queued'))
  if resend then lines = (redis.call('GET', timeline) or '') .. lines end
  redis.call('SET', timeline, lines, 'PX', ttl)

  local answer = {resend and 'resent' or 'started', id, record.created_at, record.expires_at, record.resend_at,
    record.checks_max - record.wrong, record.sends_max - record.sends, channel, observed}
  if fingerprint ~= '' then remember(KEYS[2], fingerprint, now, idem_ms, answer) end
  return answer
end

register('start', start)
