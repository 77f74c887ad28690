"""What each text takes and leaves room for: the figures of `verify-service messages lint`."""

from collections.abc import Iterator, Sequence
from typing import get_args

import msgspec

from verify_service.messages.composing import compose, notice, sentences
from verify_service.messages.locales import language, tags
from verify_service.messages.measure import Encoding, foreign, share, size
from verify_service.messages.own import SAMPLE_CODE, SAMPLE_MINUTES, Written, faults, sample
from verify_service.model import NoticeName

APP_HASH_LINE = 12
_ORIGIN_LINE = len(f"\n@ #{SAMPLE_CODE}")


class Figures(msgspec.Struct, frozen=True):
    """One text with its longest brand, an 8-digit code and ten minutes.

    `used` of the `room` of a segment; `forces_ucs2` has each character that GSM-7 lacks, with what GSM-7 has in its
    place. `longest_host` is how long the host of a WebOTP line may be in one segment, with all that the text says, and
    `longest_host_short` with the code's sentence alone; an app hash takes 12 of either; None where there is no room.
    """

    text: str
    encoding: Encoding
    used: int
    room: int
    segments: int
    forces_ucs2: dict[str, str | None]
    longest_host: int | None = None
    longest_host_short: int | None = None
    faults: tuple[str, ...] = ()


def of_shipped(brands: Sequence[str]) -> Iterator[Figures]:
    """Each shipped text, each shipped reply, and each shipped notice."""
    for tag in tags().values():
        words = language(tag)
        for purpose in ("default", "transaction"):
            values = {"code": SAMPLE_CODE, "minutes": str(SAMPLE_MINUTES), "life": words.life(SAMPLE_MINUTES)}
            every = [sentences(words, purpose, {**values, "brand": brand}) for brand in brands]
            sent = [compose(purpose, "sms", tag, "", SAMPLE_CODE, brand, SAMPLE_MINUTES).body for brand in brands]
            yield _figures(f"{purpose} {tag}", sent, [words.join.join(each) for each in every], [e[0] for e in every])
        for kind in ("stop", "start", "help"):
            answer: str = getattr(words.replies, kind)
            yield _figures(f"reply {kind} {tag}", [answer.replace("{brand}", brand) for brand in brands])
        for name in get_args(NoticeName):
            yield _figures(f"notice {name} {tag}", [notice(name, "sms", brand, tag).body for brand in brands])


def of_own(texts: Sequence[Written], brands: Sequence[str]) -> Iterator[Figures]:
    """Each of the operator's texts that goes out by SMS, with its faults."""
    for text in texts:
        found = tuple(faults(text, brands))
        try:
            bodies = [sample(text, brand) for brand in brands]
        except KeyError:
            bodies = [text.text]
        hosts = bodies if text.key.startswith("templates.") else []
        yield msgspec.structs.replace(_figures(text.key, bodies, hosts, hosts), faults=found)


def _figures(name: str, bodies: Sequence[str], whole: Sequence[str] = (), short: Sequence[str] = ()) -> Figures:
    body = max(bodies, key=share)
    return Figures(name, *size(body), foreign(body), _host(whole), _host(short))


def _host(bodies: Sequence[str]) -> int | None:
    left = min((size(body).room - size(body).used for body in bodies), default=0) - _ORIGIN_LINE
    return left if left > 0 else None
