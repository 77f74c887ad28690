local flush = import('writing').flush
local start = import('start').start
local check = import('check').check
local cancel = import('cancel').cancel

-- replay: recorded traffic, judged by the very functions above, hundreds of events a call. Only in a scratch store's
-- library; called by the backtest.
--   KEYS[1]  replay   hash: recorded id -> live id. A second start while the first is pending is a resend whatever its
--                     recorded id, so only `start` knows which verification a later check is about.
--   ARGV[1]  {{kind, recorded id, keys, args}, …}, msgpack, in recorded order:
--              'start'   KEYS and ARGV of start
--              'check', 'cancel'  theirs, without the first key, the verification's: it is found here
--              'forget'  recorded ids and live ids (as keys and args) whose verifications have ended: time goes faster
--                        here than the server's own, so that keys outlive their use
-- Answers, one per event: what the function answers, or {'unknown'} where the recorded id has no live one because its
-- start was refused: what followed it in the record cannot have followed here.
local function replay(KEYS, ARGV)
  local base, answers = KEYS[1]:match('^(.-{%d+}:)'), {}
  for i, event in ipairs(cmsgpack.unpack(ARGV[1])) do
    local kind, recorded, keys, args = unpack(event)
    if kind == 'start' then
      local answer = start(keys, args)
      if answer[1] == 'started' or answer[1] == 'resent' then redis.call('HSET', KEYS[1], recorded, answer[2]) end
      answers[i] = answer
    elseif kind == 'forget' then
      for place, id in ipairs(args) do
        redis.call('DEL', base .. 'verification:' .. id)
        if redis.call('HGET', KEYS[1], keys[place]) == id then redis.call('HDEL', KEYS[1], keys[place]) end
      end
      answers[i] = {'forgotten'}
    else
      local id = redis.call('HGET', KEYS[1], recorded)
      if id then
        table.insert(keys, 1, base .. 'verification:' .. id)
        answers[i] = kind == 'check' and check(keys, args) or {cancel(keys, args)}
      else
        answers[i] = {'unknown'}
      end
    end
    flush()
  end
  return answers
end

return {replay = replay}
