-- limits: what a hit has to wait for, counting it, and giving it back. Used by start, check, hold and decisions.
--
-- A limit is judged and held in the slot of its key:
--   key        sorted set: one member per hit, the hit's request nonce, scored by its time (windows of up to 32 hits)
--   key..':n'  hash: '<window ms>:<bucket>' -> hits (larger windows: sliding-window counter of aligned buckets)
-- Both are `limits`' strategies (MovingWindow, SlidingWindowCounter), several windows at once, all or nothing.
-- A budget is a limit whose hit has a cost: it counts micro-dollars in place of hits, always by the counter. One that
-- knows what is usual bounds its day by that too; it keeps there, beside the buckets,
--   usual, messages  what a day costs by its own past, and how many messages that is
--   day, over        the day that is being counted; what was let pass above the bound, where it is only observed
-- and for all of the same budget (of the same tenant, where it goes by tenant), in the same slot
--   usual:<name>[:<tenant tag>]   hash: since (its first start), messages (the sum)

local LOG_MAX = 32
local DAY_MS, USUAL_LIFE = 86400000, 32 * 86400000
-- Before that nothing is known to be usual. The first days weigh the same, later a day half as much as one a week younger;
-- it counts for twice the usual at most: an attack does not make itself usual.
local LEARN_MS, EVEN_DAYS, DAY_SHARE, DAY_MOST = 2 * DAY_MS, 10, 1 - 0.5 ^ (1 / 7), 2

-- A limit from {name, enforced, net, {{amount, ms}, ...}, and of a budget cost and {times_usual, share_of_all, at_least,
-- ':<tenant tag>' or ''} or nothing}, with what its key's life follows from.
local function limit_of(spec, key)
  local limit = {key = key, name = spec[1], enforced = spec[2], net = spec[3], windows = spec[4], life = 0, log = 0,
    budget = spec[5] ~= nil, cost = spec[5] or 1, relative = spec[6]}
  if limit.relative then limit.life = USUAL_LIFE end
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
  if cost > amount then return 2 * ms end  -- It never fits; nor does an empty window make it fit.
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

local function all_of(limit)
  if not limit.all then
    limit.all_key = limit.key:match('^(.-{%d+}:)') .. 'usual:' .. limit.name .. limit.relative[4]
    local since, messages = unpack(redis.call('HMGET', limit.all_key, 'since', 'messages'))
    limit.all = {since = tonumber(since), messages = tonumber(messages) or 0}
  end
  return limit.all
end

-- What a day of the budget usually costs, with all days that have ended.
local function usual_of(limit, now)
  local usual, day, today = limit.counts.usual or 0, limit.counts.day, math.floor(now / DAY_MS)
  if not day or day >= today then return usual end
  -- Whole days that the budget has counted; its first one was only a part.
  local days = day + 1 - math.ceil((all_of(limit).since or now) / DAY_MS)
  if days < 1 then return usual end
  local spent = (limit.counts[digits(DAY_MS) .. ':' .. digits(day)] or 0) + (limit.counts.over or 0)
  if days * DAY_MS > LEARN_MS then
    spent = math.min(spent, math.max(DAY_MOST * usual, limit.relative[3] / limit.relative[1]))
  end
  usual = usual + (days <= EVEN_DAYS and 1 / days or DAY_SHARE) * (spent - usual)
  local quiet = today - day - 1
  local even = math.max(0, math.min(quiet, EVEN_DAYS - days))
  return math.floor(usual * days / (days + even) * (1 - DAY_SHARE) ^ (quiet - even))
end

-- The most that a day may cost where `most` is written for it. What is usual in all is looked up only where that decides.
local function day_bound(limit, most, now)
  local times, share_of_all, at_least = unpack(limit.relative)
  limit.usual = usual_of(limit, now)
  local own = math.max(at_least, times * limit.usual)
  local enough = own >= most or counter_wait(limit.counts, own, DAY_MS, now, limit.cost) == 0
  if enough and not limit.explained then return math.min(own, most) end
  local all = all_of(limit)
  if not all.since or now - all.since < LEARN_MS then return most end
  return math.min(most, math.floor(math.max(own, share_of_all * all.messages * limit.cost)))
end

-- Milliseconds until a hit can pass every window of the limit; 0 where it can now. Two reads at most, however many
-- windows, and a third where a budget's usual share is spent; what they found stays in the limit, for `hold`.
local function wait_of(limit, now)
  local wait, hits, counts = 0, {}, {}
  if limit.log > 0 then hits = redis.call('ZRANGE', limit.key, 0, limit.log - 1, 'REV', 'WITHSCORES') end
  if limit.counted then
    local flat = redis.call('HGETALL', limit.key .. ':n')
    for i = 1, #flat, 2 do counts[flat[i]] = tonumber(flat[i + 1]) end
  end
  limit.full, limit.counts, limit.hits = #hits == 2 * limit.log, counts, hits
  if limit.relative then
    for _, window in ipairs(limit.windows) do
      if window[2] == DAY_MS then
        window[3] = window[3] or window[1]
        window[1] = day_bound(limit, window[3], now)
      end
    end
  end
  for _, window in ipairs(limit.windows) do
    if window[1] <= LOG_MAX then
      wait = math.max(wait, log_wait(hits, window[1], window[2], now))
    else
      wait = math.max(wait, counter_wait(counts, window[1], window[2], now, limit.cost))
    end
  end
  return wait
end

-- Ends the days before this one for a budget, with the first start of the day, right after `wait_of`.
local function begin_day(limit, now)
  all_of(limit)
  local messages = limit.usual / limit.cost
  redis.call('HSET', limit.key .. ':n', 'usual', digits(limit.usual), 'messages', messages,
    'day', digits(math.floor(now / DAY_MS)))
  redis.call('HDEL', limit.key .. ':n', 'over')
  redis.call('HSETNX', limit.all_key, 'since', digits(now))
  redis.call('HINCRBYFLOAT', limit.all_key, 'messages', messages - (limit.counts.messages or 0))
  redis.call('PEXPIRE', limit.all_key, USUAL_LIFE)
end

-- Notes what a budget only observed to be too much, right after `wait_of`: people got it, so it says what is usual.
local function exceed(limit, now)
  if limit.counts.day ~= math.floor(now / DAY_MS) then begin_day(limit, now) end
  redis.call('HINCRBY', limit.key .. ':n', 'over', limit.cost)
end

-- Counts a hit, right after `wait_of` has judged the limit at the same time.
local function hold(limit, nonce, now)
  if limit.relative and limit.counts.day ~= math.floor(now / DAY_MS) then begin_day(limit, now) end
  if limit.log > 0 then
    redis.call('ZADD', limit.key, now, nonce)
    if limit.full then redis.call('ZREMRANGEBYRANK', limit.key, 0, -limit.log - 1) end
    redis.call('PEXPIRE', limit.key, limit.life)
  end
  local hash, began = limit.key .. ':n', false
  for _, window in ipairs(limit.windows) do
    if window[1] > LOG_MAX then
      local bucket, ms = math.floor(now / window[2]), digits(window[2])
      if redis.call('HINCRBY', hash, ms .. ':' .. digits(bucket), limit.cost) == limit.cost then
        began = true
        for field in pairs(limit.counts) do
          local of_ms, old = field:match('^(%d+):(%d+)$')
          if of_ms == ms and tonumber(old) < bucket - 1 then redis.call('HDEL', hash, field) end
        end
      end
    end
  end
  -- A bucket is needed for less than two windows from its first hit on, and the life is twice the longest.
  if began then redis.call('PEXPIRE', hash, limit.life) end
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
    if ms and math.floor(at / tonumber(ms)) == tonumber(bucket) and tonumber(redis.call('HGET', hash, field)) > 0 then
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

-- A limit as a decision's record shows it: the window that decides, its count and bound, and what follows. Reads only.
local function verdict_of(limit, now)
  limit.explained = true
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
  if limit.relative and shown.window == DAY_MS then
    local times, share_of_all, at_least = unpack(limit.relative)
    local all = all_of(limit)
    shown.evidence = {usual = limit.usual, times_usual = times, messages_in_all = all.messages, share_of_all = share_of_all,
      at_least = at_least, learning = (not all.since or now - all.since < LEARN_MS) and 1 or 0}
  end
  return shown
end

local function verdicts_of(limits, now)
  local judged = {}
  for i, limit in ipairs(limits) do judged[i] = verdict_of(limit, now) end
  return judged
end

-- Judges all, then holds all or none. Returns the name and wait of the enforced limit that refuses longest (nil where
-- none does), the names of the observed ones that would have refused, the places of those held: only they may be given
-- back, since a counter would lose another's hit; and what its refusal is called. `peek` limits are judged, never held.
-- With `others`, how many would have refused elsewhere, it returns last what each limit said, or nil where none would have.
local function acquire(limits, nonce, now, others)
  local refused, longest, observed, held, exceeded, kind = nil, 0, {}, {}, {}, nil
  for i, limit in ipairs(limits) do
    local wait = wait_of(limit, now)
    if wait == 0 then
      if not limit.peek then held[#held + 1] = i end
    elseif not limit.enforced then
      observed[#observed + 1] = limit.name
      if limit.relative then exceeded[#exceeded + 1] = limit end
    elseif wait > longest then
      refused, longest, kind = limit.name, wait, limit.budget and 'blocked' or 'rate-limited'
    end
  end
  if refused then return refused, longest, observed, {}, kind end
  local judged = not REHEARSAL and others and others + #observed > 0 and verdicts_of(limits, now) or nil
  for _, i in ipairs(held) do hold(limits[i], nonce, now) end
  for _, limit in ipairs(exceeded) do exceed(limit, now) end
  return nil, longest, observed, held, nil, judged
end
