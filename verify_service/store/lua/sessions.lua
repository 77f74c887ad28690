local layouts = import 'layouts'
local writing = import 'writing'
local get, put, remove, write = writing.get, writing.put, writing.remove, writing.write

-- sessions: who is signed in to the console, under session:<digest of the browser's token>; and under
-- sessions:<SHA-1 of the actor>, the digests of one operator's by when each began.

-- Being seen is noted so often: pages that are live ask more often than that.
local SEEN_MS = 15000

-- The two parts of session:<…>, and the key of an operator's own.
local function parts(key) return key:match('^(.-{%d+}:)session:(.*)$') end
local function own(base, actor) return base .. 'sessions:' .. redis.sha1hex(actor) end

local function over(key, session)
  local base, digest = parts(key)
  remove(key)
  write('ZREM', own(base, session.actor), digest)
end

-- begin_session: keeps a new session. Where its operator has as many as one may have, the oldest end.
--   KEYS[1]  session:<digest>   ARGV[1]  now   ARGV[2]  session   ARGV[3]  for how long, in ms
--   ARGV[4]  how many an operator may have
-- Answers ''.
local function begin_session(KEYS, ARGV)
  local now, life = tonumber(ARGV[1]), tonumber(ARGV[3])
  local base, digest = parts(KEYS[1])
  local theirs = own(base, layouts.open_session(ARGV[2]).actor)
  local alive = redis.call('ZRANGEBYSCORE', theirs, now - life, '+inf')
  for i = 1, #alive - ARGV[4] + 1 do
    remove(base .. 'session:' .. alive[i])
    write('ZREM', theirs, alive[i])
  end
  put(KEYS[1], ARGV[2], life)
  write('ZREMRANGEBYSCORE', theirs, '-inf', '(' .. now - life)
  write('ZADD', theirs, now, digest)
  write('PEXPIRE', theirs, life)
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
    over(KEYS[1], session)
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
  local packed = get(KEYS[1])
  if packed then over(KEYS[1], layouts.open_session(packed)) end
  return ''
end

-- end_sessions: ends all of an operator's.   KEYS[1]  session:<actor>, which names the partition and the operator
-- Answers how many there were.
local function end_sessions(KEYS)
  local base, actor = parts(KEYS[1])
  local theirs, ended = own(base, actor), 0
  for _, digest in ipairs(redis.call('ZRANGE', theirs, 0, -1)) do
    local key = base .. 'session:' .. digest
    if get(key) then ended = ended + 1 end
    remove(key)
  end
  remove(theirs)
  return ended
end

return {begin_session = begin_session, use_session = use_session, end_session = end_session,
  end_sessions = end_sessions}
