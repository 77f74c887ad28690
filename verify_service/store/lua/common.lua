-- Shared by the functions below. Times are milliseconds, an ARGV of the caller, never the server's.
--
-- A limit is judged and held in the slot of its key:
--   key        sorted set: one member per hit, the hit's request nonce, scored by its time (windows of up to 32 hits)
--   key..':n'  hash: '<window ms>:<bucket>' -> hits (larger windows: sliding-window counter of aligned buckets)
-- Both are `limits`' strategies (MovingWindow, SlidingWindowCounter), several windows at once, all or nothing.
-- A budget is a limit whose hit has a cost: it counts micro-dollars in place of hits, always by the counter.

local LOG_MAX = 32

-- What was emitted in a rehearsal: a backtest asks for decisions, so nothing is queued, noted or put on a stream there,
-- and `replay` takes the events from here.
local emitted = {}

-- Every function's last argument is until when it may run, in milliseconds of the server's own clock, or '': what a
-- stopped server finds in its buffers when it goes on was given up by its caller long ago. But for a sender's line,
-- which all dispatchers must see alike, it is the only use of that clock; no rule sees it.
local function register(name, callback, flags)
  local function in_time(KEYS, ARGV)
    local deadline = table.remove(ARGV)
    if deadline ~= '' then
      local clock = redis.call('TIME')
      if clock[1] * 1000 + clock[2] / 1000 > tonumber(deadline) then
        return redis.error_reply('LATE this call was given up by its caller')
      end
    end
    return callback(KEYS, ARGV)
  end
  redis.register_function{function_name = 'vs_' .. name .. '_' .. VERSION, callback = in_time, flags = flags or {}}
end

local function digits(ms) return string.format('%.0f', ms) end

-- A limit from {name, enforced, net, {{amount, ms}, ...}, cost or nothing}, with what its key's life follows from.
local function limit_of(spec, key)
  local limit = {key = key, name = spec[1], enforced = spec[2], net = spec[3], windows = spec[4], life = 0, log = 0,
    budget = spec[5] ~= nil, cost = spec[5] or 1}
  for _, window in ipairs(limit.windows) do
    if window[1] <= LOG_MAX then
      limit.log = math.max(limit.log, window[1])
      limit.life = math.max(limit.life, window[2] + 1000)
    else
      limit.counted = true
      limit.life = math.max(limit.life, 2 * window[2])
    end
  end
  return limit
end

-- `hits` is the log, newest first, as {nonce, time, nonce, time, ...}.
local function log_wait(hits, amount, ms, now)
  local score = tonumber(hits[2 * amount])
  if score and score >= now - ms then return score + ms + 1 - now end
  return 0
end

local function counted_in(counts, ms, now)
  local bucket, of_ms = math.floor(now / ms), digits(ms) .. ':'
  local current, previous = counts[of_ms .. digits(bucket)] or 0, counts[of_ms .. digits(bucket - 1)] or 0
  return math.floor(previous * (ms - now + bucket * ms) / ms) + current
end

local function counter_wait(counts, amount, ms, now, cost)
  local bucket, of_ms = math.floor(now / ms), digits(ms) .. ':'
  local current, previous = counts[of_ms .. digits(bucket)] or 0, counts[of_ms .. digits(bucket - 1)] or 0
  local elapsed = now - bucket * ms
  if math.floor(previous * (ms - elapsed) / ms) + current + cost <= amount then return 0 end
  local room = amount - cost + 1
  if current < room then
    -- The smallest elapsed time at which the previous bucket weighs little enough.
    local fits = ms - math.ceil((room - current) * ms / previous) + 1
    if fits < ms then return fits - elapsed end
    return ms - elapsed
  end
  return ms - elapsed + ms - math.ceil(room * ms / current) + 1
end

-- Milliseconds until a hit can pass every window of the limit; 0 where it can now. Two reads at most, however many
-- windows; what they found stays in the limit, for `hold`.
local function wait_of(limit, now)
  local wait, hits, counts = 0, {}, {}
  if limit.log > 0 then hits = redis.call('ZRANGE', limit.key, 0, limit.log - 1, 'REV', 'WITHSCORES') end
  if limit.counted then
    local flat = redis.call('HGETALL', limit.key .. ':n')
    for i = 1, #flat, 2 do counts[flat[i]] = tonumber(flat[i + 1]) end
  end
  limit.full, limit.counts, limit.hits = #hits == 2 * limit.log, counts, hits
  for _, window in ipairs(limit.windows) do
    if window[1] <= LOG_MAX then
      wait = math.max(wait, log_wait(hits, window[1], window[2], now))
    else
      wait = math.max(wait, counter_wait(counts, window[1], window[2], now, limit.cost))
    end
  end
  return wait
end

-- Counts a hit, right after `wait_of` has judged the limit at the same time.
local function hold(limit, nonce, now)
  if limit.log > 0 then
    redis.call('ZADD', limit.key, now, nonce)
    if limit.full then redis.call('ZREMRANGEBYRANK', limit.key, 0, -limit.log - 1) end
    redis.call('PEXPIRE', limit.key, limit.life)
  end
  for _, window in ipairs(limit.windows) do
    if window[1] > LOG_MAX then
      local hash, bucket, ms = limit.key .. ':n', math.floor(now / window[2]), digits(window[2])
      if redis.call('HINCRBY', hash, ms .. ':' .. digits(bucket), limit.cost) == limit.cost then
        for field in pairs(limit.counts) do
          local of_ms, old = field:match('^(%d+):(%d+)$')
          if of_ms == ms and tonumber(old) < bucket - 1 then redis.call('HDEL', hash, field) end
        end
      end
      redis.call('PEXPIRE', hash, limit.life)
    end
  end
end

-- Gives one hit back, however often it is asked to: the hit made at `at` under `nonce`.
local function give_back(base, key, nonce, at, cost)
  redis.call('ZREM', key, nonce)
  local hash = key .. ':n'
  local fields = redis.call('HKEYS', hash)
  if #fields == 0 then return end
  -- A counter cannot tell one hit from another; the marker does, for as long as a repetition could come.
  if not redis.call('SET', base .. 'given:' .. key:match('limit:(.*)$') .. ':' .. nonce, '', 'NX', 'PX', 600000) then return end
  for _, field in ipairs(fields) do
    local ms, bucket = field:match('^(%d+):(%d+)$')
    if math.floor(at / tonumber(ms)) == tonumber(bucket) and tonumber(redis.call('HGET', hash, field)) > 0 then
      redis.call('HINCRBY', hash, field, -(cost or 1))
    end
  end
end

-- What an approval gives back of a hit, as records and events carry it: "<partition>,<name>:<tag>,<nonce>,<time>;".
local function credit_of(key, nonce, at)
  return table.concat({key:match('{(%d+)}'), key:match('limit:(.*)$'), nonce, digits(at)}, ',') .. ';'
end

-- The longest of `least` and what each enforced limit would have a hit wait.
local function longest_wait(limits, now, least)
  for _, limit in ipairs(limits) do
    if limit.enforced then least = math.max(least, wait_of(limit, now)) end
  end
  return least
end

-- Judges all, then holds all or none. Returns the name and wait of the enforced limit that refuses longest (nil where
-- none does), the names of the observed ones that would have refused, the places of those held: only they may be given
-- back, since a counter would lose another's hit; and what its refusal is called. `peek` limits are judged, never held.
local function acquire(limits, nonce, now)
  local refused, longest, observed, held, kind = nil, 0, {}, {}, nil
  for i, limit in ipairs(limits) do
    local wait = wait_of(limit, now)
    if wait == 0 then
      if not limit.peek then held[#held + 1] = i end
    elseif not limit.enforced then
      observed[#observed + 1] = limit.name
    elseif wait > longest then
      refused, longest, kind = limit.name, wait, limit.budget and 'blocked' or 'rate-limited'
    end
  end
  if refused then return refused, longest, observed, {}, kind end
  for _, i in ipairs(held) do hold(limits[i], nonce, now) end
  return nil, longest, observed, held
end

-- A limit as a decision's record shows it: the window that decides, its count and bound, and what follows. Reads only.
local function verdict_of(limit, now)
  local wait, shown = wait_of(limit, now), nil
  for _, window in ipairs(limit.windows) do
    local amount, ms, count, need = window[1], window[2], 0, 0
    if amount <= LOG_MAX then
      for i = 2, #limit.hits, 2 do
        if tonumber(limit.hits[i]) >= now - ms then count = count + 1 end
      end
      need = log_wait(limit.hits, amount, ms, now)
    else
      count, need = counted_in(limit.counts, ms, now), counter_wait(limit.counts, amount, ms, now, limit.cost)
    end
    if not shown or need > shown.wait or (need == shown.wait and count / amount > shown.count / shown.bound) then
      shown = {wait = need, count = count, bound = amount, window = ms}
    end
  end
  shown.name, shown.kind = limit.name, limit.budget and 'budget' or 'limit'
  shown.mode = limit.enforced and 'enforce' or 'observe'
  shown.verdict = wait == 0 and 'pass' or limit.enforced and 'refuse' or 'observe'
  shown.key, shown.cost = limit.key:match('([^:]*)$'), limit.cost
  return shown
end

local DECISION_MS = 3600000

-- Keeps what refused a request, for as long as somebody may ask why. `context` is {revision, the static verdicts as
-- JSON, the names of the static rules that only watched}; `judged` are verdicts of limits and rules.
local function record_decision(base, id, now, tenant, refused, by, wait, context, judged)
  if REHEARSAL then return end
  local key = base .. 'decision:' .. id
  redis.call('HSET', key, 'at', digits(now), 'tenant', tenant, 'refused', refused, 'by', by, 'wait', digits(wait),
    'revision', digits(context[1] or 0), 'statics', context[2] or '', 'judged', cmsgpack.pack(judged))
  redis.call('PEXPIRE', key, DECISION_MS)
end

-- A verification's record, or nil. Short names of fields are the nouns of the API.
local function record_of(key)
  local flat = redis.call('HGETALL', key)
  if #flat == 0 then return nil end
  local record = {}
  for i = 1, #flat, 2 do record[flat[i]] = flat[i + 1] end
  for _, field in ipairs({'created_at', 'expires_at', 'resend_at', 'sends', 'wrong', 'checks_max', 'sends_max'}) do
    record[field] = tonumber(record[field])
  end
  return record
end

-- A line of a verification's timeline. A reason may be in a vendor's words, and is one line all the same.
local function line(at, event, provider, reason)
  return table.concat({digits(at), event, provider or '', ((reason or ''):gsub('%c', ' '))}, '\t') .. '\n'
end

-- Not by APPEND: that would leave room for as much again.
local function note(base, id, at, event, provider, reason)
  if REHEARSAL then return end
  local key = base .. 'timeline:' .. id
  redis.call('SET', key, (redis.call('GET', key) or '') .. line(at, event, provider, reason), 'KEEPTTL')
end

local function emit(base, keep, at, event, id, fields)
  local entry = {'at', digits(at), 'event', event, 'id', id}
  for i = 1, #fields do entry[#entry + 1] = fields[i] end
  if REHEARSAL then
    emitted[#emitted + 1] = entry
    return
  end
  redis.call('XADD', base .. 'events', 'MAXLEN', '~', keep, '*', unpack(entry))
end

-- Queues a message for the dispatcher; answers its entry, '' in a rehearsal.
local function queue(base, ...)
  if REHEARSAL then return '' end
  return redis.call('XADD', base .. 'outbox', '*', ...)
end

-- Takes a message out of the outbox that no dispatcher has claimed yet; one that is claimed is settled by its holder.
local function withdraw(base, id, now, entry)
  if not entry or entry == '' then return end
  local pending = redis.pcall('XPENDING', base .. 'outbox', 'dispatch', entry, entry, 1)
  if not pending.err and #pending > 0 then return end
  if redis.call('XDEL', base .. 'outbox', entry) == 1 then
    note(base, id, now, 'failed', nil, 'withdrawn before it was sent')
  end
end

-- What ends with a verification: its number's ciphertext, the pointer to it, its unsent message.
local function finish(base, id, record, status, now, keep_pointer)
  redis.call('HSET', base .. 'verification:' .. id, 'status', status)
  withdraw(base, id, now, record.outbox)
  local sealed, pointer = base .. 'to:' .. id, base .. 'live:' .. record.number .. ':' .. record.tenant .. ':' .. record.purpose
  if not keep_pointer and redis.call('GET', pointer) == id then
    redis.call('DEL', sealed, pointer)
  else
    redis.call('DEL', sealed)
  end
end

-- The stored answer under an Idempotency-Key: 'new', 'mismatch', or the answer as it was given.
local function replay_of(key, fingerprint, now)
  local stored = redis.call('GET', key)
  if not stored then return 'new' end
  local kept = cmsgpack.unpack(stored)
  if kept[2] <= now then return 'new' end
  if kept[1] ~= fingerprint then return 'mismatch' end
  return kept[3] or 'new'
end

local function remember(key, fingerprint, now, ms, answer)
  redis.call('SET', key, cmsgpack.pack({fingerprint, now + ms, answer}), 'PX', ms)
end
