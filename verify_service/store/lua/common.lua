-- Shared by the functions below. Times are milliseconds, an ARGV of the caller, never the server's.

local floor, max = math.floor, math.max
local layouts = import 'layouts'
local writing = import 'writing'
local get, put, put_record, record_at, remove, write, of_type =
  writing.get, writing.put, writing.put_record, writing.record_at, writing.remove, writing.write, writing.of_type

-- `work` of one argument, its last answer kept: calls of the same minute come with the same settings and rules, and one
-- call writes its own time several times.
local function keeping_last(work)
  local asked, answer
  return function(about)
    if about ~= asked then asked, answer = about, work(about) end
    return answer
  end
end

-- The same for up to a thousand arguments.
local function keeping(work)
  local answers, kept = {}, 0
  return function(about)
    local answer = answers[about]
    if answer == nil then
      if kept >= 1000 then answers, kept = {}, 0 end
      answer = work(about)
      answers[about], kept = answer, kept + 1
    end
    return answer
  end
end

-- Formatting costs as much as a command.
local digits = keeping_last(function(ms) return string.format('%.0f', ms) end)

-- Whether approvals of other partitions are known to be late here: what looks like a code that nobody entered may be on
-- its way. Where there is one partition, and in a scratch store, none come from elsewhere and nobody writes the key.
local function refunds_late(base, now)
  local at = get(base .. 'credited')
  return at and now - tonumber(at) > 5000 or false
end

local HOUR_MS, DAY_MS = 3600000, 86400000
local DECISION_MS = HOUR_MS

-- Keeps what refused a request, or would have, for as long as somebody may ask why. `judged` are verdicts of limits and
-- rules.
local function record_decision(base, id, now, tenant, refused, by, wait, context, judged)
  if SCRATCH then return end
  local key, parts = base .. 'decision:' .. id, {}
  for i, packed in ipairs(context.judged) do parts[2 * i - 1], parts[2 * i] = 'judged:' .. i, packed end
  of_type('HLEN', key)
  write('HSET', key, 'at', digits(now), 'tenant', tenant, 'refused', refused, 'by', by, 'wait', digits(wait),
    'revision', digits(context.revision), 'statics', context.statics, 'judged', cmsgpack.pack(judged), 'count', '1',
    'unjudged', table.concat(context.unjudged, ','), unpack(parts))
  write('PEXPIRE', key, DECISION_MS)
end

-- Keeps why a request was refused. Repeats of one cause within a minute share a record, which counts them: `who` is the
-- number, the address or the count that it is about. Of distinct ones there is room for some a minute, in proportion to
-- the events that are kept; what comes beyond shares one for each rule and tenant. So a flood of refusals costs no
-- memory. `judge` answers the verdicts, where the record is new. Returns the record's id, and how many requests it
-- stands for.
local function record_refusal(base, keep_events, id, now, tenant, refused, by, wait, context, who, judge)
  if SCRATCH then return id, 1 end
  local filed = base .. 'decided:' .. digits(floor(now / 60000))
  local cause = redis.sha1hex(table.concat({tenant, by, who, context.statics}, '\n'))
  local shared = redis.call('HGET', filed, cause)
  if not shared and redis.call('HLEN', filed) >= max(1, keep_events / 1000) then
    cause = by .. ' ' .. tenant
    shared = redis.call('HGET', filed, cause)
  end
  local count = shared and redis.call('HGET', base .. 'decision:' .. shared, 'count')
  if count then
    write('HSET', base .. 'decision:' .. shared, 'count', digits(count + 1), 'last', digits(now))
    return shared, count + 1
  end
  write('HSET', filed, cause, id)
  write('PEXPIRE', filed, 120000)
  record_decision(base, id, now, tenant, refused, by, wait, context, judge())
  return id, 1
end

-- Whether a refusal becomes an event, by how many its record stands for: the first eight do, then the 16th, 32nd and so
-- on, which say how many starts they stand for. Returns that number.
local function told_of(count)
  if count <= 8 then return 1 end
  local told = 8
  while told < count do told = told * 2 end
  return told == count and count / 2 or nil
end

-- Whether there is room for one more record of a start that was admitted: some a minute, in proportion to the events
-- that are kept, so that an attack that is only observed does not fill the store.
local function may_record(base, now, keep_events)
  if SCRATCH then return false end
  local key = base .. 'decisions:' .. digits(floor(now / 60000))
  local made = (tonumber(get(key) or 0) or 0) + 1
  put(key, digits(made), 120000)
  return made <= max(1, keep_events / 6000)
end

-- What a layout's `open` makes of a value of the store, or nil where it cannot be read.
local function opened(open, packed)
  local readable, found = pcall(open, packed)
  return readable and found or nil
end

-- A verification's record, or nil; one that cannot be read is none, and must not stop what it is met with.
local function record_of(base, id)
  local key = base .. 'verification:' .. id
  local here = record_at(key)
  if here then return here end
  local packed = get(key)
  return packed and opened(layouts.open_record, packed)
end

-- `life` is in milliseconds, nil where the record keeps the one it has.
local function save_record(base, id, r, life)
  local key = base .. 'verification:' .. id
  local head, tail = layouts.pack_record(r)
  local handle = type(r.outbox) == 'table' and r.outbox or nil
  put_record(key, r, handle and head or head .. r.outbox .. tail, life, handle, tail)
end

-- The pointer of a number to what is pending holds an id and, until that has ended, its sealed number.
local ID = 35

local function pointer_of(base, record)
  return base .. 'live:' .. record.number .. ':' .. record.tenant .. ':' .. record.purpose
end

local function pointed_at(pointer)
  local found = get(pointer)
  return found and found:sub(1, ID), found and found:sub(ID + 1)
end

-- The sealed number of a verification, '' where it has ended.
local function sealed_of(base, id, record)
  local pending, sealed = pointed_at(pointer_of(base, record))
  return pending == id and sealed or ''
end

-- A line of a verification's timeline. A reason may be in a vendor's words, and is one line all the same.
local function note(record, at, event, provider, reason)
  if SCRATCH then return end
  local after = at == record.created_at and '0' or digits(at - record.created_at)
  local words = reason and reason:gsub('%c', ' ') or ''
  record.timeline = record.timeline
    .. layouts.line_timeline_line({after = after, event = event, provider = provider or '', reason = words})
end

-- Tells what happened: `said` has the event's fields by their names, as store/event_types.py declares them.
local function emit(base, keep, at, event, id, said)
  if SCRATCH then return end
  of_type('XLEN', base .. 'events')
  write('XADD', base .. 'events', 'MAXLEN', '~', keep, '*', 'at', digits(at), 'event', event, 'id', id,
    unpack(layouts.event_fields[event](said)))
end

-- Leaves work for other partitions, or word for a dispatcher: carry.lua has the kinds, and what each needs.
local function carry(base, keep, kind, ...)
  if SCRATCH then return end
  of_type('XLEN', base .. 'carry')
  write('XADD', base .. 'carry', 'MAXLEN', '~', keep, '*', 'kind', kind, ...)
  write('PEXPIRE', base .. 'carry', 7 * DAY_MS)
end

-- The event of a refused start, where its record says that it becomes one.
local function emit_refused(base, keep, at, id, said, by, decision, count, observed)
  local stands_for = told_of(count)
  if not stands_for then return end
  said.refused, said.decision, said.observed = by, decision, table.concat(observed, ',')
  if stands_for > 1 then said.repeats = digits(stands_for) end
  emit(base, keep, at, 'start', id, said)
end

-- Queues a message for the dispatcher. Answers what a record's `outbox` is until its entry has a name; '' in a
-- rehearsal.
local function queue(base, ...)
  if SCRATCH then return '' end
  return writing.queue(base .. 'outbox', ...)
end

-- Takes a message out of the outbox that no dispatcher has claimed yet; one that is claimed is settled by its holder.
local function withdraw(base, record, now)
  local entry = record.outbox
  -- None, or a handle of this very call's.
  if #entry == 0 or redis.call('XLEN', base .. 'outbox') == 0 then return end
  if #redis.call('XRANGE', base .. 'outbox', entry, entry) == 0 then return end
  local pending = redis.pcall('XPENDING', base .. 'outbox', 'dispatch', entry, entry, 1)
  if not pending.err and #pending > 0 then return end
  write('XDEL', base .. 'outbox', entry)
  note(record, now, 'failed', nil, 'withdrawn before it was sent')
end

-- What ends with a verification, whose record its caller saves: its number's ciphertext, the pointer to it, its unsent
-- message.
local function finish(base, id, record, status, now, keep_pointer)
  record.status = status
  withdraw(base, record, now)
  local pointer = pointer_of(base, record)
  if pointed_at(pointer) ~= id then return end
  if keep_pointer then
    put(pointer, id)
  else
    remove(pointer)
  end
end

-- The stored answer under an Idempotency-Key: 'new', 'mismatch', or the answer as it was given.
local function replay_of(key, fingerprint, now)
  local stored = get(key)
  if not stored then return 'new' end
  local kept = layouts.open_answered(stored)
  if kept.till <= now then return 'new' end
  if kept.fingerprint ~= fingerprint then return 'mismatch' end
  return kept.answer or 'new'
end

local function remember(key, fingerprint, now, ms, answer)
  put(key, layouts.pack_answered({fingerprint = fingerprint, till = now + ms, answer = answer}), ms)
end

return {digits = digits, emit = emit, carry = carry, keeping = keeping, keeping_last = keeping_last, DAY_MS = DAY_MS,
  HOUR_MS = HOUR_MS, refunds_late = refunds_late, opened = opened, record_of = record_of, save_record = save_record,
  sealed_of = sealed_of, note = note, queue = queue, record_decision = record_decision,
  record_refusal = record_refusal, may_record = may_record, ID = ID, emit_refused = emit_refused, withdraw = withdraw,
  finish = finish, replay_of = replay_of, remember = remember, pointer_of = pointer_of, pointed_at = pointed_at}
