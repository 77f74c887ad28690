-- carry: work for another partition, and what a dispatcher is to hear of a receipt. A stream of its own, which nobody
-- else reads: an entry goes with the call that answers it.
--   carry   stream: kind, and
--     approved, wrong   refunds, and at: when that was      undo   refunds
--     receipt           way, event, permanent ('1' or ''), price (micro-dollars or ''), corrects ('1' or '')

local writing = import 'writing'
local get, put, write, remove = writing.get, writing.put, writing.write, writing.remove
local kind_of = import('evaluation').kind_of
local refunds = import 'refunds'
local layouts = import 'layouts'

local POSITION_MS = 604800000

local READERS = {}

function READERS.approved(entry, tell)
  for refund in layouts.each_refund(entry.refunds) do
    local once = kind_of(refund.hit).once
    local what, more = once and 'won' or 'release', once and entry.at or refund.nonce
    tell(what, refund.partition, refund.hit, refund.at, more)
  end
end

function READERS.wrong(entry, tell)
  for refund in layouts.each_refund(entry.refunds) do
    tell('mistyped', refund.partition, refund.hit, refund.at, '')
  end
end

function READERS.undo(entry, tell)
  for refund in layouts.each_refund(entry.refunds) do
    tell('release', refund.partition, refund.hit, refund.at, refund.nonce)
  end
end

function READERS.receipt(entry, tell)
  tell('receipt', entry.way, entry.event, entry.permanent, entry.price, entry.corrects)
end

-- The release before this one carried by its events, and its web roles may be here still. Blocks are told by events.
local function read_event(event, tell, base)
  if event.credits then READERS[event.event]({refunds = event.credits, at = event.at}, tell) end
  if event.undo then READERS.undo({refunds = refunds.take_back(base, event.undo)}, tell) end
  if event.corrects then READERS.receipt(event, tell) end
  if event.event == 'blocked' or event.event == 'lifted' then tell('block', event.event, event.rule, event.mode) end
end

-- carried: what is to be carried since the last call: the answer, for the caller to pass on. Called by the dispatcher,
-- a few times a second.
--   KEYS[1]  carry   KEYS[2]  events   KEYS[3]  credits (the position in them)   ARGV[1]  how many of each at most
-- Answers {more, {what, …}, …}. `won`, `mistyped` and `release` are functions, with {partition, hit, its time, and the
-- time of the approval or the nonce}; `receipt` has its entry's parts, `block` {event, rule, mode}, and `unreadable` a
-- place in a stream: what stands behind it is read all the same.
local function carried(KEYS, ARGV)
  local base, most = KEYS[1]:match('^(.-{%d+}:)'), tonumber(ARGV[1])
  local answer, names = {0}, {}
  local function tell(...) answer[#answer + 1] = {...} end
  local entries = redis.call('XRANGE', KEYS[1], '-', '+', 'COUNT', most)
  for i, entry in ipairs(entries) do
    names[i] = entry[1]
    local fields = layouts.by_name(entry[2])
    if not pcall(function() READERS[fields.kind](fields, tell) end) then tell('unreadable', entry[1]) end
  end
  if #entries == most then
    answer[1] = 1
    write('XDEL', KEYS[1], unpack(names))
  elseif #entries > 0 then
    remove(KEYS[1])
  end
  local last = get(KEYS[3])
  local events = redis.call('XRANGE', KEYS[2], last and '(' .. last or '-', '+', 'COUNT', most)
  for _, entry in ipairs(events) do
    last = entry[1]
    if not pcall(read_event, layouts.by_name(entry[2]), tell, base) then tell('unreadable', last) end
  end
  if #events == most then answer[1] = 1 end
  if last then put(KEYS[3], last, POSITION_MS) end
  return answer
end

return {carried = carried}
