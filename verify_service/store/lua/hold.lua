-- hold: judges and holds the limits of another partition than the number's, before the number's own script runs.
--   KEYS[…]  limit:<name>:<tag>    ARGV[1]  now   ARGV[2]  request nonce   ARGV[…]  a spec per key ('p' in front: peek)
-- Answers {name or '', wait_ms, observed, held}: `held` are the places of the keys that were held, none where a name
-- stands.
local function hold_here(KEYS, ARGV)
  local limits = {}
  for i, key in ipairs(KEYS) do
    local spec = ARGV[2 + i]
    local peek = spec:sub(1, 1) == 'p'
    limits[i] = limit_of(cmsgpack.unpack(peek and spec:sub(2) or spec), key)
    limits[i].peek = peek
  end
  local name, wait, observed, held = acquire(limits, ARGV[2], tonumber(ARGV[1]))
  return {name or '', wait, observed, held}
end

-- release: gives back what `hold` took. Called by the service when the start was refused elsewhere or a check was not
-- wrong; asked twice, it gives back once.
--   KEYS[…]  limit:<name>:<tag>, each one that was held    ARGV[1]  the time of the hold   ARGV[2]  its request nonce
local function release(KEYS, ARGV)
  for _, key in ipairs(KEYS) do give_back(key:match('^(.-{%d+}:)'), key, ARGV[2], tonumber(ARGV[1])) end
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

-- credits: applies the credits of approvals that came since the last call: those of this partition at once, those of
-- others are the answer, for the caller to pass to `release`. Called by the dispatcher, a few times a second.
--   KEYS[1]  events   KEYS[2]  credits (the position)   ARGV[1]  how many events at most
-- Answers {more, {partition, limit, nonce, at}, …}.
local function credits(KEYS, ARGV)
  local base = KEYS[1]:match('^(.-{%d+}:)')
  local here = base:match('{(%d+)}')
  local last = redis.call('GET', KEYS[2]) or '-'
  local from = last == '-' and '-' or '(' .. last
  local entries = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', ARGV[1])
  local answer = {#entries == tonumber(ARGV[1]) and 1 or 0}
  for _, entry in ipairs(entries) do
    last = entry[1]
    local fields = entry[2]
    if fields[4] == 'approved' then
      for part, limit, nonce, at in (fields[10] or ''):gmatch('([^,;]+),([^,;]+),([^,;]+),([^,;]+);') do
        if part == here then
          give_back(base, base .. 'limit:' .. limit, nonce, tonumber(at))
        else
          answer[#answer + 1] = {part, limit, nonce, at}
        end
      end
    end
  end
  if last ~= '-' then redis.call('SET', KEYS[2], last, 'PX', 604800000) end
  return answer
end

register('hold', hold_here)
register('release', release)
register('claim_key', claim_key)
register('credits', credits)
