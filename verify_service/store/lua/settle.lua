-- settle: what became of an outbox entry: acknowledged and deleted together, and written into the timeline. Called by
-- the dispatcher.
--   KEYS[1]  outbox   ARGV[1]  entry   ARGV[2]  verification id   ARGV[3]  keep_events   ARGV[4]  tenant
--   ARGV[…]  four each: at, event, provider, reason
-- Answers 1, or 0 where the entry had been settled or withdrawn: then nothing is written.
local function settle(KEYS, ARGV)
  local base = KEYS[1]:match('^(.-{%d+}:)')
  redis.call('XACK', KEYS[1], 'dispatch', ARGV[1])
  if redis.call('XDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
  local id = ARGV[2]
  local known = redis.call('EXISTS', base .. 'verification:' .. id) == 1
  for i = 5, #ARGV, 4 do
    local at, event, provider, reason = tonumber(ARGV[i]), ARGV[i + 1], ARGV[i + 2], ARGV[i + 3]
    if known then note(base, id, at, event, provider, reason) end
    emit(base, ARGV[3], at, event, id, {'tenant', ARGV[4], 'provider', provider, 'reason', reason})
  end
  return 1
end

-- report: a receipt that came after the entry was settled. Called by the dispatcher.
--   KEYS[1]  verification:<id>   ARGV[1]  at  ARGV[2]  event  ARGV[3]  provider  ARGV[4]  reason  ARGV[5]  keep_events
-- Answers 1, or 0 for an unknown verification.
local function report(KEYS, ARGV)
  local base, id = KEYS[1]:match('^(.-{%d+}:)'), KEYS[1]:match('verification:(.*)$')
  local tenant = redis.call('HGET', KEYS[1], 'tenant')
  if not tenant then return 0 end
  local at = tonumber(ARGV[1])
  note(base, id, at, ARGV[2], ARGV[3], ARGV[4])
  emit(base, ARGV[5], at, ARGV[2], id, {'tenant', tenant, 'provider', ARGV[3], 'reason', ARGV[4]})
  return 1
end

register('settle', settle)
register('report', report)
