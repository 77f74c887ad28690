"""What a person sees: the page of a verification as it stands, in their language, and the page of an error."""

from collections.abc import Sequence
from typing import Literal, NamedTuple, get_args

from flask import Response, render_template, request
from markupsafe import Markup, escape

from verify_service.messages.locales import ENGLISH, Language, language, shipped
from verify_service.model import Verification
from verify_service.return_urls import Place, back
from verify_service.web.context import context
from verify_service.web.page.links import Link
from verify_service.web.problems import ProblemDetails

Notice = Literal["wrong", "unreadable", "sent_again", "wait", "limited", "opted_out", "refused"]
NOTICES: tuple[Notice, ...] = get_args(Notice)
"""What became of what the person did, as the address of the page they are sent to says it."""
GOOD: Notice = "sent_again"
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
    """A button that sends the code again: its channel, and what is written on it."""

    channel: str
    words: str


def pending(link: Link, found: Verification, channels: Sequence[str], notice: Notice | None, wait: int) -> Response:
    """The page that asks for the code. `wait` is what a notice of a limit tells, in seconds."""
    tag, now = _tag(link.options.locale), context().clock.now()
    words = language(tag)
    ways = [Way(each, _with(words.page.again, channel=_channel(words, each))) for each in channels]
    return _page(
        tag,
        link,
        found=found,
        sent=_with(words.page.sent, to=Markup('<bdi dir="ltr">{}</bdi>').format(_masked(found.to or ""))),
        left=_with(words.page.left, left=str(found.checks_left)),
        ways=ways if found.sends_left else [],
        wait=_timed(words.page.wait, _seconds(found.resend_at - now)) if found.resend_at > now else None,
        life=_seconds(found.expires_at - now),
        notice=notice and _timed(getattr(words.page, notice), wait),
        good=notice == GOOD,
        early=notice == "wait",
        wrong=notice in ("wrong", "unreadable"),
    )


def ended(link: Link, status: str) -> Response:
    """The page of a verification that asks for nothing any more, with a way on. It has no receipt: that is given to who
    brings the code."""
    tag = _tag(link.options.locale)
    onward = back(link.page.return_url, verification=link.id, status=status, state=link.page.state)
    return _page(tag, link, sentence=getattr(language(tag).page, status), onward=onward)


def refused(problem: ProblemDetails) -> Response:
    """The page of an error: there is none of this verification, or it cannot be asked for now."""
    tag = _tag(None)
    words = language(tag).page
    return _page(tag, None, problem.status, sentence=words.gone if problem.status == 404 else words.trouble)


def _page(tag: str, link: Link | None, status: int = 200, **parts: object) -> Response:
    words, config = language(tag), context().config
    tenant = config.tenants.get(link.tenant) if link else None
    brand = tenant.brand if tenant else ""
    name = tenant.name if tenant else ""
    html = render_template(
        "page.html",
        tag=tag,
        words=words,
        brand=brand,
        tenant=name,
        colour=name in config.colours,
        logo=name in context().logos,
        back=_with(words.page.back, brand=brand),
        **parts,
    )
    response = Response(html, status, mimetype="text/html")
    response.headers.update(HEADERS)
    places = config.return_urls.get(link.tenant, ()) if link else ()
    response.headers["Content-Security-Policy"] = _policy(places)
    response.headers["Content-Language"] = tag
    return response


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


def _channel(words: Language, channel: str) -> str:
    own = {"voice": words.page.call, "email": words.page.email}
    return own.get(channel) or _NAMES[channel]


def _masked(to: str) -> str:
    """As much as its owner needs to know it: whoever else has the address of the page learns no number."""
    mailbox, at, domain = to.rpartition("@")
    return f"{mailbox[:1]}•••@{domain}" if at else f"•••{to[-2:]}"


def _seconds(ms: int) -> int:
    return max(0, -(-ms // 1000))


def _timed(sentence: str, seconds: int) -> Markup:
    """The sentence with its time, which the script counts down."""
    minutes, rest = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    shown = f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
    return _with(sentence, time=Markup('<bdi dir="ltr" data-clock="{}">{}</bdi>').format(seconds, shown))


def _with(sentence: str, **values: str) -> Markup:
    """The sentence with its placeholders filled in; what is no Markup is escaped."""
    return escape(sentence).format(**values)
