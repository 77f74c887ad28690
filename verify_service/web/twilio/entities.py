"""Entities: a service's users, who have factors and challenges.

An entity is the user `<service SID>:<identity>` of the native API: those of two services never cross.
"""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from flask import Response, request

from verify_service.errors import InvalidRequest, NotFound, RateLimited
from verify_service.factors import FactorState
from verify_service.factors.challenges import Challenges
from verify_service.services import VerifyService, derived
from verify_service.typed import code as typed_code
from verify_service.web.answers import json
from verify_service.web.auth import caller
from verify_service.web.context import context
from verify_service.web.twilio import answers
from verify_service.web.twilio.surface import Refused, form, root, service_of, twilio

_ENTITIES = "/Services/<service_sid>/Entities"
ENTITY = f"{_ENTITIES}/<identity>"
_IDENTITY = re.compile(r"(?!-)[0-9A-Za-z-]{8,64}(?<!-)")
_FACTOR_SID = re.compile(r"YF([0-9a-f]{32})")
_CODE = re.compile(r"[0-9]{6,8}")
_PLACE = re.compile(r"(?:[0-9]{1,3}\.[0-9]{1,18})?")
_LOOKS = 100
"""How often one request asks the store for more, each time as many keys as a page has items."""


class Person(NamedTuple):
    """Whom a path names: an entity of a service, and the user that it is here."""

    tenant: str
    service: VerifyService
    identity: str

    @property
    def user(self) -> str:
        return f"{self.service.sid}:{self.identity}"

    @property
    def sid(self) -> str:
        return derived("YE", self.service.sid, self.identity)

    @property
    def url(self) -> str:
        return f"{root()}/Services/{self.service.sid}/Entities/{self.identity}"

    def common(self) -> dict[str, Any]:
        """What every answer about it has."""
        account = context().config.accounts[self.tenant]
        return {"account_sid": account, "service_sid": self.service.sid, "identity": self.identity}

    def factors(self) -> list[FactorState]:
        """Those of Twilio's kind, oldest first."""
        found = context().factors.look(self.tenant, self.user).factors
        return sorted((each for each in found if each.kind == "totp"), key=lambda each: (each.created_at, each.id))

    def factor(self, sid: str) -> FactorState:
        """Raises NotFound."""
        for each in self.factors():
            if factor_sid(each.id) == sid:
                return each
        raise NotFound("there is no such factor")


def person(tenant: str, service_sid: str, identity: str) -> Person:
    """Raises NotFound for what is no service, InvalidRequest for what is no identity."""
    service = service_of(tenant, service_sid)
    if not _IDENTITY.fullmatch(identity):
        raise InvalidRequest("Identity", "is 8 to 64 letters and digits, between which there may be dashes")
    return Person(tenant, service, identity)


def factor_sid(factor_id: str) -> str:
    return f"YF{factor_id[3:]}"


def factor_id(sid: str) -> str | None:
    """Ours of a SID; None of what is none."""
    match = _FACTOR_SID.fullmatch(sid)
    return f"fa_{match[1]}" if match else None


def payload(given: dict[str, str]) -> str | None:
    """The code of an `AuthPayload`, None where none is given. Raises InvalidRequest."""
    written = given.get("AuthPayload")
    if not written:
        return None
    if not _CODE.fullmatch(code := typed_code(written)):
        raise InvalidRequest("AuthPayload", "is the 6 to 8 digits of a code")
    return code


def challenges_here() -> Challenges:
    here = context()
    return Challenges(here.factors, here.store.entities, here.clock)


@contextmanager
def attempts_of(code: int) -> Iterator[None]:
    """Limits on a user's wrong codes have Twilio's number of what was tried too often."""
    try:
        yield
    except RateLimited as error:
        error.members["code"] = code
        raise


@twilio.post(_ENTITIES)
@twilio.guarded("verify")
def make_entity(tenant: str, service_sid: str) -> Response:
    """One that gets no factor is forgotten after a day; a factor makes its entity by itself."""
    who = person(tenant, service_sid, form({"Identity"}).get("Identity", ""))
    if who.factors() or not challenges_here().make(tenant, who.user):
        raise Refused(60301, "an entity of this identity is there")
    return json(_entity(who, ()), 201)


@twilio.get(_ENTITIES)
@twilio.guarded("verify")
def entities(tenant: str, service_sid: str) -> Response:
    """Those that have a factor, in no order. They are looked for among all that the store has: a page may have fewer
    than it is to have, or none, and others behind it."""
    service, size, here = service_of(tenant, service_sid), answers.page_size(), context()
    place = request.args.get("PageToken", "")
    if not _PLACE.fullmatch(place):
        raise InvalidRequest("PageToken", "is that of a `next_page_url`")
    found: list[dict[str, Any]] = []
    for _ in range(_LOOKS):
        place, users = here.store.keeping.page(place, size)
        for tag, record in users:
            if record.tenant == tenant:
                name, factors = here.factors.named(tenant, tag, record)
                sid, _, identity = name.partition(":")
                shown = [each for each in factors if each.kind == "totp"]
                if sid == service.sid and _IDENTITY.fullmatch(identity) and shown:
                    found.append(_entity(Person(tenant, service, identity), shown))
        if not place or len(found) >= size:
            break
    return answers.page_of_token("entities", found, place)


@twilio.get(ENTITY)
@twilio.guarded("verify")
def entity(tenant: str, service_sid: str, identity: str) -> Response:
    who = person(tenant, service_sid, identity)
    return json(_entity(who, who.factors()))


@twilio.delete(ENTITY)
@twilio.guarded("verify")
def delete_entity(tenant: str, service_sid: str, identity: str) -> Response:
    """With its factors and challenges."""
    who = person(tenant, service_sid, identity)
    forgotten = challenges_here().forget(tenant, who.user)
    erased = context().factors.erase(tenant, who.user, caller(tenant, application=True))
    if not erased and not forgotten:
        raise NotFound("there is no such entity")
    return Response(status=204)


def _entity(who: Person, found: Sequence[FactorState]) -> dict[str, Any]:
    """Raises NotFound where nobody made it, and it has no factor."""
    times = [at for each in found for at in (each.created_at, each.used_at) if at]
    times = times or [challenges_here().made_at(who.tenant, who.user)]
    if not times[0]:
        raise NotFound("there is no such entity")
    links = {"factors": "Factors", "new_factors": "Factors", "challenges": "Challenges"}
    return {
        "sid": who.sid,
        **who.common(),
        "date_created": answers.at(min(times)),
        "date_updated": answers.at(max(times)),
        "url": who.url,
        "links": {name: f"{who.url}/{path}" for name, path in links.items()},
    }
