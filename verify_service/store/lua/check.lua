local max, min = math.max, math.min
local layouts = import 'layouts'
local mget = import('writing').mget
local common = import 'common'
local keeping, record_refusal, record_of, save_record, pointer_of, pointed_at, note, carry, emit, finish, replay_of,
  remember, digits, sealed_of =
  common.keeping, common.record_refusal, common.record_of, common.save_record, common.pointer_of, common.pointed_at,
  common.note, common.carry, common.emit, common.finish, common.replay_of, common.remember, common.digits,
  common.sealed_of
local evaluation = import 'evaluation'
local kinds, open_rules, judge_each, longest_wait, verdicts_of, counted_by =
  evaluation.kinds, evaluation.open_rules, evaluation.judge_each, evaluation.longest_wait, evaluation.verdicts_of,
  evaluation.counted_by
local refunds = import 'refunds'

-- check: finds, counts, compares and consumes in one step. Called by the service.
--   KEYS[1]  verification:<id>, or live:<number>:<tenant>:<purpose> where the check came with the number
--   KEYS[2]  idempotency:<tag>                   only where ARGV[4] is not ''
--   KEYS[…]  limit:<name>:<tag>                  one per limit on wrong codes that is not the number's and lives here
--   ARGV[1]  now       ARGV[2]  keep_events      ARGV[3]  check_ask
--   ARGV[4]  fingerprint or ''
--   ARGV[5]  number_limits: a key is limit:<name>:<number><suffix>
--   ARGV[6]  the kinds of the limits   ARGV[…]  a spec for each limit key
-- Answers a checked_answer, or an approved_answer where a receipt is wanted; {'replayed', <either of these>},
-- {'absent'}, {'mismatch'}, a wait_answer, or a limited_answer, which has a decision record, decision:<id>, or shares
-- one.

local function made(limits)
  for i, each in ipairs(limits) do limits[i] = {rule = kinds.limit.made(each.spec), suffix = each.suffix} end
  return limits
end

-- The limits that hang on a number, on wrong codes and on starts; many checks come with the same.
local number_limits = keeping(function(packed)
  local limits = layouts.open_number_limits(packed)
  return {wrong_codes = made(limits.wrong_codes), starts = made(limits.starts)}
end)

-- Their states for one number; their keys are added to `keys`.
local function states_of_number(base, number, limits, keys)
  local states = {}
  for i, each in ipairs(limits) do
    local key = base .. 'limit:' .. each.rule.name .. ':' .. number .. each.suffix
    states[i] = {rule = each.rule, key = key, kind = kinds.limit}
    keys[i] = states[i].key
  end
  return states
end

local function read_all(states, found)
  for i, state in ipairs(states) do state.kind.read(state, found, i) end
end

-- How long a new start like that of a record has to wait, as far as it hangs on the number.
local function wait_for_start(base, record, limits, now)
  local pending_id, wait = pointed_at(pointer_of(base, record)), 0
  local pending = pending_id and record_of(base, pending_id)
  if pending and pending.status == 'pending' and pending.expires_at > now then
    local spent = pending.sends >= pending.sends_max
    wait = max(0, (spent and pending.expires_at or min(pending.resend_at, pending.expires_at)) - now)
  end
  if record.test == '1' then return wait end
  for _, own in ipairs({limits.wrong_codes, limits.starts}) do
    local keys = {}
    local states = states_of_number(base, record.number, own, keys)
    if #keys > 0 then read_all(states, mget(keys)) end
    wait = longest_wait(states, now, wait)
  end
  return wait
end

-- A check as it stands: its answer where that needs no look at the code, else nil, and what is known of it by name.
local function asked(KEYS, ARGV)
  local ask, now = layouts.open_check_ask(ARGV[3]), tonumber(ARGV[1])
  ask.now, ask.keep_events, ask.fingerprint, ask.first = now, ARGV[2], ARGV[4], 2
  ask.base = KEYS[1]:match('^(.-{%d+}:)')
  if ask.fingerprint ~= '' then
    local replay = replay_of(KEYS[2], ask.fingerprint, now)
    if replay == 'mismatch' then return {'mismatch'} end
    if replay ~= 'new' then return {'replayed', replay} end
    ask.first = 3
  end
  ask.id = KEYS[1]:match('verification:(.*)$') or pointed_at(KEYS[1])
  local record = ask.id and record_of(ask.base, ask.id)
  if not record or record.tenant ~= ask.tenant or record.expires_at <= now then return {'absent'} end
  if ask.purpose ~= '' and record.purpose ~= ask.purpose then return {'absent'} end
  ask.record = record
  local limits = number_limits(ARGV[5])
  if record.status == 'exhausted' then
    local wait = wait_for_start(ask.base, record, limits, now)
    return layouts.array_wait_answer({kind = 'checks-exhausted', wait = wait})
  end
  ask.wrong_codes, ask.proof = limits.wrong_codes, ask.proofs[record.kid]
  if record.status ~= 'pending' or not ask.proof then return {'absent'} end
  return nil, ask
end

-- Judges the limits on wrong codes: one is counted before anything is compared. What hangs on other keys than the
-- number leaves each verification its first code: a stranger who spends what an address may type wrongly keeps nobody
-- else behind it out. Returns the answer of a refusal, or nil; the limits that have room; what only observes and would
-- refuse.
-- A test number counts no others' limits, unless it counts as any number does.
local function judge(ask, KEYS, ARGV)
  local record, now, observed = ask.record, ask.now, {}
  if record.test == '1' then return nil, {}, observed end
  local keys, alone = {}, record.test == 'own'
  local own = states_of_number(ask.base, record.number, ask.wrong_codes, keys)
  local others, found = open_rules(keys, KEYS, alone and #KEYS + 1 or ask.first, ARGV, 6)
  read_all(own, found)
  local refusing, open = judge_each(own, now, observed)
  local other, room = judge_each(others, now, observed)
  local name, wait = refusing and refusing.rule.name, refusing and refusing.wait or 0
  local longer, elsewhere = other and other.wait or 0, not alone and ask.elsewhere
  if record.wrong > 0 and longer > wait then refusing, name, wait = other, other.rule.name, longer end
  if record.wrong > 0 and elsewhere and elsewhere.wait > max(wait, longer) then
    refusing, name, wait = nil, elsewhere.name, elsewhere.wait
  end
  for _, state in ipairs(room) do open[#open + 1] = state end
  if not name then return nil, open, observed end
  local who = refusing and counted_by(refusing) or record.number
  local decision = record_refusal(ask.base, ask.keep_events, ask.decision, now, record.tenant, 'rate-limited', name,
    wait, layouts.name_context({ask.revision}), who, function()
      for _, state in ipairs(others) do own[#own + 1] = state end
      return verdicts_of(own, now)
    end)
  return layouts.array_limited_answer({
    kind = 'rate-limited', name = name, wait = wait, observed = observed, decision = decision,
  })
end

local function approve(ask)
  local base, id, record, now = ask.base, ask.id, ask.record, ask.now
  finish(base, id, record, 'approved', now)
  note(record, now, 'approved')
  if record.test == '1' then return end
  refunds.usual_slip(base, record.refunds, now, false)
  -- Once: the record is approved now. The dispatcher carries the rest.
  local given = record.mistyped ~= '' and refunds.corrected(record.refunds) or record.refunds
  local carried = refunds.apply(base, given, now)
  if carried ~= '' then carry(base, ask.keep_events, 'approved', 'refunds', carried, 'at', digits(now)) end
  if record.test == '' then emit(base, ask.keep_events, now, 'approved', id, record) end
end

-- The answer of an approval that a receipt is wanted of.
local function approved(ask, said)
  local record = ask.record
  said.approval = layouts.line_approved({
    at = digits(ask.now), purpose = record.purpose, test = record.test, signer = ask.signer,
  })
  return layouts.array_approved_answer(said)
end

local function hex(bytes)
  return (bytes:gsub('.', function(byte) return ('%02x'):format(byte:byte()) end))
end

local function count_wrong(ask, open)
  local base, id, record, now = ask.base, ask.id, ask.record, ask.now
  record.wrong = record.wrong + 1
  for _, state in ipairs(open) do state.kind.hold(state, ask.request, now) end
  note(record, now, 'wrong')
  if record.test ~= '1' then
    if record.wrong == 1 and refunds.usual_slip(base, record.refunds, now, true) then
      record.mistyped = '1'
      local carried = refunds.apply(base, record.refunds, now, true)
      if carried ~= '' then carry(base, ask.keep_events, 'wrong', 'refunds', carried) end
    end
  end
  if record.test == '' then emit(base, ask.keep_events, now, 'wrong', id, record) end
  if record.wrong >= record.checks_max then
    finish(base, id, record, 'exhausted', now, true)
    note(record, now, 'exhausted')
  end
end

local function check(KEYS, ARGV)
  local answer, ask = asked(KEYS, ARGV)
  if answer then return answer end
  local refused, open, observed = judge(ask, KEYS, ARGV)
  if refused then return refused end
  local record = ask.record
  local right = redis.sha1hex(ask.proof .. record.nonce .. record.tenant .. '|' .. record.purpose) == record.digest
  local named = ask.purpose ~= '' or right and ask.named
  local said = {
    id = ask.id, observed = observed, channel = record.channel, created_at = record.created_at,
    number = record.number, sealed_to = named and hex(sealed_of(ask.base, ask.id, record)) or '',
  }
  if right then
    approve(ask)
  else
    count_wrong(ask, open)
  end
  said.kind, said.checks_left = record.status, record.checks_max - record.wrong
  said.uncounted = (record.test == '1' or record.test == 'own') and 1 or 0
  answer = right and ask.signer ~= '' and approved(ask, said) or layouts.array_checked_answer(said)
  save_record(ask.base, ask.id, record)
  if ask.fingerprint ~= '' then remember(KEYS[2], ask.fingerprint, ask.now, ask.replay_ms, answer) end
  return answer
end

return {check = check}
