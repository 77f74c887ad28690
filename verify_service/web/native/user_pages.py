"""A hosted page of a user: to set up an authenticator app, or to sign in by a second factor or a code that is sent."""

import secrets
from collections.abc import Iterable

import msgspec
from flask import Response

from verify_service.asking import StartFields
from verify_service.duration import rfc3339
from verify_service.errors import InvalidRequest
from verify_service.factors import NewFactor
from verify_service.model import HostedPage, StartOptions
from verify_service.web import bodies
from verify_service.web.answers import json
from verify_service.web.context import context
from verify_service.web.native import parameters, schemas
from verify_service.web.native.surface import native
from verify_service.web.page import links
from verify_service.web.page.links import LIFE_MS, Link, Person

_page = msgspec.json.Decoder(schemas.UserPageBody)
_OF_A_FACTOR = ("label", "issuer", "digits", "period", "algorithm")
_OF_A_CODE = (
    *("to", "region", "channel", "purpose"),
    *(name for name in StartOptions.__struct_fields__ if name not in ("locale", "user")),
)


@native.post("/users/<user>/page")
@native.guarded("verify")
def user_page(tenant: str, user: str) -> Response:
    body = bodies.read(_page)
    bodies.address(body.ip)
    name, until = parameters.user(user), context().clock.now() + LIFE_MS
    page_id, link = (_enrolling if body.enrol else _asking)(tenant, name, until, body)
    page = links.address_of_user(context().config, context().keys, link)
    return json({"id": page_id, "page": page, "expires_at": rfc3339(until)}, 201)


def _enrolling(tenant: str, user: str, until: int, body: schemas.UserPageBody) -> tuple[str, Link]:
    """The id of the new factor, and the page that shows its secret."""
    _left_out(body, _OF_A_CODE, "goes with a page that asks for a code; with `enrol` leave it out")
    link = Link(
        tenant=tenant,
        id="",
        channel="",
        page=_leading(body),
        options=StartOptions(locale=body.locale),
        person=Person(user=user, until=until),
    )
    links.judge(context().config, link, "return_url", "return_url")
    said = {name: value for name in _OF_A_FACTOR if (value := getattr(body, name)) is not None}
    made = context().factors.enrol(tenant, user, NewFactor(kind=body.enrol or "totp", **said))
    return made.factor.id, msgspec.structs.replace(link, id=made.factor.id)


def _asking(tenant: str, user: str, until: int, body: schemas.UserPageBody) -> tuple[str, Link]:
    """A fresh id, which the binding of the receipt has as `page`, and the page."""
    _left_out(body, _OF_A_FACTOR, "goes with `enrol`")
    if missing := context().service.approvals.missing:
        raise InvalidRequest("", f"a page that asks for a code answers with a receipt, and none can be had: {missing}")
    if "page" in (body.binding or {}):
        raise InvalidRequest("binding.page", "is where the receipt has the id of the page; give it another name")
    page_id = f"pa_{secrets.token_hex(16)}"
    said = {name: getattr(body, name, None) or None for name in StartOptions.__struct_fields__}
    options = StartOptions(**said | {"user": user, "binding": {**(body.binding or {}), "page": page_id}})
    to, channel, purpose = _phone(body, options)
    link = Link(
        tenant=tenant,
        id="",
        channel=channel,
        page=_leading(body),
        options=links.with_origin(context().config, options),
        person=Person(user=user, until=until, to=to, purpose=purpose),
    )
    longest = msgspec.structs.replace(link, id=f"ve_{page_id[3:]}")  # As it is once a code has been sent.
    links.judge(context().config, longest, "return_url", "return_url")
    if not (to or any(each.status == "verified" for each in context().factors.look(tenant, user).factors)):
        raise InvalidRequest("to", "is required for a user who has no verified factor")
    return page_id, link


def _phone(body: schemas.UserPageBody, options: StartOptions) -> tuple[str, str, str]:
    """The recipient of codes, the channel and the purpose; empty where the caller names nobody."""
    if body.to is None:
        _left_out(body, ("region", "channel", "purpose"), "goes with `to`")
        return "", "", ""
    said = {name: getattr(options, name) for name in StartOptions.__struct_fields__}
    fields = StartFields(to=body.to, region=body.region, channel=body.channel, purpose=body.purpose, **said)
    ask = context().service.parse_start(fields)
    return ask.number.e164, ask.channel, ask.purpose


def _leading(body: schemas.UserPageBody) -> HostedPage:
    return HostedPage(return_url=body.return_url, state=body.state)


def _left_out(body: schemas.UserPageBody, names: Iterable[str], why: str) -> None:
    for name in names:
        if getattr(body, name) is not None:
            raise InvalidRequest(name, why)
