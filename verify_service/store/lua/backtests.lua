-- Backtests that run beside the service, one at a time: who holds the lease runs. Its end is the server's own clock's.
--   KEYS[1]  backtest:lease, the id of the one that runs   KEYS[2]  backtest:<id>, a hash   ARGV[1]  its id

-- begin_backtest: takes the lease.
--   KEYS[3]  backtest:latest   ARGV[2]  lease in ms   ARGV[3]  how long all is kept, in ms   ARGV[…]  fields and values
-- Answers the id of the one that runs now, which is another's where one was running.
local function begin_backtest(KEYS, ARGV)
  local running = redis.call('GET', KEYS[1])
  if running then return running end
  redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
  redis.call('HSET', KEYS[2], 'state', 'running', unpack(ARGV, 4))
  redis.call('PEXPIRE', KEYS[2], ARGV[3])
  redis.call('SET', KEYS[3], ARGV[1], 'PX', ARGV[3])
  return ARGV[1]
end

-- tell_backtest: renews the lease, and writes down how far it is; with a `state`, that was its end.
--   ARGV[2]  lease in ms   ARGV[…]  fields and values, none where it only goes on
-- Answers 1, or 0 where it was canceled or its lease ran out: it is to stop.
local function tell_backtest(KEYS, ARGV)
  if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
  if redis.call('HGET', KEYS[2], 'state') ~= 'running' then
    redis.call('DEL', KEYS[1])
    return 0
  end
  if #ARGV > 2 then redis.call('HSET', KEYS[2], unpack(ARGV, 3)) end
  if redis.call('HGET', KEYS[2], 'state') == 'running' then
    redis.call('PEXPIRE', KEYS[1], ARGV[2])
  else
    redis.call('DEL', KEYS[1])
  end
  return 1
end

-- cancel_backtest: has it stop; its lease lasts until it has.   ARGV[2]  who does it
-- Answers 1, or 0 where it does not run.
local function cancel_backtest(KEYS, ARGV)
  if redis.call('GET', KEYS[1]) ~= ARGV[1] or redis.call('HGET', KEYS[2], 'state') ~= 'running' then return 0 end
  redis.call('HSET', KEYS[2], 'state', 'canceled', 'why', 'by ' .. ARGV[2])
  return 1
end

return {begin_backtest = begin_backtest, tell_backtest = tell_backtest, cancel_backtest = cancel_backtest}
