-- evaluation: the rules that a call names, judged together. A kind of rule is a source under kinds/; what follows from
-- a kind is said there alone. It returns
--   refusal             what a refusal by it is called: of a limit `rate-limited`, of any other kind `blocked`
--   counts              whether its key says who was refused
--   first               whether it is judged before the others, and refuses without asking them
--   once                whether it counts a verification, of which a resend is none
--   prefix              what the names of its keys begin with, behind `limit:`, where others' do not
--   open(kind, key, place, looked_at, spec, keys)   a rule's state for this call, with these four and its `rule`,
--                                    {name, enforced, …}, made with room for what comes; adds what is to be read to
--                                    `keys`
--   read(state, found, place)        takes what was read, which stands in `found` from that place on; answers the place
--                                    behind it
--   judge(state, now)                milliseconds until it lets a start pass, 0 where that is now; writes nothing
--   hold(state, nonce, now)          counts an admitted start. Answers its refund, or '', and whether `undo` is for it
--   exceed(state, nonce, now)        the same where it only observes, and would have refused
--   refuse(state, now)               of a start that it refuses
--   verdict(state, now)              what it says, as a decision's record shows it; or nil
--   undo(base, key, nonce, at, cost)    takes a hit back, once, whose start was refused elsewhere or is none of its own
--   approved(base, key, nonce, at, now, once)  the start of `at` was approved; `once` where nobody can say so again
--   mistyped(key, at)                   its first code was wrong, as is usual at its place
--   usual_slip(base, hit, now, wrong)   an approval or a wrong code; whether wrong ones are usual at its place
--   undelivered(hit)                    whether a message that did not arrive takes the hit back
--   corrected(hit)                      how the hit stands where a wrong code was followed by the right one
-- A state has also its `kind`, its `key` and the `place` of that among the keys of the call, whether the rule is only
-- `looked_at`, and, once judged, its `wait`.

local max = math.max
local mget = import('writing').mget
local keeping_last = import('common').keeping_last
local counted_of = import('windows').counted_of

local function nothing() end
local function same(hit) return hit end
local function counts_none() return '', false end
local COMMON = {counts = false, first = false, once = false, prefix = false, mistyped = false, approved = nothing,
  exceed = counts_none, refuse = nothing, usual_slip = nothing, undelivered = nothing, corrected = same}

local kinds = {}
for _, name in ipairs(KINDS) do
  local kind = {name = name}
  for field, value in pairs(COMMON) do kind[field] = value end
  for field, value in pairs(import('kinds/' .. name)) do kind[field] = value end
  kinds[name] = kind
end

-- The kinds of a list of names, and which of the rules are only looked at: `?` stands behind their names.
local kinds_of = keeping_last(function(names)
  local found, looked = {}, {}
  for name, mark in names:gmatch('(%w+)(%??)') do
    found[#found + 1], looked[#looked + 1] = kinds[name], mark == '?'
  end
  return {found, looked}
end)

-- The kind of a hit that was counted, by its key behind `limit:`.
local function kind_of(hit)
  for _, kind in pairs(kinds) do
    if kind.prefix and hit:sub(1, #kind.prefix) == kind.prefix then return kind end
  end
  return kinds.limit
end

-- The states of the rules that KEYS name from place `first` on. ARGV has the names of their kinds at place `at`, and
-- then the spec of each. Whatever they need, and what `keys` name, is read by one command. Returns also what that read.
local function open_rules(keys, KEYS, first, ARGV, at)
  local named, looked = unpack(kinds_of(ARGV[at]))
  local states = {}
  local place = #keys + 1
  for i = 1, #KEYS - first + 1 do
    states[i] = named[i].open(named[i], KEYS[first + i - 1], first + i - 1, looked[i], ARGV[at + i], keys)
  end
  local found = #keys > 0 and mget(keys) or {}
  for i = 1, #states do place = named[i].read(states[i], found, place) end
  return states, found
end

-- Judges all. Returns the state of the one that refuses, of those that refuse the one that waits longest, or nil; and
-- the names of those that only observe and would have refused.
local function judge_all(states, now)
  local refusing, observed, early = nil, {}, {}
  for _, state in ipairs(states) do
    if state.kind.first then
      state.wait = state.kind.judge(state, now)
      if state.wait > 0 and state.rule.enforced then refusing = refusing or state end
      if state.wait > 0 and not state.rule.enforced then early[#early + 1] = state.rule.name end
    end
  end
  if refusing then return refusing, early end
  for _, state in ipairs(states) do
    if not state.kind.first then
      state.wait = state.kind.judge(state, now)
      if state.wait > 0 and not state.rule.enforced then
        observed[#observed + 1] = state.rule.name
      elseif state.wait > 0 and (not refusing or state.wait > refusing.wait) then
        refusing = state
      end
    end
  end
  for _, name in ipairs(early) do observed[#observed + 1] = name end
  return refusing, observed
end

-- Counts an admitted start by all that were judged; where it is a `resend`, not by those that count a verification
-- once. Returns what its end gives back, and the places of those that can take it back.
local function hold_all(states, nonce, now, resend)
  local refunds, held = '', {}
  for _, state in ipairs(states) do
    local kind = state.kind
    if not state.looked_at and not (resend and kind.once) then
      local refund, undoable = (state.wait == 0 and kind.hold or kind.exceed)(state, nonce, now)
      refunds = refunds .. refund
      if undoable then held[#held + 1] = state.place end
    end
  end
  return refunds, held
end

-- Judges rules that count wrong codes, each for itself: one is counted where there is room, whatever another says.
-- Returns the one that refuses longest, or nil, and those that have room. The names of those that only observe and
-- would refuse are added to `observed`.
local function judge_each(states, now, observed)
  local refusing, open = nil, {}
  for _, state in ipairs(states) do
    state.wait = state.kind.judge(state, now)
    if state.wait == 0 then
      open[#open + 1] = state
    elseif not state.rule.enforced then
      observed[#observed + 1] = state.rule.name
    elseif not refusing or state.wait > refusing.wait then
      refusing = state
    end
  end
  return refusing, open
end

-- The longest of `least` and what each rule that is enforced would have a start wait, but for those that are judged
-- first.
local function longest_wait(states, now, least)
  for _, state in ipairs(states) do
    if state.rule.enforced and not state.kind.first then least = max(least, state.kind.judge(state, now)) end
  end
  return least
end

local function verdicts_of(states, now)
  local said = {}
  for _, state in ipairs(states) do said[#said + 1] = state.kind.verdict(state, now) end
  return said
end

-- What an event says of neighbours, which nobody can see in an export: '1', '0', or '' where nothing is known.
local function near_of(states)
  for _, state in ipairs(states) do
    if state.near ~= nil then return state.near and '1' or '0' end
  end
  return ''
end

-- Who is refused where a rule refuses: what its key counts, or nil where that says nothing.
local function counted_by(state) return state.kind.counts and counted_of(state.key) or nil end

return {kinds = kinds, kind_of = kind_of, open_rules = open_rules, judge_all = judge_all, hold_all = hold_all,
  judge_each = judge_each, longest_wait = longest_wait, verdicts_of = verdicts_of, near_of = near_of,
  counted_by = counted_by}
