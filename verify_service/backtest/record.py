"""Recorded traffic as it is read: JSON lines ordered by time, with numbers in clear or as an export's pseudonyms."""

import re
from collections.abc import Iterator
from pathlib import Path

import msgspec

from verify_service.errors import ConfigError

_PSEUDONYMS = ["number", "range", "country", "line_type"]
_PSEUDONYM = re.compile(r"[0-9A-Fa-f]{1,64}")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}")
_LATEST_S = 1e11
"""Above it, `at` is no time in seconds; most likely it is in milliseconds."""
JUDGED = frozenset({"start", "approved", "wrong", "canceled"})
"""What can change a decision; every other event is read over."""


class Event(msgspec.Struct, frozen=True, gc=False):
    """One line. `at` is seconds since the epoch, `price` US dollars; `to` (E.164 or an email address) or, in an export,
    the pseudonym `number` with `range`, `line_type` and, of a phone, `country`, and then `ip`, `network`, `user` and
    what `keys` name are pseudonyms as well. `refused` is what refused a start when it was live, `near` ("1" or "0")
    whether its number's neighbours were in use; `repeats` how many refused starts one stands for."""

    at: float
    event: str
    id: str
    to: str | None = None
    ip: str | None = None
    device: str | None = None
    price: float | None = None
    number: str | None = None
    range: str | None = None
    country: str | None = None
    line_type: str | None = None
    network: str | None = None
    refused: str | None = None
    near: str | None = None
    tenant: str = "default"
    purpose: str = "login"
    channel: str = "sms"
    keys: dict[str, str] | None = None
    user: str | None = None
    repeats: int = 1

    @property
    def pseudonymous(self) -> bool:
        """Whether number and address are an export's pseudonyms."""
        return self.number is not None or self.network is not None

    @property
    def ms(self) -> int:
        """When it happened, in milliseconds since the epoch."""
        return round(self.at * 1000)


class Line(msgspec.Struct, frozen=True, gc=False):
    """An event with its place in the file: `number` counts from 1, `end` is the bytes read with it."""

    number: int
    end: int
    event: Event


def read(path: Path) -> Iterator[Line]:
    """The lines that matter, in order. Raises ConfigError naming file, line and fault: for what is no event, for a
    start without its number, and for a line that is earlier than the last one that mattered."""
    decode = msgspec.json.Decoder(Event).decode
    end, last = 0, 0.0
    try:
        with path.open("rb") as file:
            for number, line in enumerate(file, 1):
                end += len(line)
                if line.isspace():
                    continue
                try:
                    event = decode(line)
                    if event.event not in JUDGED:
                        continue
                    _check(event)
                except (msgspec.MsgspecError, ValueError) as error:
                    raise bad(path, number, str(error)) from None
                except RecursionError:
                    raise bad(path, number, "is nested too deeply") from None
                if event.at < last:
                    raise bad(path, number, "is earlier than a line before it; sort the file by `at`")
                last = event.at
                yield Line(number, end, event)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None


def bad(path: Path, number: int, fault: str) -> ConfigError:
    """What is said of a line that cannot be used."""
    return ConfigError(f"{path}, line {number}: {fault}")


def _check(event: Event) -> None:
    if not 0 <= event.at < _LATEST_S:
        raise ValueError(f"`at` is seconds since the epoch, such as 1790000000.125, not {event.at:g}")
    if event.price is not None and not 0 <= event.price < 1e6:
        raise ValueError("`price` is US dollars per message, 0 or more")
    if event.event != "start":
        return
    if event.to is not None and not event.pseudonymous:
        if "@" not in event.to and not _E164.fullmatch(event.to):
            raise ValueError("`to` is a number in E.164, a + and 7 to 15 digits, or an email address")
        return
    needed = ["number", "range", "line_type"] if event.line_type == "email" else _PSEUDONYMS
    missing = [name for name in needed if getattr(event, name) is None]
    if missing:
        raise ValueError(f"a start has `to`, or number, range, country, line_type as an export has: no `{missing[0]}`")
    if not _PSEUDONYM.fullmatch(event.number or ""):
        raise ValueError("`number` is a pseudonym in hexadecimal digits, 20 of them in an export")
