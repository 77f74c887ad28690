local writing = import 'writing'
local write, get, put, of_type = writing.write, writing.get, writing.put, writing.of_type
local layouts = import 'layouts'
local common = import 'common'
local digits, record_of, DAY_MS = common.digits, common.record_of, common.DAY_MS
local deliveries = import 'deliveries'
local tell, receipt_state_of = deliveries.tell, deliveries.receipt_state_of

-- Longer than a dispatcher waits between two calls.
local TOLD_MS = 60000

-- Keeps what is needed to send an entry by another way, unless a receipt comes in time.
local function wait_for_receipt(base, fields, delivery, at, due)
  -- On a cluster the receipt may have come between the dispatcher's two calls.
  if receipt_state_of(base .. 'fate:' .. due.tag, delivery.entry) == 'delivered' then return end
  local kept, again = {}, false
  for i = 1, #fields, 2 do
    local name, value = fields[i], fields[i + 1]
    if name ~= 'to' then kept[#kept + 1], kept[#kept + 2] = name, value end
    again = again or name == 'since'
  end
  if not again then kept[#kept + 1], kept[#kept + 2] = 'since', digits(at) end
  local waiting = {
    tag = due.tag, provider = due.provider, way = due.way, within = due.within, delivery = delivery, entry = kept,
  }
  put(base .. 'waiting:' .. delivery.entry, layouts.pack_waiting(waiting), due.life)
  of_type('ZCARD', base .. 'waiting')
  write('ZADD', base .. 'waiting', digits(due.at), delivery.entry)
  write('PEXPIRE', base .. 'waiting', DAY_MS)
end

-- Whether this settles an entry: it does not where that had been settled, or withdrawn.
local function settles(stream, base, outcome)
  local entry = outcome.delivery.entry
  local found = redis.call('XRANGE', stream, entry, entry)[1]
  write('XACK', stream, 'dispatch', entry)
  if not found then return false end
  write('XDEL', stream, entry)
  if outcome.due then wait_for_receipt(base, found[2], outcome.delivery, outcome.events[1].at, outcome.due) end
  return true
end

-- Whether what a mark tells from all else is news: its dispatcher calls again when it has heard no answer.
local function is_news(base, mark)
  local told = base .. 'told:' .. mark
  local again = get(told)
  put(told, '', TOLD_MS)
  return not again
end

-- settle: what became of outbox entries, all in one step: acknowledged and deleted, and written into their timelines.
-- Called by the dispatcher.
--   KEYS[1]  outbox   ARGV[1]  keep_events   ARGV[2]  {outcome, …}, msgpack
-- Answers how many are new: what had been settled, withdrawn or written down is passed over.
local function settle(KEYS, ARGV)
  local base, new = KEYS[1]:match('^(.-{%d+}:)'), 0
  for _, packed in ipairs(cmsgpack.unpack(ARGV[2])) do
    local outcome = layouts.name_outcome(packed)
    local mark = outcome.mark
    if mark ~= '' and is_news(base, mark) or mark == '' and settles(KEYS[1], base, outcome) then
      new = new + 1
      for _, line in ipairs(outcome.events) do
        tell(base, ARGV[1], line.at, line.event, outcome.delivery, line.provider, line.reason)
      end
    end
  end
  return new
end

-- bury: an entry that cannot be read goes, so that it is not met again, and its verification says so where it is known.
-- Called by the dispatcher.
--   KEYS[1]  outbox   ARGV[1]  now   ARGV[2]  keep_events   ARGV[3]  entry   ARGV[4]  its verification, or ''
--   ARGV[5]  why
-- Answers 1, or 0 where it was gone.
local function bury_entry(KEYS, ARGV)
  local base, entry, id = KEYS[1]:match('^(.-{%d+}:)'), ARGV[3], ARGV[4]
  write('XACK', KEYS[1], 'dispatch', entry)
  if #redis.call('XRANGE', KEYS[1], entry, entry) == 0 then return 0 end
  write('XDEL', KEYS[1], entry)
  local record = id ~= '' and record_of(base, id)
  if record then
    local about = {id = id, entry = entry, tenant = record.tenant, channel = record.channel, country = ''}
    tell(base, ARGV[2], tonumber(ARGV[1]), 'failed', about, '', ARGV[5])
  end
  return 1
end

return {settle = settle, bury = bury_entry}
