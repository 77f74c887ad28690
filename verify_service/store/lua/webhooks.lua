-- Events on their way to the tenants' own endpoints. Each partition hands its events over by itself:
--   hooks                       hash: `last`, the newest event handed over; `read`, how many the stream had had by then
--   hooks:<tenant>:due          sorted set: ids of verifications and notices, by when their oldest event is to be tried
--                               (next)
--   hooks:<tenant>:lane:<id>    list: the events of one verification, packed {position, fields, tries}, oldest first
--   hooks:<tenant>:dead         list: {position, fields, tries, why, when} of what was given up, newest first
--   hooks:<tenant>:off          when the endpoint said that it is gone for good

local common = import 'common'
local layouts = import 'layouts'
local digits, opened, emit = common.digits, common.opened, common.emit
local position_of = import('reading').position_of

local WAITING_MS = 604800000
local DEAD_MS = 2592000000
local DEAD_MOST = 1000
local function hooks_of(base, tenant) return base .. 'hooks:' .. tenant .. ':' end

local function bury(hooks, item, why, now)
  item.why, item.at = why, digits(now)
  redis.call('LPUSH', hooks .. 'dead', layouts.pack_item(item))
  redis.call('LTRIM', hooks .. 'dead', 0, DEAD_MOST - 1)
  redis.call('PEXPIRE', hooks .. 'dead', DEAD_MS)
end

local function line_up(hooks, id, item, now)
  redis.call('RPUSH', hooks .. 'lane:' .. id, layouts.pack_item(item))
  redis.call('PEXPIRE', hooks .. 'lane:' .. id, WAITING_MS)
  -- Behind one that waits for its next try: a verification's events go in their order.
  redis.call('ZADD', hooks .. 'due', 'NX', digits(now), id)
  redis.call('PEXPIRE', hooks .. 'due', WAITING_MS)
end

-- An event's fields by name. Facts that a later version put behind those that are known are passed over.
local function fields_of(entry)
  local fields = layouts.by_name(entry[2])
  if fields.facts then
    local facts = layouts.open_facts(fields.facts)
    for name, value in pairs(facts) do fields[name] = value .. '' end
    fields.facts = nil
  end
  if not (fields.id and fields.event and tonumber(fields.at)) then error('not an event') end
  return fields
end

-- Tenants are told of their verifications and notices.
local function is_told(id) return id:sub(1, 3) == 've_' or id:sub(1, 3) == 'no_' end

local function hand_over(base, wanted, entry, most, now)
  local readable, fields = pcall(fields_of, entry)
  if not readable then return entry[1] end
  local events, name = wanted[fields.tenant], fields.event
  if name == 'start' then name = fields.refused and 'refused' or 'started' end
  if not events or not events[name] or not is_told(fields.id) then return end
  fields.event, fields.credits, fields.undo = name, nil, nil  -- The release before this one carried by its events.
  local hooks, item = hooks_of(base, fields.tenant), {position = entry[1], fields = fields, tries = 0}
  if redis.call('EXISTS', hooks .. 'off') == 1 then
    bury(hooks, item, 'the endpoint is off', now)
  elseif redis.call('ZCARD', hooks .. 'due') >= most and not redis.call('ZSCORE', hooks .. 'due', fields.id) then
    bury(hooks, item, 'too many were waiting', now)
  else
    line_up(hooks, fields.id, item, now)
  end
end

-- hooks: hands the newest events over to the tenants that want them, and answers those that are due, each left to the
-- caller for as long as its lease. Called by the dispatchers.
--   KEYS[1]  events   KEYS[2]  hooks    ARGV[1]  now   ARGV[2]  how many events at most   ARGV[3]  lease in ms
--   ARGV[4]  how many verifications may wait for a tenant
--   ARGV[5]  {wanted, …}, msgpack
-- Answers {more, lost, {position, …}, {tenant, id, packed}, …}: whether more events wait, how many were trimmed away
-- unseen, which cannot be read.
local function hooks(KEYS, ARGV)
  local base, now, page = KEYS[1]:match('^(.-{%d+}:)'), tonumber(ARGV[1]), tonumber(ARGV[2])
  local asked, wanted = cmsgpack.unpack(ARGV[5]), {}
  for i, ask in ipairs(asked) do
    local own = layouts.name_wanted(ask)
    asked[i], wanted[own.tenant] = own, {}
    for _, event in ipairs(own.events) do wanted[own.tenant][event] = true end
  end
  local last, read, lost = position_of(KEYS[1], KEYS[2])
  local entries = redis.call('XRANGE', KEYS[1], '(' .. last, '+', 'COUNT', page)
  local unreadable = {}
  for _, entry in ipairs(entries) do
    last = entry[1]
    unreadable[#unreadable + 1] = hand_over(base, wanted, entry, tonumber(ARGV[4]), now)
  end
  -- A look that finds nothing writes nothing: there are several a second.
  if #entries > 0 or lost > 0 or redis.call('PTTL', KEYS[2]) < WAITING_MS / 2 then
    redis.call('HSET', KEYS[2], 'last', last, 'read', digits(read + #entries))
    redis.call('PEXPIRE', KEYS[2], WAITING_MS)
  end
  local answer = {#entries == page and 1 or 0, lost, unreadable}
  for _, ask in ipairs(asked) do
    local own = hooks_of(base, ask.tenant)
    if ask.room > 0 and redis.call('EXISTS', own .. 'off') == 0 then
      for _, id in ipairs(redis.call('ZRANGEBYSCORE', own .. 'due', '-inf', digits(now), 'LIMIT', 0, ask.room)) do
        local item = redis.call('LINDEX', own .. 'lane:' .. id, 0)
        if item then
          redis.call('ZADD', own .. 'due', digits(now + ARGV[3]), id)
          answer[#answer + 1] = {ask.tenant, id, item}
        else
          redis.call('ZREM', own .. 'due', id)
        end
      end
    end
  end
  return answer
end

-- hooked: what became of a try. Called by the dispatcher that made it.
--   KEYS[1]  hooks:<tenant>:due    ARGV[1]  now   ARGV[2]  id   ARGV[3]  position of the event, or its bytes
--   ARGV[4]  'done', 'again', 'dead' or 'unreadable'   ARGV[5]  ms until the next try, or why it is given up
-- Answers 1, or 0 where another has settled it.
local function hooked(KEYS, ARGV)
  local own, now, id = KEYS[1]:match('^(.*:)due$'), tonumber(ARGV[1]), ARGV[2]
  local lane = own .. 'lane:' .. id
  local head = redis.call('LINDEX', lane, 0)
  local item = head and opened(layouts.open_item, head)
  -- What cannot be read is known by its bytes, and nobody wants it back.
  if ARGV[4] == 'unreadable' then
    if head ~= ARGV[3] then return 0 end
  elseif not item or item.position ~= ARGV[3] then
    return 0
  end
  if ARGV[4] == 'again' then
    item.tries = item.tries + 1
    redis.call('LSET', lane, 0, layouts.pack_item(item))
    redis.call('PEXPIRE', lane, WAITING_MS)
    redis.call('ZADD', KEYS[1], digits(now + ARGV[5]), id)
    redis.call('PEXPIRE', KEYS[1], WAITING_MS)
    return 1
  end
  redis.call('LPOP', lane)
  if ARGV[4] == 'dead' then bury(own, item, ARGV[5], now) end
  if redis.call('EXISTS', lane) == 1 then
    redis.call('ZADD', KEYS[1], digits(now), id)
  else
    redis.call('ZREM', KEYS[1], id)
  end
  return 1
end

-- hooks_off: the endpoint said that it is gone: nothing more is sent to it. Called by the dispatcher.
--   KEYS[1]  hooks:<tenant>:off    ARGV[1]  now   ARGV[2]  keep_events   ARGV[3]  tenant; '' where the event is told
--                                                                               elsewhere
-- Answers 1, or 0 where it was off already.
local function hooks_off(KEYS, ARGV)
  if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', DEAD_MS) then return 0 end
  if ARGV[3] ~= '' then
    emit(KEYS[1]:match('^(.-{%d+}:)'), ARGV[2], tonumber(ARGV[1]), 'webhook-off', ARGV[3], {tenant = ARGV[3]})
  end
  return 1
end

-- In the order of the stream.
local function before(one, other)
  local at, nth = one.position:match('^(%d+)-(%d+)$')
  local its_at, its_nth = other.position:match('^(%d+)-(%d+)$')
  if at ~= its_at then return tonumber(at) < tonumber(its_at) end
  return tonumber(nth) < tonumber(its_nth)
end

-- hooks_replay: dead letters are tried again, each in its place among what waits for the same verification, and an
-- endpoint that was off is on. Called by an operator.
--   KEYS[1]  hooks:<tenant>:dead    ARGV[1]  now
-- Answers how many could be read.
local function hooks_replay(KEYS, ARGV)
  local own, now = KEYS[1]:match('^(.*:)dead$'), tonumber(ARGV[1])
  redis.call('DEL', own .. 'off')
  local letters, lanes, replayed = redis.call('LRANGE', KEYS[1], 0, -1), {}, 0
  for i = #letters, 1, -1 do
    local item = opened(layouts.open_item, letters[i])
    local fields = item and type(item.position) == 'string' and type(item.fields) == 'table' and item.fields or {}
    local id = fields.id
    if fields.at and fields.event and id and is_told(id) then
      lanes[id] = lanes[id] or {}
      table.insert(lanes[id], {position = item.position, fields = fields, tries = 0})
      replayed = replayed + 1
    end
  end
  for id, items in pairs(lanes) do
    for _, packed in ipairs(redis.call('LRANGE', own .. 'lane:' .. id, 0, -1)) do
      local item = opened(layouts.open_item, packed)
      if item and type(item.position) == 'string' then table.insert(items, item) end
    end
    table.sort(items, before)
    redis.call('DEL', own .. 'lane:' .. id)
    redis.call('ZREM', own .. 'due', id)
    for _, item in ipairs(items) do line_up(own, id, item, now) end
  end
  redis.call('DEL', KEYS[1])
  return replayed
end

return {hooks = hooks, hooked = hooked, hooks_off = hooks_off, hooks_replay = hooks_replay}
