"""What a person means who writes STOP, START or HELP, in any shipped language."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Literal, get_args

from verify_service.messages.locales import ENGLISH, language, of_country, tags

Kind = Literal["stop", "start", "help"]
KINDS: tuple[Kind, ...] = get_args(Kind)
# Characters of a text that is a keyword alone; and of one at all that are read.
_MOST, _MOST_READ = 64, 640
# Letters that no decomposition makes plain, though people without them on their keys write these.
_PLAIN = str.maketrans({"ı": "i", "ł": "l", "đ": "d", "ø": "o", "æ": "ae", "œ": "oe"})
_ACCENTS = re.compile("[\u0300-\u036f\u064b-\u0655]")
_ENDS = re.compile("[\\n\\r.!?;…\u037e。！？；؟۔।॥]+")
_JOINS = frozenset("'’ʼ-‐‑\u200c\u200d")
# Scripts that set no spaces between words, as far as decomposition leaves of them: each character counts for itself.
_UNSPACED = "\u0e00-\u0e7f\u1100-\u11ff\u3040-\u30ff\u3400-\u9fff"
_TOKENS = re.compile(f"[{_UNSPACED}]|[^\\s{_UNSPACED}]+")
# What counts within another word, too. Of other keywords too many stand in innocent ones: cancel in cancelled, pare in
# prepare, baja in trabajar.
_ANYWHERE = "stop"


def keyword(body: str) -> Kind | None:
    """What a text asks for, or None. It must be a keyword and nothing else; case, accents, spaces and punctuation do
    not matter. A word that two languages use for two things asks for the safest: stop before help before start.

    A stop may say more: its first sentence or line, but for words of courtesy, must be such keywords and nothing else.
    """
    return _meanings().get(_word(body))


def is_unclear(body: str) -> bool:
    """Whether a text that is no keyword holds a word that would be a stop by itself, as `don't stop` and `nonstop` do.
    But for `stop` it must be a word of its own."""
    return keyword(body) is None and _held().search(_spaced(body[:_MOST_READ])) is not None


def tongue(body: str, country: str) -> str:
    """The language to answer a keyword in, where it is not the country's: that of the word, as of ARRET from Canada. ""
    for a word that is English, and so everybody's, or one of the country's own."""
    known = _tongues().get(_word(body), ())
    return "" if not known or ENGLISH in known or of_country(country) in known else known[0]


def fold(text: str) -> str:
    """A text down to its bare letters and digits."""
    return "".join(char for char in _plain(text) if unicodedata.category(char)[0] in "LMN")


def _plain(text: str) -> str:
    return _ACCENTS.sub("", unicodedata.normalize("NFKD", text.casefold())).casefold().translate(_PLAIN)


def _spaced(text: str) -> str:
    """The same with a space between words."""
    kept = (char if unicodedata.category(char)[0] in "LMN" else "" if char in _JOINS else " " for char in _plain(text))
    return " ".join("".join(kept).split())


def _word(body: str) -> str:
    """The keyword that a text is, folded; "" where it is none."""
    alone = fold(body[:_MOST]) if len(body) <= _MOST else ""
    if alone in _meanings():
        return alone
    for sentence in _ENDS.split(body[:_MOST_READ]):
        words = _segments(_TOKENS.findall(_spaced(sentence)))
        if words is None:
            return ""
        stops = [word for word in words if word in _stops()]
        if stops:
            return stops[0]
    return ""


def _segments(tokens: Sequence[str]) -> list[str] | None:
    """The tokens as keywords that stop and words of courtesy, each of one or several; None where others are there."""
    known, longest = _known()
    ways: list[list[str] | None] = [[]]
    for end in range(1, len(tokens) + 1):
        ways.append(None)
        word = ""
        for begin in range(end - 1, -1, -1):
            word = tokens[begin] + word
            if len(word) > longest:
                break
            if word in known and (before := ways[begin]) is not None:
                ways[end] = [*before, word]
    return ways[-1]


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
def _stops() -> frozenset[str]:
    return frozenset(word for word, kind in _meanings().items() if kind == "stop")


@cache
def _known() -> tuple[frozenset[str], int]:
    """Words that stop and words of courtesy; and the length of the longest."""
    known = _stops() | {fold(word) for tag in tags().values() for word in language(tag).keywords.polite}
    return known, max(map(len, known))


@cache
def _held() -> re.Pattern[str]:
    """Finds a stop in a text with spaces between its words."""
    words = {_spaced(word) for tag in tags().values() for word in language(tag).keywords.stop}
    free = re.compile(f"[{_UNSPACED}]|{_ANYWHERE}\\Z")
    return re.compile(
        "|".join(re.escape(word) if free.match(word) else rf"(?<!\S){re.escape(word)}(?!\S)" for word in sorted(words))
    )


@cache
def _tongues() -> Mapping[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for tag in tags().values():
        for kind in KINDS:
            for word in getattr(language(tag).keywords, kind):
                found[fold(word)] = (*found.get(fold(word), ()), tag)
    return found
