-- A dispatcher lives as long as its lease: `dispatcher:<name>`, which it renews each second. What it holds in the
-- outbox's group is its own that long, however much it is; nothing is written for each entry.

local get = import('writing').get
local record_of = import('common').record_of

-- inherit: renews a dispatcher's lease, and takes over what the dead have left.
--   KEYS[1]  outbox   ARGV[1]  consumer   ARGV[2]  lease_ms   ARGV[3]  idle_ms
--   ARGV[4]  entries at the most, 0 for none   ARGV[5]  how long the first partition says that a dispatcher is alive,
--            in milliseconds; 0 where this is not to be said
-- Answers the entries as XCLAIM does. A dispatcher of a version without leases refreshes each of its entries: so only
-- what nobody has refreshed for idle_ms is taken, and of the dead alone.
local function inherit(KEYS, ARGV)
  local base = KEYS[1]:match('^(.-{%d+}:)')
  redis.call('SET', base .. 'dispatcher:' .. ARGV[1], '', 'PX', ARGV[2])
  if base == 'vs:{0}:' and ARGV[5] ~= '0' then redis.call('SET', base .. 'dispatcher', '1', 'PX', ARGV[5]) end
  local found, most = {}, tonumber(ARGV[4])
  if most == 0 then return found end
  for _, consumer in ipairs(redis.call('XINFO', 'CONSUMERS', KEYS[1], 'dispatch')) do
    local name, pending = consumer[2], consumer[4]
    local dead = name ~= ARGV[1] and pending > 0 and redis.call('EXISTS', base .. 'dispatcher:' .. name) == 0
    if dead and most > 0 then
      local ids = {}
      for i, each in ipairs(redis.call('XPENDING', KEYS[1], 'dispatch', 'IDLE', ARGV[3], '-', '+', most, name)) do
        ids[i] = each[1]
      end
      most = most - #ids
      if #ids > 0 then
        for _, entry in ipairs(redis.call('XCLAIM', KEYS[1], 'dispatch', ARGV[1], 0, unpack(ids))) do
          found[#found + 1] = entry
        end
      end
    end
  end
  return found
end

-- reread: entries that a dispatcher has put aside.   KEYS[1]  outbox   ARGV[1]  consumer   ARGV[…]  ids
-- Answers those that are still there and its own: what another has taken over, that one sends.
local function reread(KEYS, ARGV)
  local own = {}
  for i = 2, #ARGV do
    if #redis.call('XPENDING', KEYS[1], 'dispatch', ARGV[i], ARGV[i], 1, ARGV[1]) == 1 then own[#own + 1] = ARGV[i] end
  end
  if #own == 0 then return own end
  return redis.call('XCLAIM', KEYS[1], 'dispatch', ARGV[1], 0, unpack(own))
end

-- wanted: messages that are late.   KEYS[…]  verification:<id> of each, then consent:<number>:<tenant> of each
--   ARGV[…]  the nonce of each
-- Answers the places of those that nobody waits for any more: ended, given another code since, or opted out meanwhile.
local function wanted(KEYS, ARGV)
  local unwanted = {}
  for i, nonce in ipairs(ARGV) do
    local record = record_of(KEYS[i]:match('^(.-{%d+}:)verification:(.*)$'))
    if not record or record.status ~= 'pending' or record.nonce ~= nonce or get(KEYS[#ARGV + i]) == 'out' then
      unwanted[#unwanted + 1] = i
    end
  end
  return unwanted
end

return {inherit = inherit, reread = reread, wanted = wanted}
