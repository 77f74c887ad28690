local layouts = import 'layouts'
local writing = import 'writing'
local get, put, remove, write, of_type = writing.get, writing.put, writing.remove, writing.write, writing.of_type
local common = import 'common'
local emit, digits, DAY_MS = common.emit, common.digits, common.DAY_MS

-- users: what is kept of a tenant's users, and their second factors.
--
-- A user is one record under user:<tag>. It has a time to live until a factor is verified or a contact set, and then
-- none. Beside it, approvals:<tag> has what may be asked for again, by the fingerprint of its binding. `sealed` counts
-- by kid what each key seals in records that last, so that a key can be let go when it seals nothing.

local function user_of(key)
  local packed = get(key)
  -- One that cannot be read is an error, which answers 503: it must not be written over.
  return packed and layouts.open_user(packed)
end

local function has_factor(user)
  for _, factor in ipairs(user.factors) do
    if factor.status == 'verified' then return true end
  end
  return false
end

local function lasts(user) return has_factor(user) or user.channel ~= '' end

-- What is sealed in a record, as {what holds it, its name there}: the user's name, where notices go, and each
-- factor's secret.
local function pieces_of(user)
  local found = {{user, 'name'}}
  if user.channel ~= '' then found[2] = {user, 'to'} end
  for _, factor in ipairs(user.factors) do found[#found + 1] = {factor, 'sealed'} end
  return found
end

-- How much of a record each kid seals, added to `counts` times `by`; what nobody verified goes by itself.
local function count_sealed(counts, user, by)
  if not user or not lasts(user) then return end
  for _, piece in ipairs(pieces_of(user)) do
    local holder, name = piece[1], piece[2]
    if holder.status ~= 'unverified' then
      local kid = holder[name]:match('^(%w*):') or ''
      counts[kid] = (counts[kid] or 0) + by
    end
  end
end

local function new_user(subject)
  return {tenant = subject.tenant, name = subject.name, factors = {}, salt = '', codes = '', to = '', message = '',
    channel = '', wrong = 0, warned_at = 0}
end

-- A record as it is changed: `was` what each kid sealed in it before.
local function open(KEYS)
  local base, key = KEYS[1]:match('^(.-{%d+}:)'), KEYS[1]
  local user = user_of(key)
  local change = {base = base, key = key, user = user, sealed = {}, lasted = user and lasts(user)}
  count_sealed(change.sealed, user, -1)
  return change
end

local function approvals_of(key) return (key:gsub('user:', 'approvals:', 1)) end

local function forget_approvals(key)
  of_type('HLEN', approvals_of(key))
  write('DEL', approvals_of(key))
end

local function save(change)
  local user, key = change.user, change.key
  if user and not has_factor(user) then
    user.salt, user.codes = '', ''
    if #user.factors == 0 and not lasts(user) then user = nil end
  end
  count_sealed(change.sealed, user, 1)
  if not user then
    remove(key)
    forget_approvals(key)
  else
    local long = lasts(user)
    put(key, layouts.pack_user(user), not long and DAY_MS or nil)
    if long and not change.lasted then write('PERSIST', key) end
  end
  for kid, more in pairs(change.sealed) do
    if more ~= 0 then
      of_type('HLEN', change.base .. 'sealed')
      write('HINCRBY', change.base .. 'sealed', kid, digits(more))
    end
  end
end

local function factor_of(user, id)
  for place, factor in ipairs(user and user.factors or {}) do
    if factor.id == id then return factor, place end
  end
end

-- Tells what happened to a user's factor, '' where it is none of them.
local function tell(change, keep_events, now, event, subject, kind, id)
  emit(change.base, keep_events, now, event, id, {tenant = subject.tenant, user = subject.user, kind = kind})
end

-- enrol: adds a factor. One that was not verified goes within a day, and gives way where there is no room.
--   KEYS[1]  user:<tag>
--   ARGV[1]  now   ARGV[2]  keep_events   ARGV[3]  subject   ARGV[4]  factor   ARGV[5]  how many a user may have
-- Answers 'enrolled', 'full', or 'known' where it is there.
local function enrol(KEYS, ARGV)
  local now, subject, factor = tonumber(ARGV[1]), layouts.open_subject(ARGV[3]), layouts.open_factor(ARGV[4])
  local change = open(KEYS)
  local user = change.user or new_user(subject)
  if factor_of(user, factor.id) then return 'known' end
  change.user = user
  local kept, spare = {}, nil
  for _, each in ipairs(user.factors) do
    if each.status == 'verified' or each.created_at > now - DAY_MS then
      kept[#kept + 1] = each
      if each.status ~= 'verified' and not spare then spare = #kept end
    end
  end
  if #kept >= tonumber(ARGV[5]) then
    if not spare then return 'full' end
    table.remove(kept, spare)
  end
  kept[#kept + 1] = factor
  user.factors = kept
  save(change)
  local event = factor.status == 'verified' and 'factor-verified' or 'factor-enrolled'
  tell(change, ARGV[2], now, event, subject, factor.kind, 'fa_' .. factor.id)
  return 'enrolled'
end

-- remove_factor: takes a factor from its user, and forgets what was approved. With the last one that was verified, the
-- recovery codes are void.
--   KEYS[1]  user:<tag>   ARGV[1]  now   ARGV[2]  keep_events   ARGV[3]  subject   ARGV[4]  the factor's id
-- Answers 1, or 0 where there is none.
local function remove_factor(KEYS, ARGV)
  local change, subject = open(KEYS), layouts.open_subject(ARGV[3])
  local factor, place = factor_of(change.user, ARGV[4])
  if not factor then return 0 end
  table.remove(change.user.factors, place)
  save(change)
  forget_approvals(change.key)
  tell(change, ARGV[2], tonumber(ARGV[1]), 'factor-removed', subject, factor.kind, 'fa_' .. factor.id)
  return 1
end

-- recovery_codes: gives a user new recovery codes; those of before are void.
--   KEYS[1]  user:<tag>   ARGV[1]  now   ARGV[2]  keep_events   ARGV[3]  subject   ARGV[4]  salt   ARGV[5]  hashes
--   ARGV[6]  the id of what happened
-- Answers 1, or 0 where the user has no verified factor.
local function recovery_codes(KEYS, ARGV)
  local change, subject = open(KEYS), layouts.open_subject(ARGV[3])
  if not change.user or not has_factor(change.user) then return 0 end
  change.user.salt, change.user.codes = ARGV[4], ARGV[5]
  save(change)
  tell(change, ARGV[2], tonumber(ARGV[1]), 'recovery-codes', subject, 'recovery-code', ARGV[6])
  return 1
end

-- set_contact: says where a user's notices go, or that they go nowhere.
--   KEYS[1]  user:<tag>   ARGV[1]  now   ARGV[2]  keep_events   ARGV[3]  subject   ARGV[4]  a contact
--   ARGV[5]  the id of what happened
-- Answers 1, or 0 where they went nowhere before.
local function set_contact(KEYS, ARGV)
  local change, subject, contact = open(KEYS), layouts.open_subject(ARGV[3]), layouts.open_contact(ARGV[4])
  local user = change.user or new_user(subject)
  if contact.channel == '' and user.channel == '' then return 0 end
  change.user = user
  user.to, user.message, user.channel = contact.to, contact.message, contact.channel
  save(change)
  local number = contact.channel ~= '' and layouts.open_content(contact.message).number or ''
  emit(change.base, ARGV[2], tonumber(ARGV[1]), 'contact', ARGV[5], {tenant = subject.tenant, user = subject.user,
    number = number, channel = contact.channel})
  return 1
end

-- erase_user: forgets a user, and what Twilio's API asked of it.
--   KEYS[1]  user:<tag>   ARGV[1]  now   ARGV[2]  keep_events   ARGV[3]  subject   ARGV[4]  the id of what happened
-- Answers 1, or 0 where there was nobody.
local function erase_user(KEYS, ARGV)
  local change, subject = open(KEYS), layouts.open_subject(ARGV[3])
  remove((KEYS[1]:gsub('user:', 'entity:', 1)))
  if not change.user then return 0 end
  change.user = nil
  save(change)
  tell(change, ARGV[2], tonumber(ARGV[1]), 'user-erased', subject, '', ARGV[4])
  return 1
end

return {enrol = enrol, remove_factor = remove_factor, recovery_codes = recovery_codes, set_contact = set_contact,
  erase_user = erase_user, open = open, save = save, factor_of = factor_of, has_factor = has_factor,
  pieces_of = pieces_of, approvals_of = approvals_of, tell = tell}
