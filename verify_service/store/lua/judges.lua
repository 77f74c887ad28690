-- judges: the limits and watches of a call, read at once. Used by start, hold and explain.

local mget = import('writing').mget
local open_counts = import('counts').open_counts
local limit_of = import('limits').limit_of
local detector = import 'detector'
local watch_of, watch_judge = detector.watch_of, detector.watch_judge

-- The limits and the watches that KEYS name from place `first` on, whose specs stand in ARGV `ahead` places further; of
-- what `keys` name, and of all that those need, what was read in one command.
local function judges_of(keys, KEYS, first, ARGV, ahead)
  local limits, watches, places = {}, {}, {}
  for i = first, #KEYS do
    local key, spec = KEYS[i], ARGV[i + ahead]
    if spec:byte() == 119 then
      local watch = watch_of(key, spec)
      keys[#keys + 1] = watch.since
      watch.place, watch.first = i, #keys
      for _, each in ipairs(watch.keys) do keys[#keys + 1] = each end
      watches[#watches + 1] = watch
    else
      keys[#keys + 1] = key
      local limit = limit_of(spec, key)
      limit.place, places[#places + 1] = i, #keys
      limits[#limits + 1] = limit
    end
  end
  local found = #keys > 0 and mget(keys) or {}
  for i, limit in ipairs(limits) do open_counts(limit, found[places[i]]) end
  return limits, watches, found
end

-- Judges a start by all its watches. Returns the one that refuses, or nil; the names of those that watched only and
-- would have.
local function watch_all(watches, found, now)
  local refused, observed = nil, {}
  for _, watch in ipairs(watches) do
    watch_judge(watch, found, watch.first, now)
    if watch.blocked and not watch.rule.enforced then
      observed[#observed + 1] = watch.rule.name
    elseif watch.blocked then
      refused = refused or watch
    end
  end
  return refused, observed
end

return {judges_of = judges_of, watch_all = watch_all}
