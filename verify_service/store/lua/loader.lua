-- loader: what Redis calls. A library that is loaded sees no `math`, `cmsgpack` or `ipairs`, so it registers names
-- alone, and each source runs with the first call of a function that needs it. `SOURCES` has them by name, as
-- functions; `FUNCTIONS` what is to be registered: {name, source, flag or nothing}, in store/functions.py.

local modules = {}

-- What a source returns; it runs once. Asked for what it does not return, it raises.
local function import(name)
  local found = modules[name]
  if found then return found end
  if found == false or not SOURCES[name] then error('no source can be imported here by the name of ' .. name) end
  modules[name] = false
  found = setmetatable(SOURCES[name](import), {__index = function(_, asked) error(name .. ' returns no ' .. asked) end})
  modules[name] = found
  return found
end

-- A function's last argument is until when it may run, in milliseconds of the server's own clock, or '': what a stopped
-- server finds in its buffers when it goes on was given up by its caller long ago. But for a sender's line, which all
-- dispatchers must see alike, it is the only use of that clock; no rule sees it.
local function is_late(deadline)
  if deadline == '' then return false end
  local clock = redis.call('TIME')
  return clock[1] * 1000 + clock[2] / 1000 > tonumber(deadline)
end

local function register(name, source, flag)
  local callback, discard, flush
  local function in_time(KEYS, ARGV)
    if not callback then
      callback, discard, flush = import(source)[name], import('writing').discard, import('writing').flush
    end
    if is_late(table.remove(ARGV)) then return redis.error_reply('LATE this call was given up by its caller') end
    -- Of a call that failed, what it would have written may still wait.
    discard()
    local answer = callback(KEYS, ARGV)
    flush()
    return answer
  end
  redis.register_function{function_name = 'vs_' .. name .. '_' .. VERSION, callback = in_time, flags = {flag}}
end

for place = 1, #FUNCTIONS do register(FUNCTIONS[place][1], FUNCTIONS[place][2], FUNCTIONS[place][3]) end
