"""What a person means who writes STOP, START or HELP, in any shipped language."""

import re
import unicodedata
from collections.abc import Mapping
from functools import cache
from typing import Literal, get_args

from verify_service.messages.locales import language, tags

Kind = Literal["stop", "start", "help"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# Letters that no decomposition makes plain, though people without them on their keys write these.
_PLAIN = str.maketrans({"ı": "i", "ł": "l", "đ": "d", "ø": "o", "æ": "ae", "œ": "oe"})
_ACCENTS = re.compile("[\u0300-\u036f\u064b-\u0655]")


def keyword(body: str) -> Kind | None:
    """What a text asks for, or None. It must be a keyword and nothing else; case, accents, spaces and punctuation do
    not matter. A word that two languages use for two things asks for the safest: stop before help before start."""
    return _meanings().get(fold(body)) if len(body) <= 64 else None


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
