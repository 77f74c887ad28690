"""What a person sees: the page of a verification as it stands, in their language, and the page of an error."""

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple, get_args

from flask import Response, render_template, request
from markupsafe import Markup, escape

from verify_service import recipient
from verify_service.messages.locales import ENGLISH, Language, language, shipped
from verify_service.model import Verification
from verify_service.return_urls import Place
from verify_service.web.context import context
from verify_service.web.page import links
from verify_service.web.page.links import Link
from verify_service.web.problems import ProblemDetails

Notice = Literal["wrong", "unreadable", "used", "sent_again", "wait", "limited", "opted_out", "refused"]
NOTICES: tuple[Notice, ...] = get_args(Notice)
"""What became of what the person did, as the address of the page they are sent to says it."""
GOOD: Notice = "sent_again"
By = Literal["app", "recovery"]
"""A way to sign in that no message is sent for."""
# Their own names everywhere; the other channels have one in each language.
_NAMES = {"sms": "SMS", "rcs": "RCS", "whatsapp": "WhatsApp"}
HEADERS = {
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
    "X-Robots-Tag": "noindex, nofollow",
}


class Way(NamedTuple):
    """A button that sends a code: its channel, and what is written on it."""

    channel: str
    words: str


class Other(NamedTuple):
    """A link to another way: its address, and what is written on it."""

    address: str
    words: str


def pending(
    link: Link, found: Verification, channels: Sequence[str], others: Sequence[By], notice: Notice | None, wait: int
) -> Response:
    """The page that asks for the code. `wait` is what a notice of a limit tells, in seconds; `others` are the ways that
    the person has beside it."""
    tag, now = tag_of(link), context().clock.now()
    words = language(tag)
    return rendered(
        "page.html",
        tag,
        link,
        heading=words.page.title,
        script=True,
        found=found,
        sent=with_(words.page.sent, to=Markup('<bdi dir="ltr">{}</bdi>').format(recipient.masked(found.to or ""))),
        left=with_(words.page.left, left=str(found.checks_left)),
        ways=ways(words, words.page.again, channels) if found.sends_left else [],
        others=other_ways(words, f"users/{links.token_of_user(context().keys, link)}" if others else "", others),
        wait=_timed(words.page.wait, seconds(found.resend_at - now)) if found.resend_at > now else None,
        life=seconds(found.expires_at - now),
        **noticed(words, notice, wait),
    )


def ended(link: Link, status: str, sentence: str | None = None) -> Response:
    """The page of what asks for nothing any more, with a way on; its sentence is that of the status, or another one. It
    has no receipt: that is given to who brings the code."""
    tag = tag_of(link)
    heading = getattr(language(tag).page, sentence or status)
    return rendered("frame.html", tag, link, heading=heading, onward=links.onward(link, status))


def refused(problem: ProblemDetails) -> Response:
    """The page of an error: there is none of this verification, or it cannot be asked for now."""
    tag = _tag(None)
    words = language(tag).page
    heading = words.gone if problem.status == 404 else words.trouble
    return rendered("frame.html", tag, None, problem.status, heading=heading)


def rendered(template: str, tag: str, link: Link | None, status: int = 200, **parts: object) -> Response:
    """A page under its headers, with the tenant's look."""
    words, config = language(tag), context().config
    tenant = config.tenants.get(link.tenant) if link else None
    brand = tenant.brand if tenant else ""
    name = tenant.name if tenant else ""
    html = render_template(
        template,
        tag=tag,
        words=words,
        root="../" * (request.path.count("/") - 2),
        brand=brand,
        tenant=name,
        colour=name in config.colours,
        logo=name in context().logos,
        back=with_(words.page.back, brand=brand),
        **parts,
    )
    response = Response(html, status, mimetype="text/html")
    response.headers.update(HEADERS)
    places = config.return_urls.get(link.tenant, ()) if link else ()
    response.headers["Content-Security-Policy"] = _policy(places)
    response.headers["Content-Language"] = tag
    return response


def tag_of(link: Link) -> str:
    """The language of a link's pages."""
    return _tag(link.options.locale)


def noticed(words: Language, notice: Notice | None, wait: int) -> dict[str, Any]:
    """What a template is to say of what the person did."""
    sentence = words.factors.used if notice == "used" else getattr(words.page, notice) if notice else ""
    return {
        "notice": notice and _timed(sentence, wait),
        "good": notice == GOOD,
        "early": notice == "wait",
        "wrong": notice in ("wrong", "unreadable", "used"),
    }


def ways(words: Language, sentence: str, channels: Iterable[str]) -> list[Way]:
    """A button for each channel, with the sentence on it."""
    own = {"voice": words.page.call, "email": words.page.email}
    return [Way(each, with_(sentence, channel=own.get(each) or _NAMES[each])) for each in channels]


def other_ways(words: Language, page: str, kinds: Iterable[By]) -> list[Other]:
    """A link for each, to the user's page."""
    said = {"app": words.factors.use_app, "recovery": words.factors.use_recovery}
    return [Other(f"{page}?by={each}", said[each]) for each in kinds]


def with_(sentence: str, **values: str) -> Markup:
    """The sentence with its placeholders filled in; what is no Markup is escaped."""
    return escape(sentence).format(**values)


def seconds(ms: int) -> int:
    """Rounded up; none where the time is over."""
    return max(0, -(-ms // 1000))


def _policy(places: Sequence[Place]) -> str:
    """Nothing but our own style, script and picture, framed by nobody. Browsers hold a form's redirects to
    `form-action` as well, so the places that the page may lead to are named."""
    targets = " ".join(dict.fromkeys(("'self'", *(each.origin for each in places))))
    closed = "default-src 'none'; base-uri 'none'; frame-ancestors 'none'"
    return f"{closed}; style-src 'self'; script-src 'self'; img-src 'self' data:; form-action {targets}"


def _tag(locale: str | None) -> str:
    """The language that the caller has named, else the first that the browser asks for and we have, else English."""
    wanted = [locale] if locale else list(request.accept_languages.values())
    return next((tag for each in wanted if (tag := shipped(each))), ENGLISH)


def _timed(sentence: str, seconds: int) -> Markup:
    """The sentence with its time, which the script counts down."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    shown = f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
    return with_(sentence, time=Markup('<bdi dir="ltr" data-clock="{}">{}</bdi>').format(seconds, shown))
