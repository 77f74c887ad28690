local get = import('writing').get
local common = import 'common'
local record_of, save_record, sealed_of, note, emit, finish =
  common.record_of, common.save_record, common.sealed_of, common.note, common.emit, common.finish

-- cancel: ends a pending verification of the tenant, as canceled or, by its caller's word alone, as approved: no code
-- was compared, so no limit gets a start back for it, and no detector hears of it. Called by the service.
--   KEYS[1]  verification:<id>     ARGV[1]  now   ARGV[2]  keep_events   ARGV[3]  tenant
--   ARGV[4]  its status then, canceled where none is named
-- Answers 1 where it ended here, 0 where there was no live one.
local function cancel(KEYS, ARGV)
  local now, tenant, status = tonumber(ARGV[1]), ARGV[3], ARGV[4] or 'canceled'
  local base, id = KEYS[1]:match('^(.-{%d+}:)'), KEYS[1]:match('verification:(.*)$')
  local record = record_of(base, id)
  if not record or record.tenant ~= tenant or record.status ~= 'pending' or record.expires_at <= now then return 0 end
  finish(base, id, record, status, now)
  note(record, now, status, nil, status == 'approved' and 'by its caller, without a code' or nil)
  save_record(base, id, record)
  if record.test == '' then emit(base, ARGV[2], now, status, id, record) end
  return 1
end

-- read: a verification as it stands.     KEYS[1]  verification:<id>
-- Answers {record, sealed number or ''}, or false.
local function read(KEYS)
  local packed = get(KEYS[1])
  if not packed then return false end
  local base, id = KEYS[1]:match('^(.-{%d+}:)verification:(.*)$')
  local record = record_of(base, id)
  return {packed, record and sealed_of(base, id, record) or ''}
end

return {cancel = cancel, read = read}
