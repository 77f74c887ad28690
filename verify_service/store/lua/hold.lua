local writing = import 'writing'
local put = writing.put
local layouts = import 'layouts'
local common = import 'common'
local replay_of, remember = common.replay_of, common.remember
local evaluation = import 'evaluation'
local open_rules, judge_all, hold_all, judge_each, verdicts_of, near_of, kind_of =
  evaluation.open_rules, evaluation.judge_all, evaluation.hold_all, evaluation.judge_each, evaluation.verdicts_of,
  evaluation.near_of, evaluation.kind_of

-- What `hold` and `hold_check` answer: `refusing` is the state that refuses, or nil.
local function answer(t)
  local refusing = t.refusing
  if refusing then t.name, t.wait, t.kind = refusing.rule.name, refusing.wait, refusing.kind.refusal end
  return layouts.array_held_answer(t)
end

-- hold: judges and holds the rules of another partition than the number's, before the number's own script runs.
--   KEYS[…]  limit:<name>:<tag>    ARGV[1]  now   ARGV[2]  request nonce   ARGV[3]  the kinds   ARGV[…]  a spec per key
-- Answers a held_answer: `held` are none where a name stands, and `judged` is there where none refuses and an observed
-- one would have.
local function hold(KEYS, ARGV)
  local nonce, now = ARGV[2], tonumber(ARGV[1])
  local states = open_rules({}, KEYS, 1, ARGV, 3)
  local refusing, observed = judge_all(states, now)
  local near = near_of(states)
  if refusing then
    refusing.kind.refuse(refusing)
    return answer({refusing = refusing, observed = observed, near = near})
  end
  local judged = not SCRATCH and #observed > 0 and cmsgpack.pack(verdicts_of(states, now)) or ''
  local given, places = hold_all(states, nonce, now, false)
  return answer({observed = observed, held = places, refunds = given, judged = judged, near = near})
end

-- hold_check: the same for a check, each limit for itself: what has room is held, whatever another says. Whether a full
-- one refuses, the number's own script knows.
--   KEYS, ARGV as of `hold`
-- Answers as `hold`; `held` stand beside a name, too.
local function hold_check(KEYS, ARGV)
  local nonce, now = ARGV[2], tonumber(ARGV[1])
  local observed, places = {}, {}
  local refusing, open = judge_each((open_rules({}, KEYS, 1, ARGV, 3)), now, observed)
  for _, state in ipairs(open) do
    state.kind.hold(state, nonce, now)
    places[#places + 1] = state.place
  end
  return answer({refusing = refusing, observed = observed, held = places})
end

-- release: gives back what `hold` took. Called by the service when the start was refused elsewhere or a check was not
-- wrong; asked twice, it gives back once.
--   KEYS[…]  limit:<name>:<tag>, each one that was held    ARGV[1]  the time of the hold   ARGV[2]  its request nonce
--   ARGV[…]  what each hit cost; none where each cost 1
local function release(KEYS, ARGV)
  for i, key in ipairs(KEYS) do
    local base, hit = key:match('^(.-{%d+}:)limit:(.*)$')
    kind_of(hit).undo(base, key, ARGV[2], tonumber(ARGV[1]), tonumber(ARGV[2 + i] or 1))
  end
  return #KEYS
end

-- claim_key: one body per Idempotency-Key, where the key's partition is not the one of the answer.
--   KEYS[1]  idempotency:<tag>     ARGV[1]  now   ARGV[2]  fingerprint   ARGV[3]  life in ms
-- Answers 1, or 0 where the key belongs to another body.
local function claim_key(KEYS, ARGV)
  local now = tonumber(ARGV[1])
  if replay_of(KEYS[1], ARGV[2], now) == 'mismatch' then return 0 end
  remember(KEYS[1], ARGV[2], now, tonumber(ARGV[3]))
  return 1
end

-- refunded: what approvals of all partitions up to a time give back has been given back in this one. Called by the
-- dispatcher.
--   KEYS[1]  credited     ARGV[1]  the time
local function refunded(KEYS, ARGV)
  put(KEYS[1], ARGV[1], 3600000)
  return 1
end

-- won: an approval refunds a hit of this partition. Called by the dispatcher.
--   KEYS[1]  the hit's key     ARGV[1]  the time of the start   ARGV[2]  as `carried` answers it
local function won(KEYS, ARGV)
  local base, hit = KEYS[1]:match('^(.-{%d+}:)limit:(.*)$')
  kind_of(hit).approved(base, KEYS[1], ARGV[2], tonumber(ARGV[1]), tonumber(ARGV[2]))
  return 1
end

-- mistyped: the same for a wrong code.     KEYS[1]  the hit's key     ARGV[1]  the time of the start
local function mistyped(KEYS, ARGV)
  kind_of(KEYS[1]:match('limit:(.*)$')).mistyped(KEYS[1], tonumber(ARGV[1]))
  return 1
end

return {hold = hold, hold_check = hold_check, release = release, claim_key = claim_key, refunded = refunded, won = won,
  mistyped = mistyped}
