local writing = import 'writing'
local write, get, put, remove, of_type = writing.write, writing.get, writing.put, writing.remove, writing.of_type
local layouts = import 'layouts'
local common = import 'common'
local digits, opened, record_of, save_record, sealed_of, note, emit, carry, queue =
  common.digits, common.opened, common.record_of, common.save_record, common.sealed_of, common.note, common.emit,
  common.carry, common.queue
local refunds = import 'refunds'

local DAY_MS, HOUR_MS = common.DAY_MS, common.HOUR_MS

-- deliveries: what becomes of a message after a provider took it. What is known of a send lies in the partition of its
-- provider's id of it; what follows from a receipt, in the number's.
--   delivery:<tag>      a delivery: whose message it was
--   early:<tag>         a receipt that came before its send was written down, msgpack
--   fate:<tag>          what a receipt has said already: '<delivered or failed> <when> <1 where it told the price>
--                       <entry>'; of another entry it says nothing: some providers give a second message the id of
--                       one before it
--   waiting, waiting:<entry>   a message that goes another way unless a receipt comes: by due time; a waiting,
--                       with the fields of its entry but `to`, and since when it is sent
--   unreachable:<number>:<channel>   '<until> <times>': a carrier said that no message will ever arrive there
local EARLY_MS, FATE_MS = 60000, 86400000
local STRAYS_MS = 2 * DAY_MS
-- A message that is moved with less of its life left would come too late.
local LEAST_LIFE = 1000

local function is_delivered(record, since)
  for line in layouts.each_timeline_line(record.timeline) do
    if line.event == 'delivered' and record.created_at + line.after >= since then return true end
  end
  return false
end

-- A verification whose newest message did not arrive is no trial of fraud: what was counted for it is taken back.
-- Trials of resends are taken back when they start.
local function take_back(base, keep, record, entry)
  if record.status ~= 'pending' or record.outbox ~= entry or is_delivered(record, 0) then return end
  local undo
  undo, record.refunds = refunds.of_undelivered(record.refunds)
  local elsewhere = refunds.take_back(base, undo)
  if elsewhere ~= '' then carry(base, keep, 'undo', 'refunds', elsewhere) end
end

-- What a line of the timeline says: why, and by which channel where that is not the one that was asked for last.
local function words_of(asked, channel, reason)
  if asked == channel then return reason end
  return 'by ' .. channel .. ((reason or '') ~= '' and ': ' .. reason or '')
end

-- One thing that happened to a send: a line of the timeline where there still is one, and an event.
--   about: the delivery   more: what only receipts say, by name
local function tell(base, keep, at, event, about, provider, reason, more)
  local id = about.id
  local record = record_of(base, id)
  if record then
    note(record, at, event, provider, words_of(record.channel, about.channel, reason))
    if event == 'failed' then take_back(base, keep, record, about.entry) end
    save_record(base, id, record)
  end
  local said = more or {}
  said.tenant, said.provider, said.reason, said.channel, said.country =
    about.tenant, provider, reason, about.channel, about.country
  emit(base, keep, at, event, id, said)
end

-- What receipts have said of an entry's message: delivered or failed, when, and '1' where with the price; '' of each
-- where nothing. Values of old name no entry, and hold no more than the word where it is delivered.
local function receipt_state_of(key, entry)
  local said, at, priced, of = (get(key) or ''):match('^(%a*) ?(%d*) ?(1?) ?(%S*)')
  if not said or (of ~= '' and of ~= entry) then return '', '', '' end
  return said, at, priced
end

-- Queues a waiting message again, where somebody still waits for its code and may be sent to, none of its ways has
-- delivered it late, and it was not sent anew meanwhile. `shut`: no further try by the same channel. Answers whether it
-- was.
local function move(base, now, record, waiting, shut)
  local tried, about, fields = waiting.way, waiting.delivery, waiting.entry
  local again, since = {}, 0
  if not record or record.status ~= 'pending' or record.expires_at < now + LEAST_LIFE then return false end
  local to = sealed_of(base, about.id, record)
  -- Another outbox entry: a resend has brought another message meanwhile.
  if record.outbox ~= about.entry or to == '' then return false end
  if get(base .. 'consent:' .. about.number .. ':' .. about.tenant) == 'out' then return false end
  for i = 1, #fields, 2 do
    if fields[i] == 'tried' then
      tried = fields[i + 1] .. ',' .. tried
    else
      again[#again + 1], again[#again + 2] = fields[i], fields[i + 1]
      if fields[i] == 'since' then since = tonumber(fields[i + 1]) end
    end
  end
  if is_delivered(record, since) then return false end
  if shut then tried = tried .. ',*/*/' .. about.channel end
  record.outbox = queue(base, 'to', to, 'tried', tried, unpack(again))
  save_record(base, about.id, record)
  return true
end

-- What waits for its receipt, which this ends. Returns nil where nothing does; then also, whether it cannot be read.
local function take_waiting(base, entry)
  local packed = get(base .. 'waiting:' .. entry)
  if redis.call('ZSCORE', base .. 'waiting', entry) then write('ZREM', base .. 'waiting', entry) end
  if not packed then return nil, false end
  remove(base .. 'waiting:' .. entry)
  local waiting = opened(layouts.open_waiting, packed)
  if waiting and waiting.delivery.id and type(waiting.entry) == 'table' then return waiting, false end
  return nil, true
end

-- Milliseconds for which nothing is sent to a number by a channel; `found` is the value of unreachable:….
local function unreachable_for(found, now)
  return found and math.max(0, tonumber(found:match('^%d+')) - now) or 0
end

-- The first time, for an hour; again while that is remembered, for a day. Two that say so of one message say it once.
local function mark_unreachable(now, key)
  local found, times = get(key), 1
  if unreachable_for(found, now) > 0 then return end
  if found then times = tonumber(found:match('^%d+ (%d+)')) + 1 end
  put(key, digits(now + (times > 1 and DAY_MS or HOUR_MS)) .. ' ' .. digits(times), 2 * DAY_MS)
end

-- Counts what a vendor told and nobody could use, by `<provider>:<why>`.
local function count_stray(key, name, times)
  of_type('HLEN', key)
  write('HINCRBY', key, name, times)
  write('PEXPIRE', key, STRAYS_MS)
end

-- sent: writes down whose messages a provider's ids name. Called by the dispatcher.
--   KEYS[…]  two each: delivery:<tag>, early:<tag>   ARGV[…]  two each: the delivery, msgpack; its life in ms
-- Answers the receipt of each that came before, or false. It is kept all the same: who could not apply it calls again.
local function sent(KEYS, ARGV)
  local early = {}
  for i = 1, #KEYS, 2 do
    put(KEYS[i], ARGV[i], tonumber(ARGV[i + 1]))
    early[#early + 1] = get(KEYS[i + 1])
  end
  return early
end

-- delivery: whose message a receipt is about. Called by whoever gets the receipt.
--   KEYS[1]  delivery:<tag>   KEYS[2]  early:<tag>   KEYS[3]  strays:<day>
--   ARGV[1]  status   ARGV[2]  the receipt, msgpack   ARGV[3]  what it is counted as where it matches no message
-- Answers the delivery, or false: then the receipt is kept for a minute, since the send may be about to be written
-- down.
local function delivery(KEYS, ARGV)
  local found = get(KEYS[1])
  if found then return found end
  if ARGV[1] ~= 'accepted' then count_stray(KEYS[3], ARGV[3], 1) end
  if ARGV[1] == 'delivered' or ARGV[1] == 'failed' and not get(KEYS[2]) then put(KEYS[2], ARGV[2], EARLY_MS) end
  return false
end

-- receipt: applies one. Delivered beats everything; what was said before is not said again. Called by whoever gets it.
--   KEYS[1]  fate:<tag>   ARGV[1]  now   ARGV[2]  keep_events   ARGV[3]  the delivery, msgpack   ARGV[4]  provider
--   ARGV[5]  status   ARGV[6]  reason   ARGV[7]  '1' where permanent   ARGV[8]  carrier
--   ARGV[9]  micro-dollars to add, or ''
-- Answers delivered, failed, failed-over (the message is on another way), or '' where it says nothing new.
local function receipt(KEYS, ARGV)
  local base, tag = KEYS[1]:match('^(.-{%d+}:)fate:(.*)$')
  local now, keep, about = tonumber(ARGV[1]), ARGV[2], layouts.open_delivery(ARGV[3])
  local provider, status, reason = ARGV[4], ARGV[5], ARGV[6]
  local entry, number, channel = about.entry, about.number, about.channel
  local said, at, priced = receipt_state_of(KEYS[1], entry)
  if said == 'delivered' or said == status then return '' end
  local price = priced == '' and ARGV[9] or ''
  put(KEYS[1], table.concat({status, digits(now), price ~= '' and '1' or '', entry}, ' '), FATE_MS)
  -- A day's sums have each message once, by its last word.
  local corrects = said == 'failed' and math.floor((tonumber(at) or 0) / DAY_MS) == math.floor(now / DAY_MS)
  local permanent = ARGV[7] == '1'
  local event = status
  if status == 'delivered' then
    take_waiting(base, entry)
    remove(base .. 'unreachable:' .. number .. ':' .. channel)
  else
    -- Of a notice, which lies with its user and not with its number, who calls marks that.
    if permanent and about.id:sub(1, 3) ~= 'no_' then
      mark_unreachable(now, base .. 'unreachable:' .. number .. ':' .. channel)
    end
    local packed = get(base .. 'waiting:' .. entry)
    -- Of two providers that took it, the last one's word counts.
    if packed and (opened(layouts.open_waiting, packed) or {}).tag == tag then
      local record = record_of(base, about.id)
      local waiting = take_waiting(base, entry)
      if waiting and move(base, now, record, waiting, permanent) then event = 'failed-over' end
    end
  end
  tell(base, keep, now, event, about, provider, reason,
    {way = about.way, permanent = ARGV[7], price = price, carrier = ARGV[8]})
  carry(base, keep, 'receipt', 'way', about.way, 'event', event, 'permanent', ARGV[7], 'price', price,
    'corrects', corrects and '1' or '')
  return event
end

-- overdue: sends on what has waited too long for its receipt. Called by the dispatcher.
--   KEYS[1]  waiting   ARGV[1]  now   ARGV[2]  keep_events   ARGV[3]  how many at most
-- Answers {{way, at, 1 where its code was entered, so that it must have arrived}, …}: by which way each of them had
-- gone, and when, whether or not it was sent on. One that cannot be read goes, and is answered as {'', 0, 0}.
local function overdue(KEYS, ARGV)
  local base, now, answer = KEYS[1]:match('^(.-{%d+}:)'), tonumber(ARGV[1]), {}
  for _, entry in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', ARGV[1], 'LIMIT', 0, ARGV[3])) do
    local waiting, unreadable = take_waiting(base, entry)
    if unreadable then
      answer[#answer + 1] = {'', 0, 0}
    elseif waiting then
      local record = record_of(base, waiting.delivery.id)
      answer[#answer + 1] = {waiting.way, waiting.delivery.at, record and record.status == 'approved' and 1 or 0}
      if move(base, now, record, waiting, false) then
        local reason = 'no receipt within ' .. waiting.within
        tell(base, ARGV[2], now, 'failed-over', waiting.delivery, waiting.provider, reason)
      end
    end
  end
  return answer
end

-- unreachable: a provider refuses a number as one that no message reaches. Called by the dispatcher.
--   KEYS[1]  unreachable:<number>:<channel>   ARGV[1]  now
-- Answers 1.
local function unreachable(KEYS, ARGV)
  mark_unreachable(tonumber(ARGV[1]), KEYS[1])
  return 1
end

-- stray: counts more. Called by whoever hears it.
--   KEYS[1]  strays:<day>   ARGV[1]  <provider>:<why>   ARGV[2]  how many
-- Answers 1.
local function stray(KEYS, ARGV)
  count_stray(KEYS[1], ARGV[1], ARGV[2])
  return 1
end

return {unreachable = unreachable, stray = stray, sent = sent, delivery = delivery, receipt = receipt,
  overdue = overdue, unreachable_for = unreachable_for, tell = tell, receipt_state_of = receipt_state_of}
