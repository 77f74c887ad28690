"""What a person means who writes STOP, START or HELP, in any shipped language."""

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import Literal, get_args

from verify_service.messages.locales import ENGLISH, language, of_country, tags

Kind = Literal["stop", "start", "help"]
KINDS: tuple[Kind, ...] = get_args(Kind)
_MOST = 64
# Letters that no decomposition makes plain, though people without them on their keys write these.
_PLAIN = str.maketrans({"ı": "i", "ł": "l", "đ": "d", "ø": "o", "æ": "ae", "œ": "oe"})
_ACCENTS = re.compile("[\u0300-\u036f\u064b-\u0655]")


def keyword(body: str) -> Kind | None:
    """What a text asks for, or None. It must be a keyword and nothing else; case, accents, spaces and punctuation do
    not matter. A word that two languages use for two things asks for the safest: stop before help before start."""
    return _meanings().get(fold(body)) if len(body) <= _MOST else None


def tongue(body: str, country: str) -> str:
    """The language to answer a keyword in, where it is not the country's: that of the word, as of ARRET from Canada. ""
    for a word that is English, and so everybody's, or one of the country's own."""
    known = _tongues().get(fold(body), ()) if len(body) <= _MOST else ()
    return "" if not known or ENGLISH in known or of_country(country) in known else known[0]


def fold(text: str) -> str:
    """A text down to its bare letters and digits."""
    plain = _ACCENTS.sub("", unicodedata.normalize("NFKD", text.casefold())).casefold().translate(_PLAIN)
    return "".join(char for char in plain if unicodedata.category(char)[0] in "LMN")


@cache
def _meanings() -> Mapping[str, Kind]:
    found: dict[str, Kind] = {}
    safest: tuple[Kind, ...] = ("stop", "help", "start")
    for kind in safest:
        for tag in tags().values():
            for word in getattr(language(tag).keywords, kind):
                found.setdefault(fold(word), kind)
    return found


@cache
def _tongues() -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for tag in tags().values():
        for kind in KINDS:
            for word in getattr(language(tag).keywords, kind):
                found[fold(word)] = (*found.get(fold(word), ()), tag)
    return found
