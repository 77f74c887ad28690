-- tallies: what groups have counted in a minute or an hour, as arrays in which each counter has its place.

local min, max = math.min, math.max
local layouts = import 'layouts'
local common = import 'common'
local digits, opened = common.digits, common.opened
local write = import('writing').write

local OTHER = 'other'
-- How many groups may come into a full bucket with one look.
local ENTRIES = 8

-- Where each part of a layout stands in its array, by name: an array is read in a third of the time of a table.
local function places_of(array, name)
  local places = {}
  for n = 1, #array({}) do places[n] = n end
  return name(places)
end

local PLACE = places_of(layouts.array_tally, layouts.name_tally)
local RANK = PLACE.rank

-- Adds to a tally, however much that has yet.
local function raise(tally, counter, n)
  for i = #tally + 1, counter do tally[i] = 0 end
  tally[counter] = (tonumber(tally[counter]) or 0) + n
end

local function add(tally, counts)
  for counter = 1, #counts do raise(tally, counter, tonumber(counts[counter]) or 0) end
  return tally
end

-- A tally that is kept, which may have more than is known here; one that nobody can read begins anew.
local function tally_of(packed)
  local tally = opened(cmsgpack.unpack, packed)
  return type(tally) == 'table' and tally or {0}
end

-- Its rank, without the rest where that is quick: it is read of all, and the rest of few.
local function rank_of(packed)
  local first, rank = packed:byte(1, 2)
  if first and first > 0x90 and first < 0xa0 then
    if rank and rank < 0x80 then return rank end
    if rank == 0xcd and #packed > 3 then return (struct.unpack('>H', packed, 3)) end
  end
  return tonumber(tally_of(packed)[RANK]) or 0
end

-- Of the groups that a bucket has not got, those that may come into it: as many as it has room for, or else a few,
-- those with more than one event first. The others go to `other`, so that a crowd of strangers costs little.
local function newcomers_of(fresh, groups, room, other)
  local many, few = {}, {}
  for _, name in ipairs(fresh) do
    local list = groups[name][RANK] > 1 and many or few
    list[#list + 1] = name
  end
  local come = max(room, ENTRIES)
  if #many > come then table.sort(many, function(a, b) return groups[a][RANK] > groups[b][RANK] end) end
  for _, name in ipairs(few) do many[#many + 1] = name end
  for i = #many, come + 1, -1 do
    add(other, groups[many[i]])
    many[i] = nil
  end
  return many
end

-- Where a bucket has no room for all of its groups, the busiest stay and `other` takes the rest, as in the summary of
-- Misra and Gries (Agarwal et al., Mergeable Summaries, PODS 2012). The `rank` of a group is how much it has counted,
-- with what it may have counted before it came; that is the `rank` of `other`.
local function crowd(key, fresh, groups, most, put)
  local flat, kept, ranks, sorted = redis.call('HGETALL', key), {}, {}, {}
  for i = 1, #flat, 2 do kept[flat[i]] = flat[i + 1] end
  local other = kept[OTHER] and tally_of(kept[OTHER]) or {0}
  if groups[OTHER] then add(other, groups[OTHER]) end
  kept[OTHER] = nil
  for name, packed in pairs(kept) do
    ranks[name] = rank_of(packed) + (groups[name] and groups[name][RANK] or 0)
    sorted[#sorted + 1] = ranks[name]
  end
  local before = other[RANK]
  for _, name in ipairs(newcomers_of(fresh, groups, most - 1 - #sorted, other)) do
    ranks[name] = groups[name][RANK] + before
    sorted[#sorted + 1] = ranks[name]
  end
  table.sort(sorted)
  local too_many, gone = #sorted - (most - 1), {}
  local least, below = sorted[too_many] or before, 0
  for i = 1, too_many do
    if sorted[i] < least then below = below + 1 end
  end
  local alike = too_many - below  -- So many of those that have the least rank go as well.
  for name, rank in pairs(ranks) do
    local packed, counts, goes = kept[name], groups[name], too_many > 0 and rank < least
    if rank == least and alike > 0 then goes, alike = true, alike - 1 end
    if goes then
      if packed then
        add(other, tally_of(packed))
        gone[#gone + 1] = name
      end
      if counts then add(other, counts) end
    elseif counts and packed then
      put(name, add(tally_of(packed), counts))
    elseif counts then
      -- The same table may stand for its hour as well.
      local own = counts[RANK]
      counts[RANK] = rank
      put(name, counts)
      counts[RANK] = own
    end
  end
  other[RANK] = max(before, least)
  put(OTHER, other)
  if #gone > 0 then write('HDEL', key, unpack(gone)) end
end

-- Adds what was counted to a bucket that has room for `most` groups and lives for `life` from now.
local function fold_into(key, groups, most, life)
  local names, values, fresh, is_new = {}, {}, {}, true
  for name in pairs(groups) do names[#names + 1] = name end
  local found = redis.pcall('HMGET', key, unpack(names))
  local strange = found.err  -- A key of another type, which nobody of ours wrote.
  if strange then write('DEL', key) end
  local function put(name, tally) values[#values + 1], values[#values + 2] = name, cmsgpack.pack(tally) end
  for i, name in ipairs(names) do
    if found[i] then is_new = false elseif name ~= OTHER then fresh[#fresh + 1] = name end
  end
  local kept = #fresh > 0 and not strange and redis.call('HLEN', key) or 0
  if #fresh > 0 and kept + #fresh >= most then
    crowd(key, fresh, groups, most, put)
  else
    for i, name in ipairs(names) do
      put(name, found[i] and add(tally_of(found[i]), groups[name]) or groups[name])
    end
  end
  write('HSET', key, unpack(values))
  if is_new then write('PEXPIRE', key, digits(life)) end
end

-- Adds {by: {name: tally}} to the buckets of a step's n-th time; what is older than what is kept is passed over.
local function keep(base, step, n, groups, now)
  local life = (n + 1) * step.ms + step.kept - now
  if life < 1 then return end
  for by, own in pairs(groups) do
    local key = table.concat({base .. 'counts', step.name, by, digits(n)}, ':')
    fold_into(key, own, by == 'place' and step.places or step.groups, min(life, 2 * step.kept))
  end
end

return {places_of = places_of, PLACE = PLACE, raise = raise, add = add, keep = keep}
