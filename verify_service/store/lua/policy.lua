-- push_policy: appends a revision to the policy's history, where it is the next one. Called by whoever pushes, who
-- sealed it under that number; one who was overtaken seals it again under the next.
--   KEYS[1]  policy     ARGV[1]  the revision's number   ARGV[2]  the sealed revision
-- Answers 1, or 0 where the history has grown meanwhile.
local function push_policy(KEYS, ARGV)
  if redis.call('HLEN', KEYS[1]) + 1 ~= tonumber(ARGV[1]) then return 0 end
  return redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
end

return {push_policy = push_policy}
