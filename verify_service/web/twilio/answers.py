"""What Twilio's API answers, with every field that its public document names."""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any
from urllib.parse import urlencode

from flask import Response, request

from verify_service.duration import rfc3339
from verify_service.errors import InvalidRequest
from verify_service.model import Verification
from verify_service.services import VerifyService
from verify_service.web.answers import json
from verify_service.web.context import context
from verify_service.web.twilio.surface import PREFIX, root

CHANNELS = {"sms": "sms", "call": "voice", "email": "email", "whatsapp": "whatsapp", "rcs": "rcs"}
_SHOWN = {ours: theirs for theirs, ours in CHANNELS.items()}
STATUSES = {"exhausted": "max_attempts_reached"}
_VERIFICATION = re.compile(r"VE([0-9a-f]{32})")
_INSTEAD = re.compile(r"by \w+ in place of (\w+)")
MOST_A_PAGE = 1000


def at(ms: int) -> str:
    """A moment as the SDKs read it: whole seconds, and Z."""
    return _second(ms // 1000)


@lru_cache(1024)  # Under load, thousands of answers name the same seconds.
def _second(second: int) -> str:
    return f"{rfc3339(second * 1000)[:19]}Z"


def at_or_none(ms: int) -> str | None:
    return at(ms) if ms else None


def channel(ours: str) -> str:
    return _SHOWN.get(ours, ours)


def verification_sid(verification_id: str) -> str:
    return f"VE{verification_id[3:]}"


def verification_id(sid: str) -> str | None:
    """Ours of a SID; None of what is none."""
    match = _VERIFICATION.fullmatch(sid)
    return f"ve_{match[1]}" if match else None


def attempt_sid(verification_id: str, send: int) -> str:
    """Of a verification's first, second, … message. It follows from these, so no table of them is kept; of 112 random
    bits, no two verifications are neighbours."""
    return f"VL{int(verification_id[3:], 16) ^ send:032x}"


def verification(
    tenant: str, service: VerifyService, found: Verification, updated_at: int, payment: dict[str, str] | None = None
) -> dict[str, Any]:
    """A verification. `payment` is known only to who sends it: no binding is kept in clear."""
    sid = verification_sid(found.id)
    return {
        "sid": sid,
        "service_sid": service.sid,
        "account_sid": context().config.accounts[tenant],
        "to": found.to,
        "channel": channel(found.channel),
        "status": STATUSES.get(found.status, found.status),
        "valid": found.status == "approved",
        "lookup": {},
        "amount": payment and payment["amount"],
        "payee": payment and payment["payee"],
        "send_code_attempts": list(_attempts(found)),
        "date_created": at(found.created_at),
        "date_updated": at(updated_at),
        "sna": None,
        "url": f"{root()}/Services/{service.sid}/Verifications/{sid}",
    }


def _attempts(found: Verification) -> Iterator[dict[str, str]]:
    """Each message, oldest first: the timeline says when, and where one went another way than the one before it. One
    that has no line yet, as what has only just begun, went when it began."""
    if not found.timeline:
        first = {"time": at(found.created_at), "channel": channel(found.channel).upper()}
        yield first | {"attempt_sid": attempt_sid(found.id, 1)}
        return
    sends = [(line.at, line.reason or "") for line in found.timeline if line.event == "queued"]
    ways = [found.channel]
    for _, reason in reversed(sends[1:]):
        before = _INSTEAD.fullmatch(reason)
        ways.append(before[1] if before else ways[-1])
    times = [when for when, _ in sends] or [found.created_at]
    for place, (when, way) in enumerate(zip(times, reversed(ways), strict=True), 1):
        yield {"time": at(when), "channel": channel(way).upper(), "attempt_sid": attempt_sid(found.id, place)}


def page_size() -> int:
    """How many items a page is to have. Raises InvalidRequest."""
    return _figure("PageSize", 50, 1, MOST_A_PAGE)


def page(key: str, items: Sequence[dict[str, Any]]) -> Response:
    """The page that `Page` and `PageSize` ask for, and where the others are. Raises InvalidRequest."""
    size, number = page_size(), _figure("Page", 0, 0, 1_000_000)
    path = f"{root()}{request.path.removeprefix(PREFIX)}"

    def where(of: int) -> str:
        return f"{path}?{urlencode({**request.args, 'PageSize': size, 'Page': of})}"

    begin = size * number
    more, before = begin + size < len(items), number > 0
    meta = {
        "key": key,
        "page": number,
        "page_size": size,
        "first_page_url": where(0),
        "previous_page_url": where(number - 1) if before else None,
        "url": where(number),
        "next_page_url": where(number + 1) if more else None,
    }
    return json({key: items[begin : begin + size], "meta": meta})


def page_of_token(key: str, items: Sequence[dict[str, Any]], after: str) -> Response:
    """The page that `PageToken` asks for, of a list without an end that is known; `after` is the next one's token, ''
    behind the last."""
    path, given = f"{root()}{request.path.removeprefix(PREFIX)}", {**request.args, "PageSize": page_size()}

    def where(**more: str) -> str:
        rest = {name: value for name, value in given.items() if name not in ("Page", "PageToken")}
        return f"{path}?{urlencode(rest | more)}"

    meta = {
        "key": key,
        "page": 0,
        "page_size": given["PageSize"],
        "first_page_url": where(),
        "previous_page_url": None,
        "url": f"{path}?{urlencode(given)}",
        "next_page_url": where(PageToken=after) if after else None,
    }
    return json({key: items, "meta": meta})


def _figure(name: str, default: int, least: int, most: int) -> int:
    text = request.args.get(name, str(default))
    if not re.fullmatch("[0-9]{1,7}", text) or not least <= int(text) <= most:
        raise InvalidRequest(name, f"is a number from {least} to {most}")
    return int(text)
