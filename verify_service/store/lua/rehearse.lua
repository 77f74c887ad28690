local discard = import('writing').discard
local start = import('start').start
local check = import('check').check
local explain = import('decisions').explain

-- rehearse: starts, checks and explanations, computed as they would be, and then not written. Called by whoever is
-- about to put a policy in force; the server itself keeps it from writing.
--   KEYS[1]  policy (it names the partition)    ARGV[1]  {{'start', 'check' or 'explain', keys, args}, …}, msgpack
-- Answers {what went wrong or '', the last explanation, msgpack}.
local function rehearse(_, ARGV)
  local judge, explained = {start = start, check = check, explain = explain}, ''
  local done, said = pcall(function()
    for _, step in ipairs(cmsgpack.unpack(ARGV[1])) do
      local answer = judge[step[1]](step[2], step[3])
      if step[1] == 'explain' then explained = answer end
    end
  end)
  discard()
  return {done and '' or type(said) == 'table' and said.err or tostring(said), explained}
end

return {rehearse = rehearse}
