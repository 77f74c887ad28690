local layouts = import 'layouts'
local writing = import 'writing'
local get, put, remove = writing.get, writing.put, writing.remove

-- sessions: who is signed in to the console, under session:<digest of the browser's token>.

-- Being seen is noted so often: pages that are live ask more often than that.
local SEEN_MS = 15000

-- begin_session: keeps a new session.
--   KEYS[1]  session:<digest>   ARGV[1]  session   ARGV[2]  for how long, in ms
-- Answers ''.
local function begin_session(KEYS, ARGV)
  put(KEYS[1], ARGV[1], tonumber(ARGV[2]))
  return ''
end

-- use_session: finds a session, and ends one that is too old or was left alone for too long.
--   KEYS[1]  session:<digest>   ARGV[1]  now   ARGV[2]  how long it may be idle   ARGV[3]  how old it may be
--   ARGV[4]  1 where its person did something just now
-- Answers the session, '' where there is none.
local function use_session(KEYS, ARGV)
  local now, packed = tonumber(ARGV[1]), get(KEYS[1])
  if not packed then return '' end
  local session = layouts.open_session(packed)
  if now >= session.seen_at + ARGV[2] or now >= session.created_at + ARGV[3] then
    remove(KEYS[1])
    return ''
  end
  if ARGV[4] == '1' and now >= session.seen_at + SEEN_MS then
    session.seen_at = now
    put(KEYS[1], layouts.pack_session(session))
  end
  return packed
end

-- end_session: ends a session.   KEYS[1]  session:<digest>
-- Answers ''.
local function end_session(KEYS)
  remove(KEYS[1])
  return ''
end

return {begin_session = begin_session, use_session = use_session, end_session = end_session}
