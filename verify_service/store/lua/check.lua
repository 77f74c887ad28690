local max, min = math.max, math.min
local layouts = import 'layouts'
local common = import 'common'
local record_refusal, record_of, save_record, pointer_of, pointed_at, note, emit, finish, replay_of, remember =
  common.record_refusal, common.record_of, common.save_record, common.pointer_of, common.pointed_at, common.note,
  common.emit, common.finish, common.replay_of, common.remember
local limits = import 'limits'
local rule_from, limit_of, read_limits, hold, longest_wait, counted_by, verdicts_of, judge_check =
  limits.rule_from, limits.limit_of, limits.read_limits, limits.hold, limits.longest_wait, limits.counted_by,
  limits.verdicts_of, limits.judge_check
local trials = import 'trials'
local corrected, usual_habit = trials.corrected, trials.usual_habit
local credit_here = import('hold').credit_here

-- check: finds, counts, compares and consumes in one step. Called by the service.
--   KEYS[1]  verification:<id>, or live:<number>:<tenant>:<purpose> where the check came with the number
--   KEYS[2]  idempotency:<tag>                   only where ARGV[4] is not ''
--   KEYS[…]  limit:<name>:<tag>                  one per limit on wrong codes that is not the number's and lives here
--   ARGV[1]  now       ARGV[2]  keep_events      ARGV[3]  check_ask
--   ARGV[4]  fingerprint or ''
--   ARGV[5]  {{{spec, suffix}, …}, {{spec, suffix}, …}}, msgpack: the number's limits on wrong codes, and on starts;
--            the key is limit:<name>:<number><suffix>
--   ARGV[…]  a limit's spec for each limit key
-- Answers
--   {'approved'|'pending'|'exhausted', id, checks_left, observed}
--   {'absent'} · {'mismatch'} · {'replayed', <the first form>}
--   {'checks-exhausted', wait_ms}, which is until a new start for the number can pass
--   {'rate-limited', name, wait_ms, observed, decision}, which has a decision record, decision:<id>, or shares one
local function limits_of_number(base, number, pairs)
  local found = {}
  for i, pair in ipairs(pairs) do
    local rule = rule_from(pair[1])
    found[i] = {rule = rule, key = base .. 'limit:' .. rule.name .. ':' .. number .. pair[2]}
  end
  return found
end

-- How long a new start like that of a record has to wait, as far as it hangs on the number.
local function wait_for_start(base, record, wrong_codes, starts, now)
  local pending_id, wait = pointed_at(pointer_of(base, record)), 0
  local pending = pending_id and record_of(base, pending_id)
  if pending and pending.status == 'pending' and pending.expires_at > now then
    local spent = pending.sends >= pending.sends_max
    wait = max(0, (spent and pending.expires_at or min(pending.resend_at, pending.expires_at)) - now)
  end
  if record.test == '1' then return wait end
  for _, pairs in ipairs({wrong_codes, starts}) do
    local limits = limits_of_number(base, record.number, pairs)
    read_limits(limits)
    wait = longest_wait(limits, now, wait)
  end
  return wait
end

local function check(KEYS, ARGV)
  local now, keep_events, fingerprint = tonumber(ARGV[1]), ARGV[2], ARGV[4]
  local ask = layouts.open_check_ask(ARGV[3])
  local tenant, nonce, decision, elsewhere = ask.tenant, ask.request, ask.decision, ask.elsewhere
  local base = KEYS[1]:match('^(.-{%d+}:)')
  local first = 2
  if fingerprint ~= '' then
    local replay = replay_of(KEYS[2], fingerprint, now)
    if replay == 'mismatch' then return {'mismatch'} end
    if replay ~= 'new' then return {'replayed', replay} end
    first = 3
  end

  local id = KEYS[1]:match('verification:(.*)$') or pointed_at(KEYS[1])
  local record = id and record_of(base, id)
  if not record or record.tenant ~= tenant or record.expires_at <= now then return {'absent'} end
  local wrong_codes, starts = unpack(cmsgpack.unpack(ARGV[5]))
  if record.status == 'exhausted' then
    return {'checks-exhausted', wait_for_start(base, record, wrong_codes, starts, now)}
  end
  local proof = ask.proofs[record.kid]
  if record.status ~= 'pending' or not proof then return {'absent'} end

  local limits, by_number, observed = {}, 0, {}
  if record.test ~= '1' then
    limits, by_number = limits_of_number(base, record.number, wrong_codes), #wrong_codes
    for i = first, #KEYS do limits[#limits + 1] = limit_of(ARGV[6 + i - first], KEYS[i]) end
    read_limits(limits)
  end
  -- A wrong code is counted before anything is compared: the judge refuses first, and only then is there a comparison.
  -- What hangs on other keys than the number leaves each verification its first code: a stranger who spends what an
  -- address may type wrongly keeps nobody else behind it out.
  local others = {unpack(limits, by_number + 1)}
  local refused, wait, open = judge_check({unpack(limits, 1, by_number)}, now, observed)
  local other, longer, room = judge_check(others, now, observed)
  if record.test ~= '1' and elsewhere and elsewhere.wait > longer then
    other, longer = elsewhere.name, elsewhere.wait
  end
  if record.wrong > 0 and longer > wait then refused, wait = other, longer end
  if refused then
    decision = record_refusal(base, keep_events, decision, now, tenant, 'rate-limited', refused, wait,
      layouts.name_context({ask.revision}), counted_by(refused, limits) or record.number,
      function() return verdicts_of(limits, now) end)
    return {'rate-limited', refused, wait, observed, decision}
  end

  local right = redis.sha1hex(proof .. record.nonce .. record.tenant .. '|' .. record.purpose) == record.digest
  local answer
  if right then
    finish(base, id, record, 'approved', now)
    note(record, now, 'approved')
    if record.test ~= '1' then
      usual_habit(base, record.credits, now, false)
      -- Once: the record is approved now. The dispatcher carries the rest.
      local credits = credit_here(base, record.excused ~= '' and corrected(record.credits) or record.credits, now)
      emit(base, keep_events, now, 'approved', id, {'tenant', tenant, 'credits', credits})
    end
    answer = {'approved', id, record.checks_max - record.wrong, observed}
  else
    record.wrong = record.wrong + 1
    for _, i in ipairs(open) do hold(limits[i], nonce, now) end
    for _, i in ipairs(room) do hold(others[i], nonce, now) end
    note(record, now, 'wrong')
    if record.test ~= '1' then
      local credits = ''
      if record.wrong == 1 and usual_habit(base, record.credits, now, true) then
        record.excused = '1'
        credits = credit_here(base, record.credits, now, true)
      end
      emit(base, keep_events, now, 'wrong', id, {'tenant', tenant, 'credits', credits})
    end
    if record.wrong >= record.checks_max then
      finish(base, id, record, 'exhausted', now, true)
      note(record, now, 'exhausted')
    end
    answer = {record.status, id, record.checks_max - record.wrong, observed}
  end
  save_record(base, id, record)
  if fingerprint ~= '' then remember(KEYS[2], fingerprint, now, ask.replay_ms, answer) end
  return answer
end

return {check = check}
