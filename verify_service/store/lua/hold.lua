-- hold: judges and holds the limits of another partition than the number's, before the number's own script runs.
--   KEYS[…]  limit:<name>:<tag>    ARGV[1]  now   ARGV[2]  request nonce   ARGV[…]  a spec per key ('p' in front: peek)
-- Answers {name or '', wait_ms, observed, held, kind or '', credits}: `held` are the places of the keys that were held,
-- none where a name stands; `kind`, what the refusal is called, only there; `credits`, what an approval gives back.
local function hold_here(KEYS, ARGV)
  local limits, watches, nonce, now = {}, {}, ARGV[2], tonumber(ARGV[1])
  for i, key in ipairs(KEYS) do
    local spec = ARGV[2 + i]
    if spec:sub(1, 1) == 'w' then
      watches[#watches + 1] = {key, spec, i}
    else
      local peek = spec:sub(1, 1) == 'p'
      local limit = limit_of(cmsgpack.unpack(peek and spec:sub(2) or spec), key)
      limit.peek, limit.place = peek, i
      limits[#limits + 1] = limit
    end
  end
  local states, blocked, watched = watch_all(watches, now)
  if blocked then
    watch_refuse(blocked)
    return {blocked.rule.name, blocked.wait, watched, {}, 'blocked', ''}
  end
  local name, wait, observed, held, kind = acquire(limits, nonce, now)
  for _, each in ipairs(watched) do observed[#observed + 1] = each end
  if name then return {name, wait, observed, {}, kind, ''} end
  local credits, places = '', {}
  for _, i in ipairs(held) do
    places[#places + 1] = limits[i].place
    if limits[i].net then credits = credits .. credit_of(limits[i].key, nonce, now) end
  end
  for i, state in ipairs(states) do
    local credit, trial = watch_admit(state, nonce)
    credits = credits .. credit
    if trial then places[#places + 1] = watches[i][3] end
  end
  return {'', 0, observed, places, '', credits}
end

-- release: gives back what `hold` took. Called by the service when the start was refused elsewhere or a check was not
-- wrong; asked twice, it gives back once.
--   KEYS[…]  limit:<name>:<tag>, each one that was held    ARGV[1]  the time of the hold   ARGV[2]  its request nonce
--   ARGV[…]  what each hit cost; none where each cost 1
local function release(KEYS, ARGV)
  for i, key in ipairs(KEYS) do
    if key:find(':limit:watch:', 1, true) then
      watch_undo(key, ARGV[2], tonumber(ARGV[1]))
    else
      give_back(key:match('^(.-{%d+}:)'), key, ARGV[2], tonumber(ARGV[1]), tonumber(ARGV[2 + i] or 1))
    end
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

-- Gives back what an approved event credits in this partition; adds to `others` what it credits elsewhere.
local function credit(base, fields, others)
  local here = base:match('{(%d+)}')
  for part, limit, nonce, at in (fields[10] or ''):gmatch('([^,;]+),([^,;]+),([^,;]+),([^,;]+);') do
    local watch = limit:sub(1, 6) == 'watch:'
    if part ~= here then
      others[#others + 1] = {part, limit, watch and fields[2] or nonce, at}
    elseif watch then
      watch_won(base .. 'limit:' .. limit, tonumber(at), tonumber(fields[2]))
    else
      give_back(base, base .. 'limit:' .. limit, nonce, tonumber(at))
    end
  end
end

-- The same for what a resend, or a message that did not arrive, takes back.
local function take_back(base, credits, others)
  for part, limit, nonce, at in credits:gmatch('([^,;]+),([^,;]+),([^,;]+),([^,;]+);') do
    if part == base:match('{(%d+)}') then
      watch_undo(base .. 'limit:' .. limit, nonce, tonumber(at))
    else
      others[#others + 1] = {part, limit, 'undo:' .. nonce, at}
    end
  end
end

-- credits: applies the credits of approvals that came since the last call: those of this partition at once, those of
-- others are the answer, for the caller to pass to `release`. Called by the dispatcher, a few times a second.
--   KEYS[1]  events   KEYS[2]  credits (the position)   ARGV[1]  how many events at most
-- Answers {more, {partition, limit, nonce, at}, …}; of a watch, in place of the nonce, the time of
-- the approval, or `undo:` and the nonce of a trial that is to be released. A block that was made or lifted
-- comes as {'', 'blocked' or 'lifted', rule, mode}, a receipt as {'', 'receipt', way, '<event> <permanent> <price>'}.
local function credits(KEYS, ARGV)
  local base = KEYS[1]:match('^(.-{%d+}:)')
  local last = redis.call('GET', KEYS[2]) or '-'
  local from = last == '-' and '-' or '(' .. last
  local entries = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', ARGV[1])
  local answer = {#entries == tonumber(ARGV[1]) and 1 or 0}
  for _, entry in ipairs(entries) do
    last = entry[1]
    local fields = entry[2]
    if fields[4] == 'approved' then
      credit(base, fields, answer)
    elseif fields[4] == 'blocked' or fields[4] == 'lifted' then
      answer[#answer + 1] = {'', fields[4], fields[8], fields[10]}
    elseif fields[4] == 'start' or fields[4] == 'failed' then
      for i = 7, #fields - 1, 2 do
        if fields[i] == 'undo' then take_back(base, fields[i + 1], answer) end
      end
    end
    if fields[19] == 'way' then
      answer[#answer + 1] = {'', 'receipt', fields[20], fields[4] .. ' ' .. fields[22] .. ' ' .. fields[24]}
    end
  end
  if last ~= '-' then redis.call('SET', KEYS[2], last, 'PX', 604800000) end
  return answer
end

register('hold', hold_here)
register('release', release)
register('claim_key', claim_key)
register('credits', credits)
