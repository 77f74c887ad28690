local writing = import 'writing'
local write, get, put, of_type = writing.write, writing.get, writing.put, writing.of_type
local layouts = import 'layouts'
local common = import 'common'
local record_of, DAY_MS = common.record_of, common.DAY_MS
local deliveries = import 'deliveries'
local tell, fate_of = deliveries.tell, deliveries.fate_of

-- Longer than a dispatcher waits between two calls.
local TOLD_MS = 60000

-- settle: what became of an outbox entry: acknowledged and deleted together, and written into the timeline. Called by
-- the dispatcher.
--   KEYS[1]  outbox   ARGV[1]  keep_events   ARGV[2]  delivery
--   ARGV[3]  '' or due: it goes another way unless a receipt comes till then
--   ARGV[…]  four each: at, event, provider, reason
-- Answers 1, or 0 where the entry had been settled or withdrawn: then nothing is written.
local function settle(KEYS, ARGV)
  local base = KEYS[1]:match('^(.-{%d+}:)')
  local about = layouts.open_delivery(ARGV[2])
  local entry = about.entry
  local fields = redis.call('XRANGE', KEYS[1], entry, entry)
  write('XACK', KEYS[1], 'dispatch', entry)
  if #fields == 0 then return 0 end
  write('XDEL', KEYS[1], entry)
  local due = ARGV[3] ~= '' and layouts.open_due(ARGV[3])
  -- On a cluster the receipt may have come between the dispatcher's two calls.
  if due and fate_of(base .. 'fate:' .. due.tag, entry) ~= 'delivered' then
    local kept, again = {}, false
    for i = 1, #fields[1][2], 2 do
      local name, value = fields[1][2][i], fields[1][2][i + 1]
      if name ~= 'to' then kept[#kept + 1], kept[#kept + 2] = name, value end
      again = again or name == 'since'
    end
    if not again then kept[#kept + 1], kept[#kept + 2] = 'since', ARGV[4] end
    local waiting = {
      tag = due.tag, provider = due.provider, way = due.way, within = due.within, delivery = about, entry = kept,
    }
    put(base .. 'waiting:' .. entry, layouts.pack_waiting(waiting), due.life)
    of_type('ZCARD', base .. 'waiting')
    write('ZADD', base .. 'waiting', due.at, entry)
    write('PEXPIRE', base .. 'waiting', DAY_MS)
  end
  for i = 4, #ARGV, 4 do
    tell(base, ARGV[1], tonumber(ARGV[i]), ARGV[i + 1], about, ARGV[i + 2], ARGV[i + 3])
  end
  return 1
end

-- report: what is known of a message before it is settled, or came after that. Called by the dispatcher.
--   KEYS[1]  verification:<id>   ARGV as of `settle`, but for ARGV[3]: what tells this report from all others
-- Answers 1, or 0 where it is written down already: its dispatcher calls again when it has heard no answer.
local function report(KEYS, ARGV)
  local base = KEYS[1]:match('^(.-{%d+}:)')
  local told = base .. 'told:' .. ARGV[3]
  local again = get(told)
  put(told, '', TOLD_MS)
  if again then return 0 end
  local about = layouts.open_delivery(ARGV[2])
  for i = 4, #ARGV, 4 do
    tell(base, ARGV[1], tonumber(ARGV[i]), ARGV[i + 1], about, ARGV[i + 2], ARGV[i + 3])
  end
  return 1
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

return {settle = settle, bury = bury_entry, report = report}
