"""The texts that go out, by purpose, channel and language."""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Any, NamedTuple, get_args

from verify_service.messages.locales import ENGLISH, Language, fill, language, lookups, shipped
from verify_service.messages.measure import Encoding, measure
from verify_service.messages.own import NONE, Own
from verify_service.model import NoticeName

_NOTICES = {name: attrgetter(name) for name in get_args(NoticeName)}
# What these purposes are called in any tenant's calls; every other purpose has the default text.
TRANSACTIONS = frozenset({"transaction", "payment", "transfer"})


class Text(NamedTuple):
    """A text as it goes out. `locale` is its language, a BCP 47 tag; `subject` is of an email; what is no SMS has one
    segment."""

    body: str
    locale: str
    subject: str
    encoding: Encoding
    segments: int


def compose(
    purpose: str,
    channel: str,
    locale: str | None,
    country: str,
    code: str,
    brand: str,
    minutes: int,
    app_hash: str | None = None,
    origin: str | None = None,
    own: Own = NONE,
) -> Text:
    """The text of one code, in the language of `locale`, else of the country, else in English; the operator's own text
    for a language comes before the shipped one.

    An SMS that would take two segments loses first its life time, then the line against sharing; the operator's own is
    sent as it is. `app_hash` (11 characters) is a line of its own, for Android's SMS Retriever, which takes 140 bytes:
    one segment. `origin` (a host) adds the last line `@host #code` of origin-bound one-time codes (WICG). With both,
    the host line comes last, because nothing may follow it; the hash may stand anywhere.
    """
    what = (purpose, channel, locale, country, brand, minutes, app_hash, origin, own)
    kept = _kept(len(code), *what) if code.isascii() and code.isdecimal() else None
    return kept[0]._replace(body=code.join(kept[1])) if kept else compose_anew(code, *what)


@lru_cache(maxsize=1024)
def _kept(digits: int, *what: Any) -> tuple[Text, tuple[str, ...]] | None:
    """A text by what `compose_anew` takes beside the code, and what stands around its code: composed for two codes, and
    the same for both. None where it is not, because the code is spelled out, or looks like something else in the text.
    """
    zeros, ones = "0" * digits, "1" * digits
    one, other = compose_anew(zeros, *what), compose_anew(ones, *what)
    parts = tuple(one.body.split(zeros))
    same = parts == tuple(other.body.split(ones)) and one[1:] == other[1:]
    return (one, parts) if same else None


def compose_anew(
    code: str,
    purpose: str,
    channel: str,
    locale: str | None,
    country: str,
    brand: str,
    minutes: int,
    app_hash: str | None,
    origin: str | None,
    own: Own,
) -> Text:
    """What `compose` answers, of which nothing is kept."""
    template, tag, by = _choose(own.templates, (purpose, channel), locale, country, own)
    words = language(shipped(tag) or ENGLISH)
    values = {"brand": brand, "code": code, "minutes": str(minutes), "life": words.life(minutes)}
    if channel == "voice":
        # A voice that speaks a language which is not shipped knows its digits itself.
        digits = [words.voice.digits[int(digit)] for digit in code] if shipped(tag) else list(code)
        said = {**values, "code": words.voice.pause.join(digits)}
        body = fill(template, **said) if by == "voice" else _spoken(words, template, said)
    else:
        body = fill(template, **values) if template else ""
    if channel == "sms":
        lines = [*([app_hash] if app_hash else []), *([f"@{origin} #{code}"] if origin else [])]
        for version in [body] if template else _versions(words, purpose, values):
            body = "\n".join((version, *lines))
            if measure(body)[1] == 1:
                break
    elif not body:
        whole = next(_versions(words, purpose, values))
        body = f"{whole}\n\n{words.text.ignore}" if channel == "email" else whole
    encoding, segments = measure(body)
    subject = fill(words.title, brand=brand) if channel == "email" else ""
    return Text(body, tag, subject, encoding, segments if channel == "sms" else 1)


def reply(kind: str, brand: str, locale: str | None, country: str = "", own: Own = NONE) -> Text:
    """What a person is told by SMS who wrote STOP, START or HELP. Raises KeyError for another `kind`."""
    template, tag, _ = _choose(own.replies, (kind, ""), locale, country, own)
    answers = language(shipped(tag) or ENGLISH).replies
    ours = {"stop": answers.stop, "start": answers.start, "help": answers.help}
    body = fill(template or ours[kind], brand=brand)
    return Text(body, tag, "", *measure(body))


def notice(name: str, channel: str, brand: str, locale: str | None, country: str = "", own: Own = NONE) -> Text:
    """What a person is told who did not ask: a text without a code. Raises KeyError for another `name`.

    An SMS that would take two segments loses what to do about it; the operator's own is sent as it is. An email's
    subject is what happened.
    """
    template, tag, _ = _choose(own.notices, (name, channel), locale, country, own)
    words = language(shipped(tag) or ENGLISH)
    happened = fill(_NOTICES[name](words.notices), brand=brand)
    between = "\n\n" if channel == "email" else words.join
    body = fill(template, brand=brand) if template else f"{happened}{between}{words.notices.advice}"
    if channel == "sms" and not template and measure(body)[1] > 1:
        body = happened
    encoding, segments = measure(body)
    return Text(body, tag, happened if channel == "email" else "", encoding, segments if channel == "sms" else 1)


def sentences(words: Language, purpose: str, values: Mapping[str, str]) -> tuple[str, str, str]:
    """The code's sentence, its life time's, and the one against sharing."""
    first = words.text.transaction if purpose in TRANSACTIONS else words.text.default
    return fill(first, **values), fill(words.text.life, **values), words.text.warning


def _versions(words: Language, purpose: str, values: Mapping[str, str]) -> Iterator[str]:
    """The shipped text, and shorter: what protects the code is worth more than how long it lives."""
    code, life, warning = sentences(words, purpose, values)
    yield words.join.join((code, life, warning))
    yield words.join.join((code, warning))
    yield code


def _spoken(words: Language, template: str, values: Mapping[str, str]) -> str:
    """The code digit by digit, and once more; a template that is for voice alone says itself how often."""
    if template:
        return f"{fill(template, **values)} {words.voice.again}: {values['code']}."
    first = f"{fill(words.title, **values)}: {values['code']}."
    return f"{first} {words.voice.again}: {values['code']}. {words.text.warning}"


def _choose(
    texts: Mapping[tuple[str, str, str], str], of: tuple[str, str], locale: str | None, country: str, own: Own
) -> tuple[str, str, str]:
    """(the operator's text or "", its language, the channel it is for or ""): for each language that the person may
    read, the operator's for the channel, the operator's for all channels, the shipped one."""
    what, channel = of
    for tag in filter(None, (locale, own.read_in(country), ENGLISH)):
        near = list(lookups(tag)) if texts else []
        for by in (channel, ""):
            for each in near:
                if (text := texts.get((what, by, each))) is not None:
                    return text, shipped(each) or each, by
        if found := shipped(tag):
            return "", found, ""
    return "", ENGLISH, ""
