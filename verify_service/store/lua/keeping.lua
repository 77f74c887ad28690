-- keeping: users for many at a time, as they come from other systems, and as their secrets move to another key.

local layouts = import 'layouts'
local common = import 'common'
local users = import 'users'
local open, save, factor_of, pieces_of = users.open, users.save, users.factor_of, users.pieces_of

-- take_users: adds factors that were enrolled elsewhere, one to a user. What is here stays as it is, so that a file may
-- be read twice. There is no event for each: a file of a million would push all others out of the stream.
--   KEYS[…]  user:<tag>, all of one partition
--   ARGV[1]  how many factors a user may have   ARGV[…]  for each key, a user with the factor and nothing else
-- Answers a word for each: 'taken', 'known' where the factor is here, 'full'.
local function take_users(KEYS, ARGV)
  local most, words = tonumber(ARGV[1]), {}
  for i, key in ipairs(KEYS) do
    local change, arriving = open({key}), layouts.open_user(ARGV[1 + i])
    local user, factor = change.user, arriving.factors[1]
    if factor_of(user, factor.id) then
      words[i] = 'known'
    elseif user and #user.factors >= most then
      words[i] = 'full'
    else
      if user then user.factors[#user.factors + 1] = factor else change.user = arriving end
      save(change)
      words[i] = 'taken'
    end
  end
  return words
end

-- reseal: puts what was sealed anew in the place of what was read. What has changed meanwhile stays: whoever changed it
-- sealed it with the newest key.
--   KEYS[…]  user:<tag>, all of one partition   ARGV[…]  for each a resealed
-- Answers how many pieces it replaced.
local function reseal(KEYS, ARGV)
  local replaced = 0
  for i, key in ipairs(KEYS) do
    local change, asked, anew, before = open({key}), layouts.open_resealed(ARGV[i]), {}, replaced
    for n, was in ipairs(asked.was) do anew[was] = asked.now[n] end
    for _, piece in ipairs(change.user and pieces_of(change.user) or {}) do
      local holder, name = piece[1], piece[2]
      local found = anew[holder[name]]
      if found then holder[name], replaced = found, replaced + 1 end
    end
    if replaced > before then save(change) end
  end
  return replaced
end

-- moved: tells that factors were brought in from a file, or given out into one.
--   KEYS[1]  events   ARGV[1]  now   ARGV[2]  keep_events   ARGV[3]  the event   ARGV[4]  its id   ARGV[5]  tenant
--   ARGV[6]  by whom   ARGV[7]  why, or ''   ARGV[8]  how many, or ''
-- Answers 1.
local function moved(KEYS, ARGV)
  common.emit(KEYS[1]:match('^(.-{%d+}:)'), ARGV[2], tonumber(ARGV[1]), ARGV[3], ARGV[4],
    {tenant = ARGV[5], by = ARGV[6], reason = ARGV[7], count = ARGV[8]})
  return 1
end

return {take_users = take_users, reseal = reseal, moved = moved}
