-- What people want to get: 'out' or 'in' by number and tenant, with a trail of sealed entries beside it that says how
-- it came to be. All tenants' consents of a number lie in its partition.

local writing = import 'writing'
local write, get, put, remove, of_type = writing.write, writing.get, writing.put, writing.remove, writing.of_type
local common = import 'common'
local emit, queue = common.emit, common.queue

local HEARD_MS = 259200000
local ANSWERED_MS = 86400000
local TRAIL_MOST = 1000
local APART_MS, UNCLEAR_MOST, UNREAD_MOST = 7776000000, 20, 1000

local function consent_key(base, number, tenant) return base .. 'consent:' .. number .. ':' .. tenant end

local function write_consent(base, keep, now, number, tenant, state, source, sealed)
  local key = consent_key(base, number, tenant)
  write('SET', key, state)
  of_type('LLEN', key .. ':trail')
  write('RPUSH', key .. ':trail', sealed)
  write('LTRIM', key .. ':trail', -TRAIL_MOST, -1)
  emit(base, keep, now, 'consent', number, {tenant = tenant, number = number, state = state, source = source})
end

-- heard: a keyword that a person texted. It counts once, however often the vendor repeats it; it is answered once a day
-- and sender. Called by whoever hears texts.
--   KEYS[1]  heard:<tag of the text>      ARGV[1]  now   ARGV[2]  keep_events   ARGV[3]  number
--   ARGV[4]  'in', 'out', or '' where consent does not change   ARGV[5]  source   ARGV[6]  how many tenants
--   ARGV[…]  for each tenant: its name, the sealed entry of its trail
--   ARGV[…]  <sender>:<kind> of the answer and the fields of its outbox entry; none where it is not to be answered
-- Answers 1, or 0 where the text was heard before.
local function heard(KEYS, ARGV)
  local base, now, number, state = KEYS[1]:match('^(.-{%d+}:)'), tonumber(ARGV[1]), ARGV[3], ARGV[4]
  if get(KEYS[1]) then return 0 end
  put(KEYS[1], '', HEARD_MS)
  local after = 7 + 2 * tonumber(ARGV[6])
  for i = 7, after - 1, 2 do
    -- What was said before is no news: a trail is not for filling up.
    if state ~= '' and get(consent_key(base, number, ARGV[i])) ~= state then
      write_consent(base, ARGV[2], now, number, ARGV[i], state, ARGV[5], ARGV[i + 1])
    end
  end
  if ARGV[after] then
    local answered = base .. 'answered:' .. number .. ':' .. ARGV[after]
    if not get(answered) then
      put(answered, '', ANSWERED_MS)
      queue(base, unpack(ARGV, after + 1))
    end
  end
  return 1
end

-- Keeps a sealed entry in a list of its own, for a while.
local function keep_apart(key, sealed, most)
  of_type('LLEN', key)
  write('RPUSH', key, sealed)
  write('LTRIM', key, -most, -1)
  write('PEXPIRE', key, APART_MS)
end

-- unclear: a text that holds a stop and is none. It stands beside the trail, which it must not crowd out.
-- Called by whoever hears texts.
--   KEYS[1]  heard:<tag of the text>      KEYS[…]  consent:<number>:<tenant>:unclear
--   ARGV  a sealed entry for each of these
-- Answers 1, or 0 where the text was heard before.
local function unclear(KEYS, ARGV)
  if get(KEYS[1]) then return 0 end
  put(KEYS[1], '', HEARD_MS)
  for i = 2, #KEYS do keep_apart(KEYS[i], ARGV[i - 1], UNCLEAR_MOST) end
  return 1
end

-- unread: a keyword whose sender cannot be read, and so is nobody's. Called by whoever hears texts.
--   KEYS[1]  heard:<tag of the text>      KEYS[2]  unread   ARGV[1]  the sealed entry
-- Answers 1, or 0 where the text was heard before.
local function unread(KEYS, ARGV)
  if get(KEYS[1]) then return 0 end
  put(KEYS[1], '', HEARD_MS)
  keep_apart(KEYS[2], ARGV[1], UNREAD_MOST)
  return 1
end

-- consent: what a caller or a vendor says of a person's consent, whether or not it is news. Called by the service.
--   KEYS[1]  consent:<number>:<tenant>    ARGV[1]  now   ARGV[2]  keep_events   ARGV[3]  number   ARGV[4]  tenant
--   ARGV[5]  'in' or 'out'   ARGV[6]  source   ARGV[7]  the sealed entry
-- Answers 1.
local function consent(KEYS, ARGV)
  local base = KEYS[1]:match('^(.-{%d+}:)')
  write_consent(base, ARGV[2], tonumber(ARGV[1]), ARGV[3], ARGV[4], ARGV[5], ARGV[6], ARGV[7])
  return 1
end

-- consent_of: a consent as it stands. KEYS[1]  consent:<number>:<tenant>   KEYS[2]  its trail   KEYS[3]  what was
-- unclear
-- Answers {state or false, sealed entries, oldest first, those that were unclear}.
local function consent_of(KEYS)
  return {redis.call('GET', KEYS[1]), redis.call('LRANGE', KEYS[2], 0, -1), redis.call('LRANGE', KEYS[3], 0, -1)}
end

-- erase: forgets what a tenant holds of a person. An opt-out in force stays, bare: it must go on being honoured.
-- Called by the service.
--   KEYS[1]  consent:<number>:<tenant>    KEYS[…]  what else is to go, of the same partition
--   ARGV[1]  now   ARGV[2]  keep_events   ARGV[3]  number   ARGV[4]  tenant   ARGV[5]  by whom   ARGV[6]  why
-- Answers 1.
local function erase(KEYS, ARGV)
  local base = KEYS[1]:match('^(.-{%d+}:)')
  for i = 2, #KEYS do write('UNLINK', KEYS[i]) end
  write('UNLINK', KEYS[1] .. ':trail', KEYS[1] .. ':unclear')
  if get(KEYS[1]) ~= 'out' then remove(KEYS[1]) end
  emit(base, ARGV[2], tonumber(ARGV[1]), 'erased', ARGV[3], {tenant = ARGV[4], number = ARGV[3], by = ARGV[5],
    reason = ARGV[6]})
  return 1
end

return {heard = heard, unclear = unclear, unread = unread, consent = consent, consent_of = consent_of, erase = erase}
