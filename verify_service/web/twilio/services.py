"""Services: what a code's message calls its sender, what its code is for, and how long that is."""

import secrets
from contextlib import AbstractContextManager
from typing import Any

import msgspec
from flask import Response

from verify_service.errors import InvalidRequest, NotFound
from verify_service.services import LENGTHS, NAME, NAME_WORDS, VerifyService
from verify_service.store.audit import Begun
from verify_service.web.answers import json
from verify_service.web.auth import caller
from verify_service.web.context import context
from verify_service.web.twilio import answers
from verify_service.web.twilio.surface import form, not_offered, root, service_of, twilio

# What Twilio lets a service be told, and how it is here whatever is said: another value is not offered.
_FIXED = {
    "LookupEnabled": "false",
    "SkipSmsToLandlines": "false",
    "DtmfInputRequired": "false",
    "DoNotShareWarningEnabled": "false",
    "CustomCodeEnabled": "false",
    "Psd2Enabled": "true",
    "VerifyEventSubscriptionEnabled": "false",
    "Totp.TimeStep": "30",
    "Totp.CodeLength": "6",
    "Totp.Skew": "1",
}
_FORM = {"FriendlyName", "CodeLength", *_FIXED}
_LINKS = {
    "verifications": "Verifications",
    "verification_checks": "VerificationCheck",
    "rate_limits": "RateLimits",
    "entities": "Entities",
}


@twilio.get("/Services")
@twilio.guarded("verify", "read")
def services(tenant: str) -> Response:
    ours = (*context().config.services.get(tenant, ()), *context().store.services.all(tenant))
    return answers.page("services", [_shown(tenant, service) for service in ours])


@twilio.post("/Services")
@twilio.guarded("admin")
def make_service(tenant: str) -> Response:
    """Makes one with a purpose of its own, so that no code of another is good for it."""
    given = _given()
    if not given.get("FriendlyName"):
        raise InvalidRequest("FriendlyName", "is required")
    random, now = secrets.token_hex(16), context().clock.now()
    service = _told(VerifyService(sid=f"VA{random}", purpose=random, created_at=now, updated_at=now), given)
    with _audited("make", tenant, service.sid):
        if not context().store.services.add(tenant, service):
            raise not_offered("one more service than this tenant has")
    return json(_shown(tenant, service), 201)


@twilio.get("/Services/<service_sid>")
@twilio.guarded("verify", "read")
def service(tenant: str, service_sid: str) -> Response:
    return json(_shown(tenant, service_of(tenant, service_sid)))


@twilio.post("/Services/<service_sid>")
@twilio.guarded("admin")
def change_service(tenant: str, service_sid: str) -> Response:
    """A code that is pending keeps its length, and its resend brings a new one of the new length."""
    given = _given()
    found = _made_here(tenant, service_sid)
    changed = msgspec.structs.replace(_told(found, given), updated_at=context().clock.now())
    with _audited("change", tenant, service_sid):
        if not context().store.services.change(tenant, changed):
            raise NotFound("it has just been deleted")
    return json(_shown(tenant, changed))


@twilio.delete("/Services/<service_sid>")
@twilio.guarded("admin")
def delete_service(tenant: str, service_sid: str) -> Response:
    _made_here(tenant, service_sid)
    with _audited("delete", tenant, service_sid):
        context().store.services.delete(tenant, service_sid)
    return Response(status=204)


def _audited(act: str, tenant: str, sid: str) -> AbstractContextManager[Begun]:
    here = context()
    return here.audit.act(here.clock.now(), caller(tenant), act, f"service:{sid}", tenant=tenant)


def _given() -> dict[str, str]:
    given = form(_FORM)
    for name, fixed in _FIXED.items():
        if given.get(name, fixed).lower() not in ("", fixed):
            raise not_offered(f"`{name}={given[name][:8]}`")
    return given


def _made_here(tenant: str, sid: str) -> VerifyService:
    """The service, which this API made. Raises NotFound, and Refused for one of verify.toml."""
    found = service_of(tenant, sid)
    if found.written:
        raise not_offered("a change by this API of a service that is written in verify.toml")
    return found


def _told(service: VerifyService, given: dict[str, str]) -> VerifyService:
    """The service as the form has it. Raises InvalidRequest."""
    name, length = given.get("FriendlyName") or service.name, given.get("CodeLength")
    if not NAME.fullmatch(name):
        raise InvalidRequest("FriendlyName", NAME_WORDS)
    if length and length not in map(str, LENGTHS):
        raise InvalidRequest("CodeLength", f"is {LENGTHS[0]} to {LENGTHS[-1]}: a shorter code is too easy to guess")
    return msgspec.structs.replace(service, name=name, code_length=int(length or service.code_length))


def _shown(tenant: str, service: VerifyService) -> dict[str, Any]:
    url = f"{root()}/Services/{service.sid}"
    config = context().config
    name = service.name or config.tenants[tenant].brand
    return {
        "sid": service.sid,
        "account_sid": config.accounts[tenant],
        "friendly_name": name,
        "code_length": max(service.code_length, context().service.policy.code.digits),
        "lookup_enabled": False,
        "psd2_enabled": True,
        "skip_sms_to_landlines": False,
        "dtmf_input_required": False,
        "tts_name": None,
        "do_not_share_warning_enabled": False,
        "custom_code_enabled": False,
        "push": None,
        "totp": {"issuer": name, "time_step": 30, "code_length": 6, "skew": 1},
        "default_template_sid": None,
        "whatsapp": None,
        "passkeys": None,
        "verify_event_subscription_enabled": False,
        "date_created": answers.at_or_none(service.created_at),
        "date_updated": answers.at_or_none(service.updated_at),
        "url": url,
        "links": {name: f"{url}/{path}" for name, path in _LINKS.items()},
    }
