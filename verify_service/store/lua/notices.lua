-- notices: messages that nobody asked for: when there is one, and whether it may go out.

local writing = import 'writing'
local put = writing.put
local layouts = import 'layouts'
local common = import 'common'
local digits, emit, queue, HOUR_MS, DAY_MS =
  common.digits, common.emit, common.queue, common.HOUR_MS, common.DAY_MS
local evaluation = import 'evaluation'
local open_rules, judge_all, hold_all = evaluation.open_rules, evaluation.judge_all, evaluation.hold_all
local unreachable_for = import('deliveries').unreachable_for

-- A notice that could not be sent for so long is not sent any more.
local LIFE_MS = HOUR_MS

local function answer(kind, name, wait, observed)
  return layouts.array_limited_answer({kind = kind, name = name, wait = wait, observed = observed, decision = ''})
end

-- notice: judges a notice in its number's partition, and counts it once, however often it is asked about. Called by the
-- dispatcher before each try.
--   KEYS[1]  noticed:<id>   KEYS[2]  unreachable:<number>:<channel>   KEYS[3]  consent:<number>:<tenant>
--   KEYS[…]  the same of tags that the number had in earlier versions   KEYS[…]  limit:<name>:<tag>
--   ARGV[1]  now   ARGV[2]  request nonce   ARGV[3]  how long it is remembered   ARGV[4]  how many such tags there are
--   ARGV[5]  the kinds of the rules   ARGV[…]  a spec for each limit key
-- Answers a limited_answer, whose kind is 'admitted' where it may go out.
local function notice(KEYS, ARGV)
  local now, first = tonumber(ARGV[1]), 4 + tonumber(ARGV[4])
  local keys = {unpack(KEYS, 1, first - 1)}
  local states, found = open_rules(keys, KEYS, first, ARGV, 5)
  for i = 3, first - 1 do
    if found[i] == 'out' then return answer('opted-out', 'opted-out', 0, {}) end
  end
  local lost = unreachable_for(found[2], now)
  if lost > 0 then return answer('blocked', 'unreachable', lost, {}) end
  if found[1] then return answer('admitted', '', 0, {}) end
  local refusing, observed = judge_all(states, now)
  if refusing then return answer(refusing.kind.refusal, refusing.rule.name, refusing.wait, observed) end
  hold_all(states, ARGV[2], now, false)
  put(KEYS[1], '', tonumber(ARGV[3]))
  return answer('admitted', '', 0, observed)
end

-- Queues a notice to a user, of whom `contact` says how: `to`, sealed, `message` and `channel`; and tells of it.
local function queue_notice(base, keep_events, now, id, name, subject, contact)
  local about = layouts.open_content(contact.message)
  queue(base, 'id', id, 'expires_at', digits(now + LIFE_MS), 'to', contact.to, 'message', contact.message,
    'tenant', subject.tenant, 'channel', contact.channel, 'kind', 'notice', 'text', name)
  emit(base, keep_events, now, 'notice', id, {tenant = subject.tenant, user = subject.user, notice = name,
    number = about.number, channel = contact.channel, country = about.country})
end

-- Of which notice a code is the cause, or nil. `wanted` is a notice_ask, `what` says what became of the code: `word`,
-- `first` where it verified a factor, `recovery` where it was a recovery code, `verifying` where it was to verify one.
-- Counts the wrong codes in a row; of those a user is told once a day at most.
local function cause(user, wanted, what, now)
  if what.word == 'approved' then
    user.wrong = 0
    if what.first then return wanted.factor_added and 'factor_added' or nil end
    return what.recovery and user.codes == '' and wanted.recovery_codes_used and 'recovery_codes_used' or nil
  end
  if what.word ~= 'wrong' or what.verifying or wanted.wrong_codes == 0 then return nil end
  user.wrong = user.wrong + 1
  if user.wrong < wanted.wrong_codes or now - user.warned_at < DAY_MS then return nil end
  user.wrong, user.warned_at = 0, now
  return 'wrong_codes'
end

-- Tells a user of a code, in the very step that decides on it: whatever dies, they are told once.
local function tell_user(base, keep_events, now, ask, user, what)
  local wanted = ask.notices
  if not wanted or user.channel == '' then return end
  local name = cause(user, wanted, what, now)
  if name then queue_notice(base, keep_events, now, wanted.id, name, ask.subject, user) end
end

return {notice = notice, tell_user = tell_user}
