"""Look up: what is known of one number, one address, one user or one id, and what can be done for who it is.

What was typed travels sealed: no address, log or record has a number, an address or a user's name.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import Any, Final, Literal
from urllib.parse import urlencode

import msgspec
from flask import Response

from verify_service import recipient
from verify_service.errors import InvalidNumber, InvalidRequest, NotFound
from verify_service.insight import blocks, decisions
from verify_service.model import USER, Frozen
from verify_service.operators import Operator
from verify_service.store.blocks import Block
from verify_service.store.search import MOST, Wanted
from verify_service.store.shapes import StoredVerification
from verify_service.web.console import forms
from verify_service.web.console.sessions import operator
from verify_service.web.console.showing import show
from verify_service.web.console.surface import console
from verify_service.web.context import context

_CONTEXT: Final = "console look-up"
_ID: Final = re.compile(r"(ve|de|bl|fa)_[0-9a-f]{32}")
_PURPOSE: Final = re.compile(r"[a-z0-9][a-z0-9_.-]{0,31}")
_SHOWN: Final = 10
"""Verifications on a page."""
_EVENTS: Final = MOST
_REFUSED: Final = 1_000
"""Events that one look goes through, and refused starts of their list beside it."""


class Subject(Frozen, frozen=True, kw_only=True, omit_defaults=True):
    """Who is looked up, for which tenant: a `number` in E.164 or an email address, an internet `address`, or a `user`
    by the tenant's own name. Of a number, a start is explained from the address `ip` and for the purpose."""

    kind: Literal["number", "address", "user"]
    name: str
    tenant: str
    ip: str | None = None
    purpose: str = "login"


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Subject).decode


@console.get("/lookup")
@operator("read")
def lookup_form(who: Operator) -> Response:
    return _asking(who)


@console.post("/lookup")
@operator("read")
def lookup(who: Operator) -> Response:
    """By what was typed, or as which user: to a page whose address does not have it."""
    form = forms.read()
    try:
        if "user" in form:
            name, tenant = forms.fields("user", "tenant")
            if not re.match(USER, name):
                raise InvalidRequest("user", "is 1 to 256 characters, with no / among them")
            return _onward(Subject(kind="user", name=name, tenant=_tenant(tenant)))
        what, tenant = forms.fields("what", "tenant")
        if _ID.fullmatch(what):
            return forms.onward(f"/lookup/{what}")
        return _onward(_subject(what, _tenant(tenant)))
    except InvalidRequest as error:
        return _asking(who, {each["field"]: each["message"] for each in error.members["errors"]})


@console.get("/lookup/<what>")
@operator("read")
def looked_up(who: Operator, what: str) -> Response:
    if _ID.fullmatch(what):
        return _VIEWS[what[:2]](who, what)
    subject = _opened(what)
    views = {"number": _number, "address": _address, "user": _user}
    return views[subject.kind](who, subject, what)


@console.post("/lookup/<what>/explain")
@operator("read")
def lookup_explain(_who: Operator, what: str) -> Response:
    """The same number, asked for from an address or for a purpose."""
    ip, purpose = forms.fields("ip", "purpose", optional=("ip",))
    if ip and _ip(ip) is None:
        raise InvalidRequest("ip", "is an IPv4 or IPv6 address")
    if not _PURPOSE.fullmatch(purpose):
        raise InvalidRequest("purpose", "is of a-z, 0-9 and . _ -, 32 at most, such as login")
    return _onward(msgspec.structs.replace(_opened(what), ip=_ip(ip), purpose=purpose))


@console.post("/lookup/<what>/unlock")
@operator("admin")
def lookup_unlock(who: Operator, what: str) -> Response:
    (reason,), subject = forms.fields("reason"), _person(what)
    if subject.kind == "user":
        count = context().relief.unlock_user(subject.tenant, subject.name, who.actor, reason)
    else:
        count = context().relief.unlock(subject.name, who.actor, reason)
    return forms.onward(f"/lookup/{what}", f"Unlocked: {count} counts were forgotten.")


@console.post("/lookup/<what>/erase")
@operator("admin")
def lookup_erase(who: Operator, what: str) -> Response:
    (reason, _sure), subject = forms.fields("reason", "sure"), _person(what)
    if subject.kind == "user":
        there = context().factors.erase(subject.tenant, subject.name, who.actor, reason)
        said = "Erased." if there else "There was nothing to erase."
    else:
        count = context().data_subjects.erase(subject.tenant, subject.name, who.actor, reason)
        said = f"Erased for {subject.tenant}: {count} verifications among it."
    return forms.onward(f"/lookup/{what}", said)


def _asking(who: Operator, faults: dict[str, str] | None = None) -> Response:
    typed = forms.read() if faults else {}
    return show(
        "lookup",
        who,
        status=400 if faults else 200,
        title="Look up",
        faults=faults or {},
        typed=typed,
        tenants=sorted(context().config.tenants),
    )


def _number(who: Operator, subject: Subject, what: str) -> Response:
    to, now = recipient.parse(subject.name, None), context().clock.now()
    explained = context().explain.explain(subject.tenant, to, ip=subject.ip, purpose=subject.purpose)
    tag = context().explain.pseudonym(to.e164)
    latest = _latest(Wanted(number=tag, country=to.country or None))
    live = context().store.verifications.live(subject.tenant, tag, subject.purpose)
    ids = [live or "", *(each.id for each in latest.decisions if each.tenant == subject.tenant)]
    return _found(
        who,
        subject,
        what,
        ("number", tag),
        title=recipient.masked(to.e164),
        of=to,
        explained=explained,
        latest=latest,
        verifications=_verifications(now, subject.tenant, ids),
        consent=context().consents.look(subject.tenant, to.e164),
        blocks=[block for block in _blocks(now) if to.e164.startswith(block.place)],
    )


def _address(who: Operator, subject: Subject, what: str) -> Response:
    tag = context().explain.pseudonym_of_address(subject.name)
    explained = context().explain.explain_address(subject.tenant, subject.name)
    parts = {"title": subject.name, "explained": explained, "latest": _latest(Wanted(ip=tag))}
    return _found(who, subject, what, ("ip", tag), **parts)


def _user(who: Operator, subject: Subject, what: str) -> Response:
    tag = context().factors.tag(subject.tenant, subject.name)
    explained = context().explain.explain_user(subject.tenant, subject.name)
    parts = {"title": subject.name, "explained": explained, "latest": _latest(Wanted(user=tag))}
    return _found(
        who, subject, what, ("user", tag), state=context().factors.look(subject.tenant, subject.name), **parts
    )


def _found(who: Operator, subject: Subject, what: str, known: tuple[str, str], **parts: Any) -> Response:
    """The page of somebody; `known` is the filter of the decisions that finds theirs, and the pseudonym it takes."""
    by, tag = known
    return show("lookup_found", who, what=what, subject=subject, tag=tag, query=urlencode({by: tag}), **parts)


def _verification(who: Operator, what: str) -> Response:
    now = context().clock.now()
    held = [each for tenant in context().config.tenants for each in _verifications(now, tenant, [what])]
    if not held:
        raise NotFound("There is no such verification: it is unknown, or ended more than an hour ago.")
    return show("lookup_id", who, title="Verification", what=what, verifications=held, query=_of_number(held[0].number))


def _decision(who: Operator, what: str) -> Response:
    now, read = context().clock.now(), context().store.verifications.decisions.read
    held = next(filter(None, (read(now, tenant, what) for tenant in context().config.tenants)), None)
    if held is None:
        raise NotFound("There is no such decision: it is unknown, or more than an hour old.")
    return show("lookup_id", who, title="Decision", what=what, explained=held)


def _block(who: Operator, what: str) -> Response:
    held = next((block for block in _blocks(context().clock.now()) if block.id == what), None)
    if held is None:
        raise NotFound("There is no such live block: it is unknown, has ended, or was lifted.")
    return show("lookup_id", who, title="Block", what=what, blocks=[held], query=urlencode({"range": held.place[:10]}))


def _factor(_who: Operator, what: str) -> Response:
    tenant, tag = context().store.search.user_of(what) or ("", "")
    record = context().store.users.look(context().clock.now(), tag, ()).record if tag else None
    if record is None:
        raise NotFound("There is no such factor, or nothing was done with it lately. Look up its user.")
    name, _ = context().factors.named(tenant, tag, record)
    return _onward(Subject(kind="user", name=name, tenant=tenant))


_VIEWS: Final = {"ve": _verification, "de": _decision, "bl": _block, "fa": _factor}


def _latest(wanted: Wanted) -> decisions.Answer:
    """Of somebody. What was refused has a list, which goes back further than one look does."""
    store, now = context().store, context().clock.now()
    latest = decisions.decided(store, now, decisions.Asked(wanted), _EVENTS)
    if latest.before is None:
        return latest
    refused = msgspec.structs.replace(wanted, outcome="refused")
    listed = decisions.decided(store, now, decisions.Asked(refused), _REFUSED).decisions
    further = [each for each in listed if each not in latest.decisions]
    return msgspec.structs.replace(latest, decisions=(*latest.decisions, *further))


def _verifications(now: int, tenant: str, ids: Iterable[str]) -> list[StoredVerification]:
    read = context().store.verifications.read
    named = [each for each in dict.fromkeys(ids) if _ID.fullmatch(each)][:_SHOWN]
    return [held for each in named if (held := read(now, tenant, each))]


def _blocks(now: int) -> list[Block]:
    return blocks.live(context().store, context().service.rules, now)


def _of_number(tag: str) -> str:
    return urlencode({"number": tag})


def _subject(what: str, tenant: str) -> Subject:
    """Whoever was typed. Raises InvalidRequest."""
    if ip := _ip(what):
        return Subject(kind="address", name=ip, tenant=tenant)
    try:
        return Subject(kind="number", name=recipient.parse(what, None).e164, tenant=tenant)
    except InvalidNumber:
        raise InvalidRequest(
            "what", "is a number with + and its country code, such as +14155550123; an email or IP address; or an id"
        ) from None


def _ip(text: str) -> str | None:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return None


def _tenant(name: str) -> str:
    if name not in context().config.tenants:
        raise InvalidRequest("tenant", "is one of this service's")
    return name


def _onward(subject: Subject) -> Response:
    return forms.onward(f"/lookup/{context().keys.token(_encode(subject), _CONTEXT)}")


def _person(what: str) -> Subject:
    """Whom something is done for. Raises NotFound as `_opened`, and for an internet address, which is nobody's own."""
    subject = _opened(what)
    if subject.kind == "address":
        raise NotFound("Nothing is done for an address. Look up the number or the user.")
    return subject


def _opened(what: str) -> Subject:
    """Raises NotFound for what no page of this console has sealed."""
    try:
        return _decode(context().keys.opened(what, _CONTEXT))
    except (ValueError, msgspec.MsgspecError):
        raise NotFound("There is nothing under this address. Look it up again.") from None
