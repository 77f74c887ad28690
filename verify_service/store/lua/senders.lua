local writing = import 'writing'
local get, put = writing.get, writing.put
local digits = import('common').digits

-- reserve: a place in a sender's line, so that all dispatchers together stay below its throughput (GCRA without
-- bursts). By the server's own clock, the only one that they share. Called by the dispatcher.
--   KEYS[1]  sender:<name>: when it is free again, in microseconds
--   ARGV[1]  microseconds from one segment to the next   ARGV[2]  segments
--   ARGV[3]  how long it may wait at most, in ms
-- Answers the wait in microseconds, or -1 where it would be longer: then no place is taken.
local function reserve(KEYS, ARGV)
  local clock = redis.call('TIME')
  local now = clock[1] * 1000000 + clock[2]
  local free = math.max(now, tonumber(get(KEYS[1]) or 0))
  if free - now > tonumber(ARGV[3]) * 1000 then return -1 end
  local after = free + ARGV[1] * ARGV[2]
  put(KEYS[1], digits(after), math.ceil((after - now) / 1000) + 1000)
  return free - now
end

return {reserve = reserve}
