-- refunds: what a verification gives back when it ends, or takes back when its start is none: lines that layouts has.

local layouts = import 'layouts'
local each_refund, line_refund = layouts.each_refund, layouts.line_refund
local keeping_last = import('common').keeping_last
local kind_of = import('evaluation').kind_of

-- The refunds of a text, each with its kind. A call asks several times of the same.
local lines_of = keeping_last(function(refunds)
  local lines = {}
  for refund in each_refund(refunds) do
    refund.kind = kind_of(refund.hit)
    lines[#lines + 1] = refund
  end
  return lines
end)

-- Parts refunds: those whose hit is as `wanted` says of the kind and the hit, and the others.
local function parted(refunds, wanted)
  local taken, left = '', ''
  for _, refund in ipairs(lines_of(refunds)) do
    if wanted(refund.kind, refund.hit) then
      taken = taken .. line_refund(refund)
    else
      left = left .. line_refund(refund)
    end
  end
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
  local found = ''
  for refund in each_refund(refunds) do
    refund.hit = kind_of(refund.hit).corrected(refund.hit)
    found = found .. line_refund(refund)
  end
  return found
end

-- Whether a wrong code is as usual where the verification was sent as it is elsewhere; counts it, or the right one.
local function usual_slip(base, refunds, now, wrong)
  for _, refund in ipairs(lines_of(refunds)) do
    local usual = refund.kind.usual_slip(base, refund.hit, now, wrong)
    if usual ~= nil then return usual end
  end
end

-- Does `here(kind, key, refund)` for those of this partition; returns the others.
local function apart(base, refunds, here)
  local partition, others = base:match('{(%d+)}'), ''
  for _, refund in ipairs(lines_of(refunds)) do
    if refund.partition == partition then
      here(refund.kind, base .. 'limit:' .. refund.hit, refund)
    else
      others = others .. line_refund(refund)
    end
  end
  return others
end

-- Applies what an approval gives back in this partition, or what a wrong code does; returns the refunds of others.
local function apply(base, refunds, now, wrong)
  if wrong then
    -- Most kinds give nothing back for a wrong code.
    refunds = parted(refunds, function(kind) return kind.mistyped end)
    return apart(base, refunds, function(kind, key, refund) kind.mistyped(key, tonumber(refund.at)) end)
  end
  return apart(base, refunds, function(kind, key, refund)
    kind.approved(base, key, refund.nonce, tonumber(refund.at), now, true)
  end)
end

-- Applies what a resend, or a message that did not arrive, takes back in this partition; returns what it takes back
-- elsewhere.
local function take_back(base, refunds)
  return apart(base, refunds, function(kind, key, refund) kind.undo(base, key, refund.nonce, tonumber(refund.at)) end)
end

return {of_resend = of_resend, of_undelivered = of_undelivered, corrected = corrected,
  usual_slip = usual_slip, apply = apply, take_back = take_back}
