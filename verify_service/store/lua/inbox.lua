-- The fake provider's inbox, where one is configured; ciphertext only. Called by the fake provider.
-- put: stores messages, unless behaviour is scripted and has not been consulted yet.
--   KEYS[1]  fake:inbox:<tenant>:<number>   KEYS[2]  fake:inbox:<tenant>:* (all numbers)   KEYS[3]  fake:behaviour
--   ARGV[1]  channel to wake   ARGV[2]  what to say there   ARGV[3]  '1' where behaviour was consulted
--   ARGV[4]  life in ms        ARGV[…]  a sealed message each
-- Answers {'put'} or {'behave', <sealed rules>}.
local function put_messages(KEYS, ARGV)
  if ARGV[3] ~= '1' then
    local rules = redis.call('HGET', KEYS[3], 'rules')
    if rules then return {'behave', rules} end
  end
  for i = 5, #ARGV do
    for k, most in ipairs({100, 500}) do
      redis.call('LPUSH', KEYS[k], ARGV[i])
      redis.call('LTRIM', KEYS[k], 0, most - 1)
      redis.call('PEXPIRE', KEYS[k], ARGV[4])
    end
  end
  redis.call('PUBLISH', ARGV[1], ARGV[2])
  return {'put'}
end

-- take: one use of a rule that has a number of uses. KEYS[1]  fake:behaviour   ARGV[1]  the rule's index
-- Answers 1 where a use was left.
local function take(KEYS, ARGV)
  local field = 'left:' .. ARGV[1]
  local left = tonumber(redis.call('HGET', KEYS[1], field)) or 0
  if left <= 0 then return 0 end
  redis.call('HINCRBY', KEYS[1], field, -1)
  return 1
end

return {put = put_messages, take = take}
