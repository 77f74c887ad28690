"""The operator's own texts: `[templates]`, `[replies]`, `[notices]`, `[languages]` of verify.toml, read and judged."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta

from verify_service.errors import ConfigError
from verify_service.messages.keywords import Kind
from verify_service.messages.locales import ENGLISH, fill, language, lookups, of_country, placeholders, shipped
from verify_service.messages.measure import share, size
from verify_service.model import NoticeName

TEMPLATE_PLACES = ("code", "brand", "minutes", "life")
SAMPLE_CODE = "12345678"
SAMPLE_MINUTES = 10
Purpose = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_.-]{0,31}\Z")]
_TAG = r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*"
# ISO 639-1, the languages with two letters; of those with three, the ones that are shipped.
_LETTERS = """
aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz ee el en eo
es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik io is it iu ja jv ka kg
ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml mn mr ms mt my na nb nd ne ng nl nn
no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd se sg si sk sl sm sn so sq sr ss st su sv sw ta
te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve vi vo wa wo xh yi yo za zh zu
"""
LANGUAGES = frozenset(_LETTERS.split())
Tag = Annotated[str, Meta(pattern=rf"^{_TAG}\Z")]
Country = Annotated[str, Meta(pattern=r"^([A-Z]{2}|\*)\Z")]
# By language; `rcs`, `voice`, `whatsapp` or `email` in a language's place has texts of its own by language.
Templates = Mapping[Purpose, Mapping[str, str | Mapping[Tag, str]]]
Replies = Mapping[Kind, Mapping[Tag, str]]
# The same by what is told; of channels, `email` alone.
Notices = Mapping[NoticeName, Mapping[str, str | Mapping[Tag, str]]]
Languages = Mapping[Country, Tag]

_LINK = re.compile(r"\b[a-z][a-z0-9+.-]*://|\bwww\.|[a-z0-9-]+\.[a-z]{2,}", re.IGNORECASE)
# Beside the code, these make it another word or number for what looks for a code in the text.
_GLUE = frozenset("-+_/\\#@$£€&*=%'")


class Written(NamedTuple):
    """One text of the operator's: its key in verify.toml, of what it is, by which channel ("": all), its language."""

    key: str
    of: str
    channel: str
    tag: str
    text: str


class Own(msgspec.Struct, frozen=True, eq=False):
    """The operator's texts by (what, channel, language in lower case), and the languages of countries (`*`: all). One
    is made in a process, and is the same as itself alone: composed texts are kept by it."""

    templates: Mapping[tuple[str, str, str], str] = {}
    replies: Mapping[tuple[str, str, str], str] = {}
    notices: Mapping[tuple[str, str, str], str] = {}
    languages: Mapping[str, str] = {}

    def read_in(self, country: str) -> str:
        """The language of a country."""
        return self.languages.get(country) or self.languages.get("*") or of_country(country)


NONE = Own()


def read(templates: Templates, replies: Replies, notices: Notices, languages: Languages, brands: Sequence[str]) -> Own:
    """What is usable with each of the brands. Raises ConfigError naming the key, the fault and the fix."""
    codes, answers, told = list(texts(templates)), list(answers_of(replies)), list(notices_of(notices))
    for each in (*codes, *answers, *told):
        for fault in faults(each, brands):
            raise ConfigError(f"{each.key}: {fault}")
    found = Own(
        templates=_by_place(codes),
        replies=_by_place(answers),
        notices=_by_place(told),
        languages=languages,
    )
    for each in (*codes, *answers, *told):
        spoken = _key(each.tag).partition("-")[0]
        if not shipped(each.tag) and spoken not in LANGUAGES and each.tag not in languages.values():
            meant = f"; did you mean {spoken[:2]!r}?" if spoken[:2] in LANGUAGES else ""
            raise ConfigError(f'{each.key}: there is no language "{each.tag}"{meant}')
    for country, tag in languages.items():
        if not shipped(tag) and not any(_key(tag) == own for *_, own in found.templates):
            raise ConfigError(f'languages.{country}: "{tag}" is not shipped, and no template is written in it')
    return found


def texts(templates: Templates) -> Iterator[Written]:
    """The texts of `[templates]`. Raises ConfigError for a key that is neither a language nor a channel."""
    return _written("templates", templates, ("rcs", "voice", "whatsapp", "email"))


def notices_of(notices: Notices) -> Iterator[Written]:
    """The texts of `[notices]`. Raises as `texts`."""
    return _written("notices", notices, ("email",))


def _written(
    table: str, by_name: Mapping[Any, Mapping[str, str | Mapping[Tag, str]]], channels: Sequence[str]
) -> Iterator[Written]:
    for name, by_tag in by_name.items():
        for tag, text in by_tag.items():
            key = f"{table}.{name}.{tag}"
            if isinstance(text, str):
                if not re.fullmatch(_TAG, tag):
                    raise ConfigError(f"{key}: is not a language tag, such as en or pt-BR")
                yield Written(key, name, "", tag, text)
                continue
            if tag not in channels:
                known = " or ".join(", ".join(f"`{each}`" for each in channels).rsplit(", ", 1))
                raise ConfigError(f"{key}: a table here is {known}")
            for own, words in text.items():
                yield Written(f"{key}.{own}", name, tag, own, words)


def answers_of(replies: Replies) -> Iterator[Written]:
    """The texts of `[replies]`."""
    for kind, by_tag in replies.items():
        for tag, text in by_tag.items():
            yield Written(f"replies.{kind}.{tag}", kind, "", tag, text)


def _by_place(texts: Sequence[Written]) -> Mapping[tuple[str, str, str], str]:
    return {(each.of, each.channel, _key(each.tag)): each.text for each in texts}


def _key(tag: str) -> str:
    return next(lookups(tag))


def sample(text: Written, brand: str) -> str:
    """The text with the longest code, and ten minutes. Raises KeyError for a placeholder that there is not."""
    values = {"brand": brand}
    if text.key.startswith("templates."):
        life = language(shipped(text.tag) or ENGLISH).life(SAMPLE_MINUTES)
        values |= {"code": SAMPLE_CODE, "minutes": str(SAMPLE_MINUTES), "life": life}
    return fill(text.text, **values)


def faults(text: Written, brands: Sequence[str]) -> Iterator[str]:
    """What is wrong with a text, each with the fix."""
    asks = text.key.startswith("templates.")
    known = TEMPLATE_PLACES if asks else ("brand",)
    names = placeholders(text.text)
    if unknown := [name for name in names if name not in known]:
        yield f"there is no {{{unknown[0]}}}; write {', '.join(f'{{{name}}}' for name in known)}"
        return
    if re.search(r"[{}]", fill(text.text, **dict.fromkeys(known, ""))):
        yield f"has a brace that belongs to no placeholder; there are {', '.join(f'{{{name}}}' for name in known)}"
        return
    if asks and (names.count("code") != 1 if text.channel != "voice" else "code" not in names):
        yield "needs {code} once, where the code is to stand"
        return
    if "life" in names and not shipped(text.tag):
        yield f'{{life}} is not known in "{text.tag}"; write {{minutes}} and the word for it'
    if any(unicodedata.category(char) in ("Cc", "Zl", "Zp") and char != "\n" for char in text.text):
        yield "has a control character; of those, only a line feed may stand in a text"
    if asks and text.channel != "voice":
        yield from _hiding(text.text)
    if text.key.startswith("notices."):
        yield from _linked(text.text, "a person who is warned must not be asked to follow one")
    if not text.channel:
        yield from _too_long(text, brands)


def _hiding(template: str) -> Iterator[str]:
    """What keeps a phone from finding the code, or a carrier from carrying it."""
    if glued := _glued(template):
        yield f"{{code}} touches {glued!r}, so phones do not find the code; put a space between them"
    bare = re.sub(r"\{\w+\}", " ", template.replace("{brand}", "B"))
    if re.search(r"\d{4}", re.sub(r"(?<=\d)[ .-](?=\d)", "", bare)):
        yield "has another number of four digits or more, which phones may fill in for the code; take it out"
    yield from _linked(template, "carriers filter codes with links")


def _linked(template: str, why: str) -> Iterator[str]:
    bare = re.sub(r"\{\w+\}", " ", template.replace("{brand}", "B"))
    if link := _LINK.search(bare):
        shown = bare[link.start() :].split()[0]
        yield f"has a link ({shown}); {why}: take it out"


def _too_long(text: Written, brands: Sequence[str]) -> Iterator[str]:
    longest = max(brands, key=lambda brand: share(sample(text, brand)))
    found = size(sample(text, longest))
    if found.segments > 1:
        yield (
            f'takes {found.segments} segments with the brand "{longest}", each billed: {found.used} of '
            f"{found.room} {found.encoding} units; shorten it by {found.used - found.room}"
        )


def _glued(text: str) -> str | None:
    """What stands right beside {code} and would be taken for a part of it; scripts without spaces are told apart."""
    before, _, after = text.partition("{code}")
    if after[:1] in (".", ",", ":") and after[1:2].isalnum():
        return after[:2]
    return next((char for char in (before[-1:], after[:1]) if char and (char in _GLUE or _joins(char))), None)


def _joins(char: str) -> bool:
    return char in "{}" or char.isdigit() or char.isupper() or char.islower()
