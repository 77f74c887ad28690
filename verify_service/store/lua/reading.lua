-- reading: how far somebody who reads the events has come.

local max = math.max

-- A reader's place, as its hash `key` has it: the last event that was read, how many the stream had had by then, and
-- how many were trimmed away unread. Who looks for the first time begins behind `first`, or else with what comes from
-- then on.
local function position_of(stream, key, first)
  local found = redis.pcall('XINFO', 'STREAM', stream)
  local info = {['last-generated-id'] = '0-0', ['entries-added'] = 0, length = 0}
  for i = 1, #found, 2 do info[found[i]] = found[i + 1] end
  local added, trimmed = info['entries-added'], info['entries-added'] - info['length']
  local last, read = unpack(redis.call('HMGET', key, 'last', 'read'))
  if last then return last, max(tonumber(read), trimmed), max(0, trimmed - read) end
  if first then return first, trimmed, 0 end
  return info['last-generated-id'], added, 0
end

return {position_of = position_of}
