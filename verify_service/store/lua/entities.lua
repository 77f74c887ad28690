local layouts = import 'layouts'
local writing = import 'writing'
local get, put = writing.get, writing.put
local DAY_MS = import('common').DAY_MS

-- entities: what Twilio's API has of a user beside its factors, under entity:<tag>: that it was made, and what it was
-- asked. Each is forgotten after a day.

local MOST = 100

local function entity_of(key, now)
  local packed = get(key)
  local entity = packed and layouts.open_entity(packed) or {made_at = 0, challenges = {}}
  local kept = {}
  for _, challenge in ipairs(entity.challenges) do
    if challenge.created_at > now - DAY_MS then kept[#kept + 1] = challenge end
  end
  entity.challenges = kept
  if entity.made_at <= now - DAY_MS then entity.made_at = 0 end
  return entity
end

local function save(key, entity) put(key, layouts.pack_entity(entity), DAY_MS) end

-- Changes a challenge that can still be answered, by `change`, which returns a word where it keeps that from happening.
--   KEYS[1]  entity:<tag>   ARGV[1]  now   ARGV[2]  the challenge's id
-- Answers {'open', challenge}; else {'absent'}, or 'responded', 'expired' or the word with the challenge.
local function answer(KEYS, ARGV, change)
  local now = tonumber(ARGV[1])
  local entity, challenge = entity_of(KEYS[1], now), nil
  for _, each in ipairs(entity.challenges) do
    if each.id == ARGV[2] then challenge = each end
  end
  if not challenge then return {'absent'} end
  local word
  if challenge.status ~= 'pending' then word = 'responded'
  elseif now >= challenge.expires_at then word = 'expired'
  else word = change(challenge, now) end
  if not word then save(KEYS[1], entity) end
  return {word or 'open', layouts.pack_challenge(challenge)}
end

-- make_entity: notes that an entity was made.   KEYS[1]  entity:<tag>   ARGV[1]  now
-- Answers 1, or 0 where it was before.
local function make_entity(KEYS, ARGV)
  local now = tonumber(ARGV[1])
  local entity = entity_of(KEYS[1], now)
  if entity.made_at ~= 0 then return 0 end
  entity.made_at = now
  save(KEYS[1], entity)
  return 1
end

-- begin_challenge: keeps a challenge; the oldest gives way where there are too many.
--   KEYS[1]  entity:<tag>   ARGV[1]  now   ARGV[2]  challenge
-- Answers 1.
local function begin_challenge(KEYS, ARGV)
  local entity = entity_of(KEYS[1], tonumber(ARGV[1]))
  if #entity.challenges >= MOST then table.remove(entity.challenges, 1) end
  entity.challenges[#entity.challenges + 1] = layouts.open_challenge(ARGV[2])
  save(KEYS[1], entity)
  return 1
end

-- try_challenge: counts a code before it is compared, so that no challenge is answered more often than it may be;
-- 'spent' where it was.   KEYS and ARGV as for `answer`   ARGV[3]  how many codes it may be answered
local function try_challenge(KEYS, ARGV)
  return answer(KEYS, ARGV, function(challenge)
    if challenge.tries >= tonumber(ARGV[3]) then return 'spent' end
    challenge.tries = challenge.tries + 1
  end)
end

-- approve_challenge: ends a challenge whose code was right; the first does.   KEYS and ARGV as for `answer`
local function approve_challenge(KEYS, ARGV)
  return answer(KEYS, ARGV, function(challenge, now)
    challenge.status, challenge.responded_at = 'approved', now
  end)
end

return {make_entity = make_entity, begin_challenge = begin_challenge, try_challenge = try_challenge,
  approve_challenge = approve_challenge}
