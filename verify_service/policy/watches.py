"""Detectors of pumping, ready for the scripts: which charts a start belongs to, and under which rule."""

from collections.abc import Mapping

import msgspec

from verify_service.codes import Tagger
from verify_service.model import Number
from verify_service.policy.limits import Hit
from verify_service.policy.rules import Pumping
from verify_service.policy.sections import Policy

_pack = msgspec.msgpack.Encoder().encode


class Watches:
    """The pumping rules of a policy that are not off."""

    def __init__(self, policy: Policy, tagger: Tagger) -> None:
        self._tagger = tagger
        self._price = policy.price
        rules = [rule for rule in policy.rule if isinstance(rule, Pumping) and rule.mode != "off"]
        self._rules = [(rule.name, b"w\x92" + _text(_pack(rule.spec()))) for rule in rules]

    def of_start(self, number: Number, tag: str, facts: Mapping[str, str | None]) -> list[Hit]:
        """What the rules watch of a start: all of it lies in the partition of the number's country.

        `tag` is the number's. The carrier prefix and the number without its last four digits stand in clear in the keys
        of the charts; which numbers of a block were used stands under a tag. Of an export, whose numbers have no last
        digits, `facts` says in `near` what the live rule saw of neighbours: "1", "0" or nothing. Email addresses have
        no neighbours and cost nobody anything: they are not watched.
        """
        if not self._rules or number.is_email:
            return []
        block, place, near = number.e164[1:-4], int(number.e164[-4:]), None
        if "near" in facts:
            place, near = -1, {"1": True, "0": False}.get(facts["near"] or "")
        ip = facts.get("ip")
        about = {
            "country": number.country,
            "prefix": number.prefix[1:],
            "block": block,
            "near_tag": self._tagger.tag("block", block),
            "place": place,
            "number": tag,
            "ip": self._tagger.tag("ip", ip) if ip else "",
            "price": self._price(number.country),
        }
        if near is not None:
            about["near"] = near
        packed = _pack(about)
        owner = self._tagger.tag("country", number.country)
        where = f"{number.country}:{about['prefix']}:{block}:{tag}:{about['ip']}:t"
        return [Hit(name, owner, f"limit:watch:{name}:{where}", spec + packed, True) for name, spec in self._rules]


def sentence(name: str, verb: str, place: str | None, evidence: Mapping[str, str | int | float]) -> str:
    """What a pumping rule says of a start, with its figures."""
    if place is None:
        return f"The pumping rule `{name}` {verb}: the number or address has converted before."
    figures = {key: float(value) for key, value in evidence.items()}
    said = (
        f"The pumping rule `{name}` {verb}: {place} had {figures['messages']:.0f} messages in about three hours, "
        f"{figures['converted']:.0f} converted, where {figures['usual_conversion']:.0%} is usual; "
        f"{figures['an_hour']:.0f} starts an hour, where {figures['usual_an_hour']:.1f} is usual"
    )
    if figures["hot"]:
        said += "; its country is under attack"
    if figures["outage"]:
        said += "; its country's route seems dead, so nothing new is blocked"
    return f"{said}."


def _text(packed: bytes) -> bytes:
    """Bytes as a msgpack string: the server's msgpack has one kind of string."""
    return b"\xdb" + len(packed).to_bytes(4, "big") + packed
