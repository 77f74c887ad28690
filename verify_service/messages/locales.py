"""The shipped languages, one file each in `locales/`, and which of them a person reads."""

import re
from collections.abc import Iterator, Mapping
from functools import cache, lru_cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Literal

import msgspec

from verify_service import decoders
from verify_service.messages.plural import RULES

ENGLISH = "en"
_PLACE = re.compile(r"\{([a-z]+)\}")
# Tags of old, and of languages whose readers read a shipped one as well.
_ALIASES = {"no": "nb", "nn": "nb", "iw": "he", "in": "id", "tl": "fil", "mo": "ro"}
_TRADITIONAL = {"hant", "tw", "hk", "mo"}


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of a language's file."""


class Sentences(_Part, frozen=True):
    """What a text is made of: the code, by purpose; how long it lives; not to share it; and, in an email, what to do
    with one that was not asked for."""

    default: str
    transaction: str
    life: str
    warning: str
    ignore: str


class Voice(_Part, frozen=True):
    """`digits` are the words for 0 to 9, said with `pause` between them, and once more after `again`."""

    again: str
    digits: tuple[str, str, str, str, str, str, str, str, str, str]
    pause: str = ", "


class Answers(_Part, frozen=True):
    """What a person is told, or writes, of each kind."""

    stop: str
    start: str
    help: str


class Notices(_Part, frozen=True):
    """What a person is told of each kind of notice, and what to do about it."""

    factor_added: str
    recovery_codes_used: str
    wrong_codes: str
    advice: str


class Keywords(_Part, frozen=True):
    """What a person writes of each kind. `polite` are words that may stand beside a stop."""

    stop: tuple[str, ...]
    start: tuple[str, ...]
    help: tuple[str, ...]
    polite: tuple[str, ...]


class Page(_Part, frozen=True):
    """What the hosted page says: its parts, what became of what the person did, and how it ended."""

    title: str
    sent: str
    code: str
    confirm: str
    again: str
    call: str
    email: str
    wait: str
    left: str
    cancel: str
    wrong: str
    unreadable: str
    sent_again: str
    limited: str
    opted_out: str
    refused: str
    expired: str
    exhausted: str
    canceled: str
    approved: str
    gone: str
    trouble: str
    back: str


class FactorPage(_Part, frozen=True):
    """What the hosted page says of second factors: how to set up an app, its recovery codes, ways to sign in."""

    setup: str
    scan: str
    open: str
    key: str
    app: str
    recovery: str
    use_app: str
    use_recovery: str
    send: str
    used: str
    enrolled: str
    codes: str
    keep: str
    lost: str
    renew: str
    void: str
    print: str
    copy: str
    download: str
    saved: str


class Language(_Part, frozen=True):
    """One shipped language. `minutes` has a phrase for each plural category of its rule; `title` is the subject of an
    email and opens a call; sentences are put together with `join` between them; `direction` is that of its script."""

    name: str
    plural: str
    minutes: Mapping[str, str]
    title: str
    text: Sentences
    voice: Voice
    replies: Answers
    notices: Notices
    keywords: Keywords
    page: Page
    factors: FactorPage
    join: str = " "
    direction: Literal["ltr", "rtl"] = "ltr"

    def life(self, minutes: int) -> str:
        """So many minutes, 1 or more, as the language says it."""
        return fill(self.minutes[RULES[self.plural](minutes)], minutes=str(minutes))


def fill(text: str, **values: str) -> str:
    """The text with its {placeholders} filled in, all at once: braces in a value stay what they are. Raises KeyError
    for a placeholder without a value."""
    return _PLACE.sub(lambda match: values[match[1]], text)


def placeholders(text: str) -> list[str]:
    """The names of the placeholders, as often as they stand there."""
    return _PLACE.findall(text)


@cache
def language(tag: str) -> Language:
    """A shipped language by its tag, as `tags()` has it."""
    return decoders.toml(Language)(_folder().joinpath(f"{tag}.toml").read_bytes())


@cache
def tags() -> Mapping[str, str]:
    """The tags of the shipped languages, by their lower-case form."""
    found = sorted(file.name.removesuffix(".toml") for file in _folder().iterdir() if file.name.endswith(".toml"))
    return {tag.lower(): tag for tag in found}


@cache
def of_country(country: str) -> str:
    """The language that most in a country read; English where it is not shipped."""
    return _countries().get(country, ENGLISH)


@cache
def _countries() -> Mapping[str, str]:
    text = files("verify_service.messages").joinpath("countries.toml").read_bytes()
    table = msgspec.toml.decode(text, type=dict[str, tuple[str, ...]])
    return {country: tag for tag, countries in table.items() for country in countries}


def lookups(tag: str) -> Iterator[str]:
    """What to look for in the place of a language tag, the nearest first, in lower case: RFC 4647 lookup, with Chinese
    told apart by script."""
    parts = tag.lower().replace("_", "-").split("-")
    parts[0] = _ALIASES.get(parts[0], parts[0])
    if parts[0] == "zh":
        yield "-".join(parts)
        yield "zh-hant" if _TRADITIONAL & set(parts[1:]) and "hans" not in parts else "zh-hans"
        yield "zh"
        return
    while parts:
        yield "-".join(parts)
        parts.pop()
        if parts and len(parts[-1]) == 1:  # What a single letter introduces is gone.
            parts.pop()


@lru_cache(maxsize=1024)
def shipped(tag: str) -> str | None:
    """The shipped language for a tag, or None."""
    return next((tags()[each] for each in lookups(tag) if each in tags()), None)


def _folder() -> Traversable:
    return files("verify_service.messages").joinpath("locales")
