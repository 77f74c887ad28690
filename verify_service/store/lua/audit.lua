-- audit: appends an entry to the log of acts. Called before an act is done, by its caller, who sealed the entry behind
-- the newest that it knew of; where another was first, it seals it again behind that one.
--   KEYS[1]  audit, a stream whose entries are called <number>-0
--   KEYS[2]  audit:hours, a hash from lane to 'hour kept beyond': how many of the hour are in the log, and how many are
--            only counted
--   ARGV[1]  the hour   ARGV[2]  the entry's lane, '' where it is kept however many there are
--   ARGV[3]  how many of the lane are kept in an hour   ARGV[4]  the lane whose earlier hour this entry counts, or ''
--   ARGV[5]  how many entries stay   ARGV[6]  the entry's number   ARGV[7]  the seal of the entry before
--   ARGV[8]  the entry   ARGV[9]  its seal
-- Answers {'kept'}; {'counted'} where the hour has no room for it; {'newest', number, seal} where it does not follow
-- the newest entry; {'owed', number, seal, lane, hour, how many} where an earlier hour is to be counted first.
local writing = import 'writing'

-- The number and the seal of the newest entry. A number that was used is not used again, though its entry is gone.
local function newest_of(key)
  if redis.call('EXISTS', key) == 0 then return 0, '' end
  local info, said = redis.call('XINFO', 'STREAM', key), {}
  for i = 1, #info, 2 do said[info[i]] = info[i + 1] end
  local last = said['last-entry']
  return tonumber(said['last-generated-id']:match('^%d+')), last and last[2][4] or ''
end

local function hours_of(key)
  local flat, found = redis.call('HGETALL', key), {}
  for i = 1, #flat, 2 do
    local hour, kept, beyond = flat[i + 1]:match('^(%d+) (%d+) (%d+)$')
    found[flat[i]] = {hour = tonumber(hour), kept = tonumber(kept), beyond = tonumber(beyond)}
  end
  return found
end

local function audit(KEYS, ARGV)
  local hour, lane, settled = tonumber(ARGV[1]), ARGV[2], ARGV[4]
  local number, seal = newest_of(KEYS[1])
  local hours = hours_of(KEYS[2])
  local function is_owed(of) return of and of.hour < hour and of.beyond > 0 end
  if settled == '' then
    for name, of in pairs(hours) do
      if is_owed(of) then return {'owed', number, seal, name, of.hour, of.beyond} end
    end
  elseif not is_owed(hours[settled]) then
    return {'newest', number, seal}
  end
  local of = hours[lane]
  if not of or of.hour < hour then of = {hour = hour, kept = 0, beyond = 0} end
  local full = lane ~= '' and of.kept >= tonumber(ARGV[3])
  if not full and (tonumber(ARGV[6]) ~= number + 1 or ARGV[7] ~= seal) then return {'newest', number, seal} end
  if full then
    of.beyond = of.beyond + 1
  else
    of.kept = of.kept + 1
    writing.write('XADD', KEYS[1], 'MAXLEN', '=', ARGV[5], ARGV[6] .. '-0', 'entry', ARGV[8], 'seal', ARGV[9])
  end
  if lane ~= '' then writing.write('HSET', KEYS[2], lane, ('%d %d %d'):format(of.hour, of.kept, of.beyond)) end
  if settled ~= '' then writing.write('HDEL', KEYS[2], settled) end
  return {full and 'counted' or 'kept'}
end

return {audit = audit}
