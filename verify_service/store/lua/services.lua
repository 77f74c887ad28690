-- keep_service: writes a tenant's service down. Called by what makes or changes one.
--   KEYS[1]  services:<tenant>, a hash from SID to service
--   ARGV[1]  SID   ARGV[2]  service   ARGV[3]  how many there may be, of a new one; '' of one that must be there
-- Answers 1, or 0 where it is not there, or there is no room.
local function keep_service(KEYS, ARGV)
  local key, sid, service, most = KEYS[1], ARGV[1], ARGV[2], tonumber(ARGV[3])
  if most and redis.call('HLEN', key) >= most then return 0 end
  if not most and redis.call('HEXISTS', key, sid) == 0 then return 0 end
  redis.call('HSET', key, sid, service)
  return 1
end

return {keep_service = keep_service}
