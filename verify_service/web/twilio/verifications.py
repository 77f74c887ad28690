"""Verifications and their checks: the way of a code, as Twilio's SDKs ask for it."""

import msgspec
from flask import Response
from flask import request as current

from verify_service.asking import Target
from verify_service.errors import Forbidden, InvalidNumber, InvalidRequest, VerificationNotFound
from verify_service.model import Verification
from verify_service.services import NAME, NAME_WORDS, VerifyService
from verify_service.web import bodies
from verify_service.web.answers import json
from verify_service.web.context import context
from verify_service.web.native import schemas
from verify_service.web.twilio import answers
from verify_service.web.twilio.surface import Refused, basic, form, not_offered, service_of, twilio

# What Twilio has and this service has not, by parameter: it is refused rather than passed over.
_NOT_OFFERED = {
    "CustomCode": "a code of the caller's own",
    "CustomMessage": "a text of the caller's own",
    "SendDigits": "dialling an extension",
    "TemplateSid": "a template of Twilio's",
    "TemplateCustomSubstitutions": "a template of Twilio's",
    "ChannelConfiguration": "a template of Twilio's",
    "EnableSnaClientToken": "silent network authentication",
    "SnaClientToken": "silent network authentication",
}
# `Tags` are Twilio's own bookkeeping, and say nothing to us.
_CREATE = {
    *("To", "Channel", "CustomFriendlyName", "Locale", "Amount", "Payee", "RateLimits", "AppHash", "DeviceIp"),
    *("RiskCheck", "Tags", *_NOT_OFFERED),
} - {"SnaClientToken"}
_rate_limits = msgspec.json.Decoder(dict[str, str | int])
_CHECK = {"Code", "To", "VerificationSid", "Amount", "Payee", "SnaClientToken"}


@twilio.post("/Services/<service_sid>/Verifications")
@twilio.guarded("verify")
def create_verification(tenant: str, service_sid: str) -> Response:
    """Starts one, or sends a pending one's code again. A second look at the store only there: the times of the earlier
    messages are in the answer."""
    given = _offered(form(_CREATE))
    service, payment = service_of(tenant, service_sid), _payment(given)
    said = {
        "to": _number(_needed(given, "To")),
        "channel": _channel(_needed(given, "Channel")),
        "purpose": service.purpose,
        "locale": given.get("Locale"),
        "ip": bodies.address(given.get("DeviceIp") or None),
        "binding": payment,
        "app_hash": given.get("AppHash"),
        "keys": _keys(given.get("RateLimits")),
    }
    body = bodies.converted(schemas.StartBody, {name: value for name, value in said.items() if value})
    here = context()
    ours = here.service
    found = ours.start(
        tenant,
        ours.parse_start(body),
        digits=service.code_length,
        brand=_brand(given.get("CustomFriendlyName")) or service.name,
        risk_check=_risk_check(given.get("RiskCheck")),
    )
    if found.sends_left + 1 < ours.policy.code.sends:
        found = msgspec.structs.replace(found, timeline=ours.status(tenant, found.id).timeline)
    return json(answers.verification(tenant, service, found, here.clock.now(), payment), 201)


@twilio.get("/Services/<service_sid>/Verifications/<ref>")
@twilio.guarded("verify")
def verification(tenant: str, service_sid: str, ref: str) -> Response:
    service = service_of(tenant, service_sid)
    found = _pending(tenant, service, ref)
    return json(answers.verification(tenant, service, found, found.timeline[-1].at))


@twilio.post("/Services/<service_sid>/Verifications/<ref>")
@twilio.guarded("verify")
def end_verification(tenant: str, service_sid: str, ref: str) -> Response:
    """Ends one, as canceled or as approved by the caller's word."""
    status = _needed(form({"Status"}), "Status")
    ours = context().service
    if status not in ("canceled", "approved"):
        raise InvalidRequest("Status", "is canceled or approved")
    service = service_of(tenant, service_sid)
    found = _pending(tenant, service, ref)
    (ours.cancel if status == "canceled" else ours.approve)(tenant, found.id)
    ended = msgspec.structs.replace(found, status=status)
    return json(answers.verification(tenant, service, ended, context().clock.now()))


@twilio.post("/Services/<service_sid>/VerificationCheck")
@twilio.guarded("verify")
def check_verification(tenant: str, service_sid: str) -> Response:
    """A wrong code is an answer like another: `valid` is false, and the status pending until no check is left."""
    given = _offered(form(_CHECK))
    service, payment = service_of(tenant, service_sid), _payment(given)
    code = bodies.code(_needed(given, "Code"))
    sid, to = given.get("VerificationSid"), given.get("To")
    if bool(sid) == bool(to):
        raise InvalidRequest("To", "or `VerificationSid` is required, and only one of them")
    where: str | Target = Target(_number(to), None, service.purpose) if to else _id(sid or "")
    here = context()
    found = here.service.check(tenant, where, code, payment, purpose=service.purpose)
    shown: dict[str, object] = {
        "sid": answers.verification_sid(found.id),
        "service_sid": service.sid,
        "account_sid": here.config.accounts[tenant],
        "to": found.to,
        "channel": answers.channel(found.channel),
        "status": answers.STATUSES.get(found.status, found.status),
        "valid": found.approved,
        "amount": payment and payment["amount"],
        "payee": payment and payment["payee"],
        "sna_attempts_error_codes": [],
        "date_created": answers.at(found.created_at),
        "date_updated": answers.at(here.clock.now()),
    }
    return json(shown | {"receipt": found.receipt} if found.receipt else shown)


def _pending(tenant: str, service: VerifyService, ref: str) -> Verification:
    """The service's verification by its SID or its number, which is pending. Raises VerificationNotFound."""
    ours = context().service
    if "@" in ref or ref.startswith("+"):
        try:
            found_id = ours.live_id(tenant, Target(ref, None, service.purpose))
        except InvalidNumber:
            raise VerificationNotFound from None
    else:
        found_id = _id(ref)
    found = ours.status(tenant, found_id)
    if found.purpose != service.purpose or found.status != "pending":
        raise VerificationNotFound
    return found


def _id(sid: str) -> str:
    found = answers.verification_id(sid)
    if found is None:
        raise VerificationNotFound
    return found


def _needed(given: dict[str, str], name: str) -> str:
    if not given.get(name):
        raise InvalidRequest(name, "is required")
    return given[name]


def _number(written: str) -> str:
    """With its +, where that was sent as it is: in a form it stands for a space, with which no number begins."""
    return f"+{written[1:]}" if written.startswith(" ") and written[1:2].isdecimal() else written


def _offered(given: dict[str, str]) -> dict[str, str]:
    """The same. Raises Refused where one of the parameters is of what is not offered."""
    for name, what in _NOT_OFFERED.items():
        if given.get(name, "false") not in ("", "false"):
            raise not_offered(f"`{name}`, {what},")
    return given


def _payment(given: dict[str, str]) -> dict[str, str] | None:
    amount, payee = given.get("Amount"), given.get("Payee")
    if bool(amount) != bool(payee):
        raise Refused(60206, "one is of no use without the other")
    return {"amount": amount, "payee": payee} if amount and payee else None


def _channel(theirs: str) -> str | None:
    """Ours; None where the recipient says it."""
    if theirs == "auto":
        return None
    if theirs in ("sna", "silent"):
        raise not_offered(f"the channel `{theirs}`")
    if theirs not in answers.CHANNELS:
        raise InvalidRequest("Channel", f"is one of {', '.join([*answers.CHANNELS, 'auto'])}")
    return answers.CHANNELS[theirs]


def _brand(name: str | None) -> str:
    if name and not NAME.fullmatch(name):
        raise InvalidRequest("CustomFriendlyName", NAME_WORDS)
    return name or ""


def _risk_check(said: str | None) -> bool:
    if said not in (None, "", "enable", "disable"):
        raise InvalidRequest("RiskCheck", "is enable or disable")
    if said == "disable" and "admin" not in basic(current).scopes:
        raise Forbidden("`RiskCheck` is disabled only by keys with the scope `admin`")
    return said != "disable"


def _keys(text: str | None) -> dict[str, str] | None:
    """The caller's own dimensions: a JSON object from name to value. Twilio lets names have capitals and hyphens."""
    if not text:
        return None
    try:
        found = _rate_limits.decode(text)
    except (msgspec.DecodeError, RecursionError):
        raise InvalidRequest("RateLimits", "is a JSON object from the names of limits to values") from None
    return {name.lower().replace("-", "_"): str(value) for name, value in found.items()}
