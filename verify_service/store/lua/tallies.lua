-- tallies: what groups have counted in a minute or an hour, as arrays in which each counter has its place.

local min = math.min
local layouts = import 'layouts'
local common = import 'common'
local digits, opened = common.digits, common.opened
local write = import('writing').write

local OTHER = 'other'

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

-- Where a bucket has no room for all of its groups, the busiest stay and `other` takes the rest, by the summary of
-- Misra and Gries as Agarwal et al. merge it (Mergeable Summaries, PODS 2012): `rank` bounds from above how much a
-- group has counted, and that of `other` is what a group may have counted before it came. So whoever has more than its
-- share of the whole, one in as many as there is room for, is there.
local function crowd(key, groups, most, put)
  local flat, kept, ranks, sorted = redis.call('HGETALL', key), {}, {}, {}
  for i = 1, #flat, 2 do kept[flat[i]] = flat[i + 1] end
  local other = add(kept[OTHER] and tally_of(kept[OTHER]) or {0}, groups[OTHER] or {})
  kept[OTHER] = nil
  for name, packed in pairs(kept) do ranks[name] = rank_of(packed) + (groups[name] and groups[name][RANK] or 0) end
  for name, counts in pairs(groups) do
    if name ~= OTHER then ranks[name] = ranks[name] or counts[RANK] + other[RANK] end
  end
  for _, rank in pairs(ranks) do sorted[#sorted + 1] = -rank end
  table.sort(sorted)
  -- One has the room of `other`, and of those that are alike some have none.
  local least, room, gone = -sorted[most], most - 1, {}
  for i = 1, most do
    if -sorted[i] > least then room = room - 1 end
  end
  for name, rank in pairs(ranks) do
    local packed, counts, stays = kept[name], groups[name], rank > least
    if rank == least and room > 0 then stays, room = true, room - 1 end
    if not stays then
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
  other[RANK] = least
  put(OTHER, other)
  if #gone > 0 then write('HDEL', key, unpack(gone)) end
end

-- Adds what was counted to a bucket that has room for `most` groups and lives for `life` from now.
local function fold_into(key, groups, most, life)
  local names, values, fresh = {}, {}, 0
  for name in pairs(groups) do names[#names + 1] = name end
  local found = redis.pcall('HMGET', key, unpack(names))
  local strange = found.err  -- A key of another type, which nobody of ours wrote.
  if strange then write('DEL', key) end
  local function put(name, tally) values[#values + 1], values[#values + 2] = name, cmsgpack.pack(tally) end
  for i in ipairs(names) do
    if not found[i] then fresh = fresh + 1 end
  end
  if fresh > 0 and (strange and 0 or redis.call('HLEN', key)) + fresh > most then
    crowd(key, groups, most, put)
  else
    for i, name in ipairs(names) do
      put(name, found[i] and add(tally_of(found[i]), groups[name]) or groups[name])
    end
  end
  write('HSET', key, unpack(values))
  if fresh == #names then write('PEXPIRE', key, digits(life)) end
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
