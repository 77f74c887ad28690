local writing = import 'writing'
local get, put = writing.get, writing.put
local common = import 'common'
local replay_of, remember = common.replay_of, common.remember
local give_back = import('counts').give_back
local limits = import 'limits'
local hold, credit_of, acquire, judge_check = limits.hold, limits.credit_of, limits.acquire, limits.judge_check
local detector = import 'detector'
local watch_refuse, watch_admit, watch_verdict = detector.watch_refuse, detector.watch_admit, detector.watch_verdict
local judges = import 'judges'
local judges_of, watch_all = judges.judges_of, judges.watch_all
local trials = import 'trials'
local watch_undo, watch_wrong, watch_won = trials.watch_undo, trials.watch_wrong, trials.watch_won
local near_of = import('start').near_of

-- hold: judges and holds the limits of another partition than the number's, before the number's own script runs.
--   KEYS[…]  limit:<name>:<tag>    ARGV[1]  now   ARGV[2]  request nonce   ARGV[…]  a spec per key ('p' in front: peek)
-- Answers {name or '', wait_ms, observed, held, kind or '', credits, judged, near}: `held` are the places of the keys
-- that were held, none where a name stands; `kind`, what the refusal is called, only there; `credits`, what an approval
-- gives back; `judged`, the verdicts, msgpack, where none refuses and an observed one would have, else ''; `near` as in
-- an event.
local function hold_here(KEYS, ARGV)
  local nonce, now = ARGV[2], tonumber(ARGV[1])
  local limits, watches, found = judges_of({}, KEYS, 1, ARGV, 2)
  local blocked, watched = watch_all(watches, found, now)
  local near = near_of(watches)
  if blocked then
    watch_refuse(blocked)
    return {blocked.rule.name, blocked.wait, watched, {}, 'blocked', '', '', near}
  end
  local name, wait, observed, held, kind, judged = acquire(limits, nonce, now, function(count)
    return not REHEARSAL and count + #watched > 0
  end)
  for _, each in ipairs(watched) do observed[#observed + 1] = each end
  if name then return {name, wait, observed, {}, kind, '', '', near} end
  for _, state in ipairs(judged and watches or {}) do judged[#judged + 1] = watch_verdict(state) end
  local credits, places = '', {}
  for _, i in ipairs(held) do
    places[#places + 1] = limits[i].place
    if limits[i].rule.net then credits = credits .. credit_of(limits[i].key, nonce, now) end
  end
  for _, watch in ipairs(watches) do
    local credit, trial = watch_admit(watch, nonce)
    credits = credits .. credit
    if trial then places[#places + 1] = watch.place end
  end
  return {'', 0, observed, places, '', credits, judged and cmsgpack.pack(judged) or '', near}
end

-- hold_check: the same for a check, each limit for itself: what has room is held, whatever another says. Whether a full
-- one refuses, the number's own script knows.
--   KEYS, ARGV as of `hold`
-- Answers as `hold`; `held` stand beside a name, too.
local function hold_check(KEYS, ARGV)
  local nonce, now = ARGV[2], tonumber(ARGV[1])
  local limits, observed, places = judges_of({}, KEYS, 1, ARGV, 2), {}, {}
  local name, wait, open = judge_check(limits, now, observed)
  for _, i in ipairs(open) do
    hold(limits[i], nonce, now)
    places[#places + 1] = limits[i].place
  end
  return {name or '', wait, observed, places, name and 'rate-limited' or '', '', '', ''}
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

-- What `credit_of` makes; a later version may put more behind it.
local CREDIT = '([^,;]+),([^,;]+),([^,;]+),([^,;]+)[^;]*;'

-- Applies what an approval credits in this partition, or what a wrong code does; returns the credits of others.
local function credit_here(base, credits, now, wrong)
  local here, others = base:match('{(%d+)}'), ''
  for part, limit, nonce, at in credits:gmatch(CREDIT) do
    local watch = limit:sub(1, 6) == 'watch:'
    -- A wrong code gives no limit its hit back.
    local counts = watch or not wrong
    if counts and part ~= here then
      others = others .. table.concat({part, limit, nonce, at}, ',') .. ';'
    elseif counts and wrong then
      watch_wrong(base .. 'limit:' .. limit, tonumber(at))
    elseif watch then
      watch_won(base .. 'limit:' .. limit, tonumber(at), now)
    elseif counts then
      give_back(base, base .. 'limit:' .. limit, nonce, tonumber(at))
    end
  end
  return others
end

-- Applies what a resend, or a message that did not arrive, takes back in this partition; adds to `others` what it takes
-- back elsewhere.
local function take_back(base, credits, others)
  for part, limit, nonce, at in credits:gmatch(CREDIT) do
    if part == base:match('{(%d+)}') then
      watch_undo(base .. 'limit:' .. limit, nonce, tonumber(at))
    else
      others[#others + 1] = {part, limit, 'undo:' .. nonce, at}
    end
  end
end

-- credits: what approvals, wrong codes and resends since the last call credit in other partitions: the answer, for the
-- caller to pass to `won`, `mistyped` or `release`. Their own partition is credited already. Called by the dispatcher,
-- a few times a second.
--   KEYS[1]  events   KEYS[2]  credits (the position)   ARGV[1]  how many events at most
-- Answers {more, {partition, limit, nonce, at}, …}; of a watch, in place of the nonce, the time of the approval,
-- `wrong`, or `undo:` and the nonce of a trial that is to be released. A block that was made or lifted comes as {'',
-- 'blocked' or 'lifted', rule, mode}, a receipt as {'', 'receipt', way, '<event> <permanent> <price> <corrects>'}; an
-- event that cannot be read as {'', 'unreadable', its place, ''}, and those behind it are read all the same.
local function credits(KEYS, ARGV)
  local base = KEYS[1]:match('^(.-{%d+}:)')
  local last = get(KEYS[2]) or '-'
  local from = last == '-' and '-' or '(' .. last
  local entries = redis.call('XRANGE', KEYS[1], from, '+', 'COUNT', ARGV[1])
  local answer = {#entries == tonumber(ARGV[1]) and 1 or 0}
  local function credit(fields)
    if fields[4] == 'approved' or fields[4] == 'wrong' then
      for part, limit, nonce, at in (fields[10] or ''):gmatch(CREDIT) do
        local watch = limit:sub(1, 6) == 'watch:'
        answer[#answer + 1] = {part, limit, fields[4] == 'wrong' and 'wrong' or watch and fields[2] or nonce, at}
      end
    elseif fields[4] == 'blocked' or fields[4] == 'lifted' then
      answer[#answer + 1] = {'', fields[4], fields[8] .. '', fields[10] .. ''}
    elseif fields[4] == 'start' or fields[4] == 'failed' then
      for i = 7, #fields - 1, 2 do
        if fields[i] == 'undo' then take_back(base, fields[i + 1], answer) end
      end
    end
    if fields[19] == 'way' then
      answer[#answer + 1] = {'', 'receipt', fields[20],
        table.concat({fields[4], fields[22], fields[24], fields[26]}, ' ')}
    end
  end
  for _, entry in ipairs(entries) do
    last = entry[1]
    if not pcall(credit, entry[2]) then answer[#answer + 1] = {'', 'unreadable', last, ''} end
  end
  if last ~= '-' then put(KEYS[2], last, 604800000) end
  return answer
end

-- credited: approvals of all partitions up to a time have been credited in this one. Called by the dispatcher.
--   KEYS[1]  credited     ARGV[1]  the time
local function credited(KEYS, ARGV)
  put(KEYS[1], ARGV[1], 3600000)
  return 1
end

return {hold = hold_here, hold_check = hold_check, release = release, claim_key = claim_key, credits = credits,
  credited = credited, credit_here = credit_here}
