"""What a person sees on a user's page: how to set up an app, the recovery codes, and the ways to sign in."""

import secrets
from collections.abc import Sequence
from urllib.parse import quote

from flask import Response

from verify_service.factors import Enrolled, UserState
from verify_service.messages.locales import language
from verify_service.web.context import context
from verify_service.web.page import links
from verify_service.web.page.links import Link, Person
from verify_service.web.page.showing import By, Notice, noticed, other_ways, rendered, seconds, tag_of, ways, with_

TEMPLATE = "factors.html"


def enrolment(link: Link, person: Person, enrolled: Enrolled, notice: Notice | None, wait: int) -> Response:
    """The QR code, the key to type, and the field for the first code."""
    tag = tag_of(link)
    words = language(tag)
    return rendered(
        TEMPLATE,
        tag,
        link,
        heading=words.factors.setup,
        script=True,
        enrolled=enrolled,
        key=" ".join(enrolled.secret[at : at + 4] for at in range(0, len(enrolled.secret), 4)),
        life=_life(person),
        **noticed(words, notice, wait),
    )


def recovery_codes(link: Link, codes: Sequence[str]) -> Response:
    """The codes, to keep: this answer alone has them."""
    tag = tag_of(link)
    words = language(tag)
    brand = context().config.tenants[link.tenant].brand
    text = "\n".join((f"{brand}: {words.factors.codes}", "", *codes, ""))
    return rendered(
        TEMPLATE,
        tag,
        link,
        heading=words.factors.codes,
        script=True,
        codes=codes,
        data=f"data:text/plain;charset=utf-8,{quote(text)}",
        onward=links.onward(link, "verified"),
    )


def enrolled(link: Link, person: Person, notice: Notice | None, wait: int) -> Response:
    """The way on once the app is set up, and new recovery codes for who has not kept the first ones."""
    tag = tag_of(link)
    words = language(tag)
    return rendered(
        TEMPLATE,
        tag,
        link,
        heading=words.factors.enrolled,
        script=True,
        renewing=True,
        life=_life(person),
        onward=links.onward(link, "verified"),
        **noticed(words, notice, wait),
    )


def asking(
    link: Link,
    person: Person,
    state: UserState,
    kinds: Sequence[By],
    by: By | None,
    channels: Sequence[str],
    notice: Notice | None,
    wait: int,
) -> Response:
    """The ways to sign in: a field for the one that is asked by, a link for each other, a button for each channel."""
    tag = tag_of(link)
    words = language(tag)
    left = state.checks_left if by else None
    return rendered(
        TEMPLATE,
        tag,
        link,
        heading=words.page.title,
        script=True,
        by=by,
        left=None if left is None else with_(words.page.left, left=str(left)),
        others=other_ways(words, "", (each for each in kinds if each != by)),
        ways=ways(words, words.factors.send, channels),
        once=secrets.token_hex(8),
        life=_life(person),
        **noticed(words, notice, wait),
    )


def _life(person: Person) -> int:
    return seconds(person.until - context().clock.now())
