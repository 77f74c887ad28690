-- refunds: what a verification gives back when it ends, or takes back when its start is none. As records and events
-- carry it: "<partition>,<hit>,<nonce>,<time>;" for each hit, which is its key behind `limit:`.

local evaluation = import 'evaluation'
local kind_of = evaluation.kind_of

-- A later version may put more behind the time.
local REFUND = '([^,;]+),([^,;]+),([^,;]+),([^,;]+)[^;]*;'

-- Parts refunds: those whose hit is as `wanted` says of the kind and the hit, and the others.
local function parted(refunds, wanted)
  local taken = ''
  local left = refunds:gsub('[^;]*;', function(refund)
    local _, hit = refund:match(REFUND)
    if not hit or not wanted(kind_of(hit), hit) then return nil end
    taken = taken .. refund
    return ''
  end)
  return taken, left
end

-- Those that a resend takes back, which is no verification of its own, and the others.
local function of_resend(refunds) return parted(refunds, function(kind) return kind.once end) end

-- Those that a message takes back that did not arrive, and the others.
local function of_undelivered(refunds)
  return parted(refunds, function(kind, hit) return kind.undelivered(hit) end)
end

-- The refunds of who mistyped before.
local function corrected(refunds)
  return (refunds:gsub('([^,;]+),([^,;]+),([^;]*);', function(part, hit, rest)
    return part .. ',' .. kind_of(hit).corrected(hit) .. ',' .. rest .. ';'
  end))
end

-- Whether a wrong code is as usual where the verification was sent as it is elsewhere; counts it, or the right one.
local function usual_slip(base, refunds, now, wrong)
  for _, hit in refunds:gmatch(REFUND) do
    local usual = kind_of(hit).usual_slip(base, hit, now, wrong)
    if usual ~= nil then return usual end
  end
end

-- Applies what an approval gives back in this partition, or what a wrong code does; returns the refunds of others.
local function apply(base, refunds, now, wrong)
  local here, others = base:match('{(%d+)}'), ''
  for part, hit, nonce, at in refunds:gmatch(REFUND) do
    local kind, key = kind_of(hit), base .. 'limit:' .. hit
    -- Most kinds give nothing back for a wrong code.
    if not wrong or kind.mistyped then
      if part ~= here then
        others = others .. table.concat({part, hit, nonce, at}, ',') .. ';'
      elseif wrong then
        kind.mistyped(key, tonumber(at))
      else
        kind.approved(base, key, nonce, tonumber(at), now)
      end
    end
  end
  return others
end

-- Applies what a resend, or a message that did not arrive, takes back in this partition; returns what it takes back
-- elsewhere.
local function take_back(base, refunds)
  local here, others = base:match('{(%d+)}'), ''
  for part, hit, nonce, at in refunds:gmatch(REFUND) do
    if part == here then
      kind_of(hit).undo(base, base .. 'limit:' .. hit, nonce, tonumber(at))
    else
      others = others .. table.concat({part, hit, nonce, at}, ',') .. ';'
    end
  end
  return others
end

return {of_resend = of_resend, of_undelivered = of_undelivered, corrected = corrected,
  usual_slip = usual_slip, apply = apply, take_back = take_back}
