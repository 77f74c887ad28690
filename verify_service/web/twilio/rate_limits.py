"""Rate limits and their buckets, as Twilio's API shows them: the policy's limits on the caller's own keys. They are
written where all limits are, in the policy."""

from collections.abc import Mapping
from typing import Any

from flask import Response

from verify_service.errors import NotFound
from verify_service.policy.sections import LimitConfig
from verify_service.services import VerifyService, derived
from verify_service.web.answers import json
from verify_service.web.context import context
from verify_service.web.twilio import answers
from verify_service.web.twilio.surface import not_offered, root, service_of, twilio

_KEY = "key:"
_LISTED = "/Services/<service_sid>/RateLimits"
_ONE = f"{_LISTED}/<sid>"
_BUCKETS = f"{_ONE}/Buckets"


@twilio.get(_LISTED)
@twilio.guarded("verify", "read")
def rate_limits(tenant: str, service_sid: str) -> Response:
    service = service_of(tenant, service_sid)
    return answers.page("rate_limits", [_shown(tenant, service, name, limits) for name, limits in _by_name().items()])


@twilio.get(_ONE)
@twilio.guarded("verify", "read")
def rate_limit(tenant: str, service_sid: str, sid: str) -> Response:
    service = service_of(tenant, service_sid)
    return json(_shown(tenant, service, *_named(service, sid)))


@twilio.get(_BUCKETS)
@twilio.guarded("verify", "read")
def buckets(tenant: str, service_sid: str, sid: str) -> Response:
    return answers.page("buckets", _buckets(tenant, service_of(tenant, service_sid), sid))


@twilio.get(f"{_BUCKETS}/<bucket_sid>")
@twilio.guarded("verify", "read")
def bucket(tenant: str, service_sid: str, sid: str, bucket_sid: str) -> Response:
    found = _buckets(tenant, service_of(tenant, service_sid), sid)
    shown = next((each for each in found if each["sid"] == bucket_sid), None)
    if shown is None:
        raise NotFound("this rate limit has no such bucket")
    return json(shown)


@twilio.route(_LISTED, methods=["POST"])
@twilio.route(_ONE, methods=["POST", "DELETE"])
@twilio.route(_BUCKETS, methods=["POST"])
@twilio.route(f"{_BUCKETS}/<bucket_sid>", methods=["POST", "DELETE"])
@twilio.guarded("verify")
def write_rate_limit(tenant: str, service_sid: str, sid: str = "", bucket_sid: str = "") -> Response:
    service_of(tenant, service_sid)
    raise not_offered('writing a limit by this API: write `[[limit]]` with `of = ["key:…"]` in the policy;')


def _by_name() -> Mapping[str, list[LimitConfig]]:
    """The policy's limits that count a key, by the key's name."""
    found: dict[str, list[LimitConfig]] = {}
    for limit in context().service.policy.limit:
        for dimension in limit.of if limit.mode != "off" else ():
            if dimension.startswith(_KEY):
                found.setdefault(dimension.removeprefix(_KEY), []).append(limit)
    return found


def _sid(service: VerifyService, name: str) -> str:
    return derived("RK", service.sid, name)


def _named(service: VerifyService, sid: str) -> tuple[str, list[LimitConfig]]:
    for name, limits in _by_name().items():
        if _sid(service, name) == sid:
            return name, limits
    raise NotFound("there is no such rate limit")


def _buckets(tenant: str, service: VerifyService, sid: str) -> list[dict[str, Any]]:
    _, limits = _named(service, sid)
    found = []
    for limit in limits:
        for amount, ms in limit.windows:
            bucket_sid = derived("BL", sid, limit.name, str(ms))
            found.append(
                {
                    "sid": bucket_sid,
                    "rate_limit_sid": sid,
                    "max": amount,
                    "interval": ms // 1000,
                    **_common(tenant, service, f"RateLimits/{sid}/Buckets/{bucket_sid}"),
                }
            )
    return found


def _shown(tenant: str, service: VerifyService, name: str, limits: list[LimitConfig]) -> dict[str, Any]:
    sid = _sid(service, name)
    common = _common(tenant, service, f"RateLimits/{sid}")
    return {
        "sid": sid,
        "unique_name": name,
        "description": "; ".join(f"{limit.name}: {limit.allow}" for limit in limits),
        **common,
        "links": {"buckets": f"{common['url']}/Buckets"},
    }


def _common(tenant: str, service: VerifyService, path: str) -> dict[str, Any]:
    """What every answer here has. When a limit was made, the policy does not say."""
    return {
        "service_sid": service.sid,
        "account_sid": context().config.accounts[tenant],
        "date_created": None,
        "date_updated": None,
        "url": f"{root()}/Services/{service.sid}/{path}",
    }
