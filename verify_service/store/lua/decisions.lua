local writing = import 'writing'
local write, get = writing.write, writing.get
local layouts = import 'layouts'
local common = import 'common'
local record_refusal, record_of, pointed_at, emit, emit_refused =
  common.record_refusal, common.record_of, common.pointed_at, common.emit, common.emit_refused
local evaluation = import 'evaluation'
local kinds, open_rules, verdicts_of = evaluation.kinds, evaluation.open_rules, evaluation.verdicts_of
local unreachable_for = import('deliveries').unreachable_for

-- refuse: records a start that was refused without its script: by a rule that needs no count, or in another partition.
-- It becomes an event. Called by the service.
--   KEYS[1]  decision:<id>     ARGV[1]  now     ARGV[2]  keep_events
--   ARGV[3]  refusal
--   ARGV[…]  verdicts, msgpack, as `explain` answers them
-- Answers the id of the record, which may be another's.
local function refuse(KEYS, ARGV)
  local base, decision = KEYS[1]:match('^(.-{%d+}:)decision:(.*)$')
  local now = tonumber(ARGV[1])
  local gone = layouts.open_refusal(ARGV[3])
  local by, context, facts = gone.by, gone.context, layouts.open_facts(gone.facts)
  local judged, observed, who = {}, {}, nil
  for i = 4, #ARGV do
    for _, verdict in ipairs(cmsgpack.unpack(ARGV[i])) do
      judged[#judged + 1] = verdict
      if verdict.verdict == 'observe' then observed[#observed + 1] = verdict.name end
      if verdict.name == by and kinds[verdict.kind].counts then who = verdict.key end
    end
  end
  for _, name in ipairs(context.observed) do observed[#observed + 1] = name end
  who = who or (by ~= 'opted-out' and facts.ip ~= '' and facts.ip) or facts.number
  local kept, count = record_refusal(base, ARGV[2], decision, now, gone.tenant, gone.refused, by, gone.wait, context,
    who, function() return judged end)
  local said = {facts = gone.facts, unjudged = gone.unjudged, near = gone.near}
  emit_refused(base, ARGV[2], now, gone.id, said, by, kept, count, observed)
  return kept
end

-- explain: judges rules as a start would, and writes nothing.
--   KEYS[…]  limit:<name>:<tag>     ARGV[1]  now     ARGV[2]  the kinds of the rules   ARGV[…]  a spec per key
-- Answers the verdicts, msgpack.
local function explain(KEYS, ARGV)
  local now, states = tonumber(ARGV[1]), open_rules({}, KEYS, 1, ARGV, 2)
  for _, state in ipairs(states) do state.wait = state.kind.judge(state, now) end
  return cmsgpack.pack(verdicts_of(states, now))
end

-- explain_pending: what of a pending verification or a consent stands in a start's way; writes nothing.
--   KEYS[1]  live:<number>:<tenant>:<purpose>   KEYS[2]  consent:<number>:<tenant>
--   KEYS[3]  unreachable:<number>:<channel>     ARGV[1]  now
-- Answers {kind, wait_ms}: opted-out, unreachable, sends-exhausted, cooldown, or '' where nothing does.
local function explain_pending(KEYS, ARGV)
  local now, base = tonumber(ARGV[1]), KEYS[1]:match('^(.-{%d+}:)')
  if get(KEYS[2]) == 'out' then return {'opted-out', 0} end
  local lost = unreachable_for(get(KEYS[3]), now)
  if lost > 0 then return {'unreachable', lost} end
  local id = pointed_at(KEYS[1])
  local old = id and record_of(base, id)
  if not old or old.status ~= 'pending' or old.expires_at <= now then return {'', 0} end
  if old.sends >= old.sends_max then return {'sends-exhausted', old.expires_at - now} end
  if now < old.resend_at then return {'cooldown', math.min(old.resend_at, old.expires_at) - now} end
  return {'', 0}
end

-- unlock: forgets what the limits of a number or a user have counted, and that a number cannot be reached. Called by
-- the service, for an operator.
--   KEYS[1]  unlock (no key: it names the partition)   KEYS[…]  limit:<name>:<tag>…, unreachable:<number>:<channel>
--   ARGV[1]  now   ARGV[2]  keep_events   ARGV[3]  the tag   ARGV[4]  by whom   ARGV[5]  why
--   ARGV[6]  the user's tenant; '' where it is a number's tag
-- Answers how many counts there were.
local function unlock(KEYS, ARGV)
  local tag, tenant, forgotten = ARGV[3], ARGV[6], 0
  local event = tenant == '' and 'unlocked' or 'user-unlocked'
  for i = 2, #KEYS do
    forgotten = forgotten + redis.call('EXISTS', KEYS[i])
    write('DEL', KEYS[i])
  end
  emit(KEYS[1]:match('^(.-{%d+}:)'), ARGV[2], tonumber(ARGV[1]), event, tag,
    {number = tag, tenant = tenant, user = tag, by = ARGV[4], reason = ARGV[5]})
  return forgotten
end

return {refuse = refuse, explain = explain, explain_pending = explain_pending, unlock = unlock}
