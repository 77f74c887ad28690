-- alerts: the incidents that the team is told of. All lies in the first partition:
--   alerts           hash: '<rule>|<object>' -> an incident that is open, or was only just seen
--   alerts:past      list: those that are over, newest first
--   alerts:waiting   hash: '<incident id>.<target>' -> what one target is yet to be told of it, the newest alone
--   alerts:due       sorted set: those, by when they are to be tried (next)
--   alerts:given-up  list: what no try has brought to its target, newest first
--   alerts:turn      '<till> <dispatcher>': who evaluates the rules

local writing = import 'writing'
local write, get, put, of_type = writing.write, writing.get, writing.put, writing.of_type
local common = import 'common'
local digits, opened = common.digits, common.opened
local layouts = import 'layouts'

local LIFE_MS, PAST_MS, PAST_MOST = 604800000, 2592000000, 100

-- alert_turn: one dispatcher evaluates the rules at a time.
--   KEYS[1]  alerts:turn   ARGV[1]  now   ARGV[2]  the dispatcher   ARGV[3]  for how many ms
-- Answers 1 where it is this one's turn, else 0.
local function alert_turn(KEYS, ARGV)
  local now, held = tonumber(ARGV[1]), get(KEYS[1])
  local till, holder = (held or ''):match('^(%d+) (.*)$')
  if holder and holder ~= ARGV[2] and tonumber(till) > now then return 0 end
  put(KEYS[1], digits(now + ARGV[3]) .. ' ' .. ARGV[2], LIFE_MS)
  return 1
end

local function remember(key, packed)
  of_type('LLEN', key)
  write('LPUSH', key, packed)
  write('LTRIM', key, 0, PAST_MOST - 1)
  write('PEXPIRE', key, PAST_MS)
end

-- Has each target told. What one was yet to be told of the same incident is overtaken. Answers how many had no room.
local function tell(base, terms, waiting, incident, says, now)
  local lost = 0
  for _, target in ipairs(terms.targets) do
    local place = incident.id .. '.' .. target
    if not waiting.has[place] and waiting.count >= terms.most_waiting then
      lost = lost + 1
    else
      if not waiting.has[place] then waiting.has[place], waiting.count = true, waiting.count + 1 end
      local id = incident.id .. '.' .. says .. '.' .. digits(now) .. '.' .. target
      write('HSET', base .. 'alerts:waiting', place,
        layouts.pack_telling({id = id, target = target, says = says, at = now, incident = incident}))
      write('ZADD', base .. 'alerts:due', digits(now), place)
    end
  end
  if waiting.count > 0 then
    write('PEXPIRE', base .. 'alerts:waiting', LIFE_MS)
    write('PEXPIRE', base .. 'alerts:due', LIFE_MS)
  end
  return lost
end

-- What is said of incidents in one call: the answer, and what adds to it.
local function speech(base, terms, now)
  of_type('ZCARD', base .. 'alerts:due')
  local places = redis.call('HKEYS', base .. 'alerts:waiting')
  local waiting, answer = {count = #places, has = {}}, {0}
  for _, place in ipairs(places) do waiting.has[place] = true end
  return answer, function(incident, says)
    incident.told = now
    answer[1] = answer[1] + tell(base, terms, waiting, incident, says, now)
    answer[#answer + 1] = {says, incident.rule, incident.object, incident.sentence}
  end
end

-- Those that are open or only just seen, by name; and how many each rule has.
local function incidents_in(key)
  local incidents, open, flat = {}, {}, redis.call('HGETALL', key)
  for i = 1, #flat, 2 do
    local incident = opened(layouts.open_incident, flat[i + 1])
    if incident then
      incidents[flat[i]], open[incident.rule] = incident, (open[incident.rule] or 0) + 1
    else
      write('HDEL', key, flat[i])
    end
  end
  return incidents, open
end

local function begin(name, finding, now)
  return {id = 'al_' .. redis.sha1hex(name .. '|' .. digits(now)):sub(1, 32), rule = finding.rule,
    object = finding.object, since = now, told = 0, ended = 0}
end

-- An incident as a rule sees it now; said once it has been seen for long enough, and again after a while.
local function go_on(incident, finding, terms, now, say)
  incident.seen, incident.page, incident.sentence, incident.figures =
    now, finding.page, finding.sentence, finding.figures
  if incident.told == 0 and now - incident.since >= finding.after then
    say(incident, 'opened')
  elseif incident.told > 0 and now - incident.told >= terms.remind_ms then
    say(incident, 'lasts')
  end
end

-- alerts: makes incidents of what the rules have found. One is told once, again as a reminder, and when it is over.
--   KEYS[1]  alerts   ARGV[1]  now   ARGV[2]  terms   ARGV[…]  findings
-- Answers {how many messages had no room, {says, rule, object, sentence}, …}.
local function alerts(KEYS, ARGV)
  local base, now = KEYS[1]:match('^(.-{%d+}:)'), tonumber(ARGV[1])
  local terms, judged, seen = layouts.open_alert_terms(ARGV[2]), {}, {}
  for _, rule in ipairs(terms.judged) do judged[rule] = true end
  local incidents, open = incidents_in(KEYS[1])
  local answer, say = speech(base, terms, now)
  for i = 3, #ARGV do
    local finding = layouts.open_finding(ARGV[i])
    local name, others = finding.rule .. '|' .. finding.object, open[finding.rule] or 0
    if not incidents[name] and not finding.keeps and others < terms.most_open then
      incidents[name], open[finding.rule] = begin(name, finding, now), others + 1
    end
    local incident = incidents[name]
    if incident and (incident.told > 0 or not finding.keeps) then
      seen[name] = true
      go_on(incident, finding, terms, now, say)
      write('HSET', KEYS[1], name, layouts.pack_incident(incident))
      write('PEXPIRE', KEYS[1], LIFE_MS)
    end
  end
  for name, incident in pairs(incidents) do
    local is_quiet = judged[incident.rule] and not seen[name]
    if is_quiet and incident.told == 0 then
      write('HDEL', KEYS[1], name)
    elseif is_quiet and now - incident.seen >= terms.resolve_ms then
      incident.ended = now
      say(incident, 'resolved')
      write('HDEL', KEYS[1], name)
      remember(base .. 'alerts:past', layouts.pack_incident(incident))
    end
  end
  return answer
end

-- alerts_due: what is to be tried now, each left to the caller for as long as its lease.
--   KEYS[1]  alerts:due   ARGV[1]  now   ARGV[2]  lease in ms   ARGV[3]  how many at most
-- Answers {place, telling, …}.
local function alerts_due(KEYS, ARGV)
  local base, now, found = KEYS[1]:match('^(.-{%d+}:)'), tonumber(ARGV[1]), {}
  for _, place in ipairs(redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', digits(now), 'LIMIT', 0, ARGV[3])) do
    local packed = redis.call('HGET', base .. 'alerts:waiting', place)
    if packed and opened(layouts.open_telling, packed) then
      found[#found + 1], found[#found + 2] = place, packed
      write('ZADD', KEYS[1], digits(now + ARGV[2]), place)
    else
      write('ZREM', KEYS[1], place)
      write('HDEL', base .. 'alerts:waiting', place)
    end
  end
  return found
end

-- alert_tried: what became of a try.
--   KEYS[1]  alerts:waiting   ARGV[1]  now   ARGV[2]  place   ARGV[3]  id of the telling
--   ARGV[4]  'done', 'again' or 'given-up'   ARGV[5]  why it failed   ARGV[6]  ms until the next try
-- Answers 1, or 0 where something newer is to be told by now, or another has settled it.
local function alert_tried(KEYS, ARGV)
  local base, now, place = KEYS[1]:match('^(.-{%d+}:)'), tonumber(ARGV[1]), ARGV[2]
  local packed = redis.call('HGET', KEYS[1], place)
  local telling = packed and opened(layouts.open_telling, packed)
  if not telling or telling.id ~= ARGV[3] then return 0 end
  of_type('ZCARD', base .. 'alerts:due')
  telling.why = ARGV[5]
  if ARGV[4] == 'again' then
    telling.tries = telling.tries + 1
    write('HSET', KEYS[1], place, layouts.pack_telling(telling))
    write('ZADD', base .. 'alerts:due', digits(now + ARGV[6]), place)
    return 1
  end
  write('HDEL', KEYS[1], place)
  write('ZREM', base .. 'alerts:due', place)
  if ARGV[4] == 'given-up' then remember(base .. 'alerts:given-up', layouts.pack_telling(telling)) end
  return 1
end

return {alert_turn = alert_turn, alerts = alerts, alerts_due = alerts_due, alert_tried = alert_tried}
