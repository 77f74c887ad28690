"""Detectors of pumping, ready for the scripts: which charts a start belongs to, and under which rule."""

import struct
from collections.abc import Mapping

import msgspec

from verify_service import phone
from verify_service.codes import Tagger
from verify_service.model import Number
from verify_service.policy.base import Mode
from verify_service.policy.limits import Hit
from verify_service.policy.rules import Pumping
from verify_service.policy.sections import Policy

# The tags, whether neighbours were seen, the price: the end of FACTS in kinds/pumping.lua.
_FIGURES = struct.Struct("<IIhd")
_NEAR: dict[str | None, int] = {"1": 1, "0": 0}
_pack = msgspec.msgpack.Encoder().encode


class Watches:
    """The pumping rules of a policy that are not off."""

    def __init__(self, policy: Policy, tagger: Tagger) -> None:
        self._tagger = tagger
        self._price = policy.price
        rules = [rule for rule in policy.rule if isinstance(rule, Pumping) and rule.mode != "off"]
        self.modes: dict[str, Mode] = {rule.name: rule.mode for rule in rules}
        self._rules = [(rule.name, rule.mode == "enforce", _spec(rule)) for rule in rules]

    def of_start(self, number: Number, tag: str, facts: Mapping[str, str | None]) -> list[Hit]:
        """What the rules watch of a start: all of it lies in the partition of the number's country.

        `tag` is the number's. The carrier prefix and the number without its last four digits stand in clear in the keys
        of the charts, numbers under tags. Of an export, whose numbers have no last digits, `facts` says in `near` what
        the live rule saw of neighbours: "1", "0" or nothing. Email addresses have no neighbours and cost nobody
        anything: they are not watched.
        """
        if not self._rules or number.is_email:
            return []
        ip = facts.get("ip")
        known = phone.identity(number.e164)
        names = (number.country, number.prefix[1:], known[1:-4], tag, self._tagger.tag("ip", ip) if ip else "")
        figures = _FIGURES.pack(*self._nearness(known, tag, facts), self._price(number.country))
        packed = b"".join(map(_short, names)) + figures
        owner = self._tagger.tag("country", number.country)
        where = ":".join(names)
        return [
            Hit("pumping", name, owner, f"limit:watch:{name}:{where}:t", spec + packed, 1, enforced)
            for name, enforced, spec in self._rules
        ]

    def _nearness(self, known: str, tag: str, facts: Mapping[str, str | None]) -> tuple[int, int, int]:
        """Short tags of a number and of the sixteen numbers that it is one of; or what is known without them."""
        if "near" in facts:
            return 0, 0, _NEAR.get(facts["near"], -1)
        return int(tag[:8], 16), int(self._tagger.tag("sixteen", str(int(known[1:]) // 16))[:8], 16), 2


def sentence(name: str, verb: str, place: str | None, evidence: Mapping[str, str | int | float], wait: float) -> str:
    """What a pumping rule says of a start, with its figures; `wait` is what is left of a block, in milliseconds.

    Under a block the evidence fades, since nothing is sent: what it was made on stands in the list of blocks.
    """
    if place is None:
        return f"The pumping rule `{name}` {verb}: the number or address has converted before."
    figures = {key: float(value) for key, value in evidence.items()}
    said = (
        f"The pumping rule `{name}` {verb}: {place} had {figures['messages']:.0f} messages in about three hours, "
        f"{figures['converted']:.0f} converted, where {figures['usual_conversion']:.0%} is usual; "
        f"{figures['an_hour']:.0f} starts an hour, where {figures['usual_an_hour']:.1f} is usual; "
        f"the odds for fraud are {_odds(figures['odds'])}{' by now' if 'refused' in figures else ''}"
    )
    if "refused" in figures:
        said += (
            f", and it stays blocked for another {max(1, -(-int(wait) // 60_000))} min on what the block was made on, "
            "which `verify-service blocks list` shows"
        )
    else:
        said += (
            f", and a block needs {_odds(figures['needed_odds'])} and {figures['needed_an_hour']:.1f} starts an hour, "
            "or as much over six hours"
        )
    if figures["hot"]:
        said += "; its country is under attack"
    if figures["outage"]:
        said += "; its country's route seems dead, so nothing new is blocked"
    return f"{said}."


def _odds(odds: float) -> str:
    return f"{odds:,.0f} to 1"


def _spec(rule: Pumping) -> bytes:
    packed = _pack(rule.spec())
    return len(packed).to_bytes(2, "little") + packed + _short(rule.name)


def _short(text: str) -> bytes:
    return bytes((len(text),)) + text.encode()
