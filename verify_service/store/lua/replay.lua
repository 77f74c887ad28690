local writing = import 'writing'
local flush, remove = writing.flush, writing.remove
local start = import('start').start
local check = import('check').check
local cancel = import('cancel').cancel

-- replay: recorded traffic, judged by the very functions above, hundreds of events a call. Only in a scratch store's
-- library; called by the backtest.
--   KEYS[1]  replay   names the partition
--   ARGV[1]  {{kind, recorded id, keys, args}, …}, msgpack, in recorded order:
--              'start'   KEYS and ARGV of start
--              'check', 'cancel'  theirs, without the first key, the verification's: it is found here
--              'forget'  recorded ids and live ids (as keys and args) whose verifications have ended: time goes faster
--                        here than the server's own, so that keys outlive their use
-- A second start while the first is pending is a resend whatever its recorded id, so only `start` knows which
-- verification a later check is about.
-- Answers, one per event, what the function answers; {'forgotten', how many are remembered}; or {'unknown'} where the
-- recorded id has no live one because its start was refused: what followed it in the record cannot have followed here.

-- Live ids by recorded ones, and how many there are.
local live, count = {}, 0

local function remember(recorded, id)
  if not live[recorded] then count = count + 1 end
  live[recorded] = id
end

local function forget(base, recorded, id)
  remove(base .. 'verification:' .. id)
  if live[recorded] ~= id then return end
  live[recorded], count = nil, count - 1
end

local function replay(KEYS, ARGV)
  local base, answers = KEYS[1]:match('^(.-{%d+}:)'), {}
  for i, event in ipairs(cmsgpack.unpack(ARGV[1])) do
    local kind, recorded, keys, args = unpack(event)
    local id = live[recorded]
    if kind == 'start' then
      local answer = start(keys, args)
      if answer[1] == 'started' or answer[1] == 'resent' then remember(recorded, answer[2]) end
      answers[i] = answer
    elseif kind == 'forget' then
      for place, ended in ipairs(args) do forget(base, keys[place], ended) end
      answers[i] = {'forgotten', count}
    elseif not id then
      answers[i] = {'unknown'}
    else
      table.insert(keys, 1, base .. 'verification:' .. id)
      answers[i] = kind == 'check' and check(keys, args) or {cancel(keys, args)}
    end
    flush()
  end
  return answers
end

return {replay = replay}
