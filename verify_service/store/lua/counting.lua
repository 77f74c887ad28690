-- Counts over time, folded from the events. Each partition counts its own events by itself:
--   counts                       hash: `last`, the newest event counted; `read`, how many the stream had had by then
--   counts:<step>:<by>:<n>       hash: of the n-th minute or hour since the epoch, a tally for each group: `total`, a
--                                country, a channel, …
--   newest:<what>                list: positions of the newest events of starts, the newest first
-- An event counts in the minute and the hour of its own time, however late it is read.

local floor = math.floor
local layouts = import 'layouts'
local common = import 'common'
local digits, HOUR_MS, DAY_MS = common.digits, common.HOUR_MS, common.DAY_MS
local write = import('writing').write
local position_of = import('reading').position_of
local tallies = import 'tallies'
local places_of, PLACE, raise, add, keep = tallies.places_of, tallies.PLACE, tallies.raise, tallies.add, tallies.keep

-- Longer than anything that is counted: who begins anew finds nothing that it could count twice.
local POSITION_MS = 91 * DAY_MS
local LONGEST = 64
-- A look ends where a minute has so many kinds of events and places: what it costs goes by them.
local MOST_KINDS = 150

local FACT = places_of(layouts.array_facts, layouts.name_facts)
local RANK = PLACE.rank

-- What is counted of an event: counters by one, and its price.
local COUNTED = {
  sent = {{RANK, PLACE.sent}, PLACE.billed}, delivered = {{RANK, PLACE.delivered}, PLACE.billed},
  failed = {{RANK, PLACE.failed}, PLACE.billed}, ['failed-over'] = {{RANK, PLACE.failed_over}, PLACE.billed},
  approved = {{RANK, PLACE.approved}}, wrong = {{RANK, PLACE.wrong}}, canceled = {{RANK, PLACE.canceled}},
  ['factor-approved'] = {{RANK, PLACE.factor_approved}}, ['factor-wrong'] = {{RANK, PLACE.factor_wrong}},
}
-- The same of a start, by whether it was refused and observed.
local STARTED = {
  [''] = {{RANK, PLACE.starts}, PLACE.spend},
  r = {{RANK, PLACE.starts, PLACE.refused}, PLACE.saved},
  o = {{RANK, PLACE.starts, PLACE.observed}, PLACE.spend},
  ro = {{RANK, PLACE.starts, PLACE.refused, PLACE.observed}, PLACE.saved},
}
local GROUPED = {country = true, channel = true, provider = true, tenant = true}

-- A number as an event has it; 0 of what is none.
local function whole(text)
  local n = tonumber(text)
  return n and n >= 0 and n < 1e15 and n % 1 == 0 and n or 0
end

-- Whether something can be a group's name. Raises for what is no text: an error in a key would end the call.
local function is_name(name)
  if not name or name == '' then return false end
  if type(name) ~= 'string' then error('not a name') end
  return #name <= LONGEST
end

local function raise_all(tally, counters, money, times, price)
  for i = 1, #counters do raise(tally, counters[i], times) end
  if money and price > 0 then raise(tally, money, price) end
end

-- Adds an event to those of its minute that are of one kind, which `make` describes where it is the first:
--   times, price   how many there were, and what they cost
--   told           {{by, name, counters, money}, …}, what that counts
--   lists          where its position is noted
local function note(minute, signature, times, price, position, make, ...)
  local kind = minute.kinds[signature]
  if not kind then
    kind = make(...)
    kind.times, kind.price, minute.kinds[signature], minute.size = 0, 0, kind, minute.size + 1
  end
  kind.times, kind.price = kind.times + times, kind.price + price
  for _, list in ipairs(kind.lists) do list[#list + 1] = position end
end

-- Places are many, each with few events. They are counted at once: tables less leave less to be collected.
local function note_place(minute, place, times, price, counters, money)
  local tally = minute.places[place]
  if not tally then
    tally = {0, 0, 0}
    minute.places[place], minute.size = tally, minute.size + 1
  end
  raise_all(tally, counters, money, times, price)
end

-- `where` has names by what counts are told by.
local function told_of(where, counters, money)
  local told = {{by = 'total', name = 'total', counters = counters, money = money}}
  for by, name in pairs(where) do
    if is_name(name) then told[#told + 1] = {by = by, name = name, counters = counters, money = money} end
  end
  return {told = told, lists = {}}
end

local function started(newest, country, channel, tenant, refused, observed, counters, money)
  local kind, names, rules = told_of({country = country, channel = channel, tenant = tenant}, counters, money), {}, {}
  local function tell(rule, counter)
    if not is_name(rule) or rules[rule] then return end
    rules[rule], names[#names + 1] = true, 'rule:' .. rule
    kind.told[#kind.told + 1] = {by = 'rule', name = rule, counters = {RANK, PLACE[counter]}, money = money}
  end
  if refused ~= '' then names[1] = 'refused' end
  if observed ~= '' then names[#names + 1] = 'observed' end
  tell(refused, 'refused')
  for rule in observed:gmatch('[^,]+') do tell(rule, 'observed') end
  if is_name(country) then names[#names + 1] = 'country:' .. country end
  if is_name(tenant) then names[#names + 1] = 'tenant:' .. tenant end
  for i, name in ipairs(names) do
    newest[name] = newest[name] or {}
    kind.lists[i] = newest[name]
  end
  return kind
end

-- A field that every event of its type has, at its place.
local function field(flat, place, name)
  if flat[place] ~= name then error('not an event') end
  return flat[place + 1]
end

local function count_start(minute, newest, flat, position)
  local facts, observed = cmsgpack.unpack(field(flat, 7, 'facts')), field(flat, 9, 'observed')
  local refused, times = '', 1
  for i = 11, #flat, 2 do
    if flat[i] == 'refused' then
      refused = flat[i + 1]
    elseif flat[i] == 'repeats' then
      times = whole(flat[i + 1])
    end
  end
  local country, channel, tenant = facts[FACT.country], facts[FACT.channel], facts[FACT.tenant]
  local place = facts[FACT.range]:match('^(%+%d+)%d$')  -- An email address has none.
  local price, way = times * whole(facts[FACT.price]), (refused ~= '' and 'r' or '') .. (observed ~= '' and 'o' or '')
  local counters, money = STARTED[way][1], STARTED[way][2]
  local signature = country .. '\n' .. channel .. '\n' .. tenant .. '\n' .. refused .. '\n' .. observed
  note(minute, signature, times, price, position,
    started, newest, country, channel, tenant, refused, observed, counters, money)
  if is_name(place) then note_place(minute, place, times, price, counters, money) end
end

local function count_other(minute, event, flat)
  local where, price, signature, place = {}, 0, event, nil
  for i = 7, #flat, 2 do
    local name, value = flat[i], flat[i + 1]
    if GROUPED[name] then
      where[name], signature = value, signature .. '\n' .. name .. value
    elseif name == 'price' then
      price = whole(value)
    elseif name == 'place' then
      place = value
    end
  end
  local counters, money = COUNTED[event][1], COUNTED[event][2]
  note(minute, signature, 1, price, nil, told_of, where, counters, money)
  if is_name(place) then note_place(minute, place, 1, price, counters, money) end
end

-- Counts an event in the minute of its time; answers of how many kinds and places those of that minute are by now.
-- Raises where it is none.
local function count(minutes, newest, entry)
  local flat = entry[2]
  local at, event = whole(field(flat, 1, 'at')), field(flat, 3, 'event')
  field(flat, 5, 'id')
  if at == 0 then error('not a time') end
  local n = floor(at / 60000)
  local minute = minutes[n]
  if not minute then
    minute = {size = 0, kinds = {}, places = {}}
    minutes[n] = minute
  end
  if event == 'start' then
    count_start(minute, newest, flat, entry[1])
  elseif COUNTED[event] then
    count_other(minute, event, flat)
  end
  return minute.size
end

-- Adds what a minute counted to the groups of a bucket, {by: {name: tally}}.
local function spread(minute, groups)
  for _, kind in pairs(minute.kinds) do
    for _, each in ipairs(kind.told) do
      local own = groups[each.by] or {}
      groups[each.by], own[each.name] = own, own[each.name] or {}
      raise_all(own[each.name], each.counters, each.money, kind.times, kind.price)
    end
  end
  if next(minute.places) and not groups.place then
    groups.place = minute.places
  else
    for place, tally in pairs(minute.places) do
      groups.place[place] = groups.place[place] and add(groups.place[place], tally) or tally
    end
  end
end

-- fold: counts the next events, once, whoever asks and how many do: what is counted and how far that goes are written
-- together. Called by the dispatchers.
--   KEYS[1]  events   KEYS[2]  counts    ARGV[1]  now   ARGV[2]  how many events at most
--   ARGV[3]  for how many places a minute has room   ARGV[4]  for how many groups of any other kind it has
--   ARGV[5], ARGV[6]  the same of an hour     ARGV[7]  how many starts a list has   ARGV[8]  and how long it lives, ms
-- Answers {more, counted, lost, {position, …}}: whether more events wait, how many were read, how many had been
-- trimmed away unread, which cannot be read.
local function fold(KEYS, ARGV)
  local base, now, page = KEYS[1]:match('^(.-{%d+}:)'), tonumber(ARGV[1]), tonumber(ARGV[2])
  local of_minute = {name = 'minute', ms = 60000, kept = DAY_MS}
  local of_hour = {name = 'hour', ms = HOUR_MS, kept = 90 * DAY_MS}
  of_minute.places, of_minute.groups = tonumber(ARGV[3]), tonumber(ARGV[4])
  of_hour.places, of_hour.groups = tonumber(ARGV[5]), tonumber(ARGV[6])
  local last, read, lost = position_of(KEYS[1], KEYS[2], '0-0')
  local entries = redis.call('XRANGE', KEYS[1], '(' .. last, '+', 'COUNT', page)
  if #entries == 0 and lost == 0 then return {0, 0, 0, {}} end
  local minutes, newest, unreadable, counted = {}, {}, {}, 0
  for _, entry in ipairs(entries) do
    local readable, size = pcall(count, minutes, newest, entry)
    if not readable then unreadable[#unreadable + 1] = entry[1] end
    last, counted = entry[1], counted + 1
    if readable and size >= MOST_KINDS then break end
  end
  local hours = {}
  for n, minute in pairs(minutes) do
    local groups, hour = {}, floor(n / 60)
    spread(minute, groups)
    keep(base, of_minute, n, groups, now)
    hours[hour] = hours[hour] or {}
    spread(minute, hours[hour])
  end
  for n, groups in pairs(hours) do keep(base, of_hour, n, groups, now) end
  for list, positions in pairs(newest) do
    local key = base .. 'newest:' .. list
    if type(redis.pcall('LLEN', key)) ~= 'number' then write('DEL', key) end
    write('LPUSH', key, unpack(positions))
    write('LTRIM', key, 0, ARGV[7] - 1)
    write('PEXPIRE', key, ARGV[8])
  end
  write('HSET', KEYS[2], 'last', last, 'read', digits(read + counted))
  write('PEXPIRE', KEYS[2], POSITION_MS)
  local more = counted < #entries or #entries == page
  return {more and 1 or 0, counted, lost, unreadable}
end

-- counted: what was counted.    KEYS[…]  counts:<step>:<by>:<n>
-- Answers {name, tally, …} for each.
local function counted(KEYS)
  local found = {}
  for i, key in ipairs(KEYS) do
    local flat = redis.pcall('HGETALL', key)
    found[i] = flat.err and {} or flat
  end
  return found
end

return {fold = fold, counted = counted}
