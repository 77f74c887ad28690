"""Detection of SMS pumping: the rule, and which traffic statistics a start belongs to."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from math import log
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from verify_service import phone
from verify_service.duration import Duration, lasting
from verify_service.policy import bounds
from verify_service.policy.hits import Hit
from verify_service.policy.rule import Ready, Rule
from verify_service.policy.verdicts import Judged, verb

if TYPE_CHECKING:
    from verify_service.codes import Tagger
    from verify_service.model import Number
    from verify_service.policy.sections import Policy

Odds = Annotated[float, Meta(ge=2, le=1e12)]
Messages = Annotated[int, Meta(ge=1, le=100_000)]
Times = Annotated[float, Meta(ge=1, le=1000)]

_LEARNING = 0.25
"""The same as `fraud_conversion`, of a rule that is new: pumping converts less, a poor carrier does not."""


class Pumping(Rule, frozen=True, kw_only=True, tag="pumping"):
    """SMS pumping: more starts than usual to a carrier prefix or a block of 10,000 numbers, and nobody enters the code.

    Evidence is odds: how many times likelier what was seen is under fraud than under the place's own usual conversion.
    """

    usual_conversion: Annotated[
        float, Meta(ge=0.3, le=0.95, description="Share of codes entered, for a country with no history yet.")
    ] = 0.75
    fraud_conversion: Annotated[
        float, Meta(ge=0.05, le=0.9, description="Fraud is a conversion of this share of the place's usual one.")
    ] = 0.5
    prefix_odds: Annotated[Odds, Meta(description="Odds for fraud at which a carrier prefix is blocked.")] = 150_000
    hot_odds: Annotated[Odds, Meta(description="The same in a country that is under attack.")] = 4
    block_odds: Annotated[Odds, Meta(description="Odds at which a block of 10,000 numbers is blocked.")] = 20_000
    country_odds: Annotated[Odds, Meta(description="Odds at which a country counts as under attack.")] = 100_000
    prefix_messages: Annotated[Messages, Meta(description="Starts an hour that no prefix is blocked below.")] = 6
    block_messages: Annotated[Messages, Meta(description="The same for a block of 10,000 numbers.")] = 6
    country_messages: Annotated[Messages, Meta(description="The same for a country.")] = 12
    excess: Annotated[Times, Meta(description="Starts an hour, in times of the usual, that a block needs.")] = 3
    excess_six_hours: Annotated[Times, Meta(description="The same over six hours.")] = 2.2
    refusal_cost: Annotated[
        float, Meta(ge=0, le=100, description="Dollars that one wrongly refused start is worth.")
    ] = 0.1
    block_for: Annotated[Duration, Meta(description="The first block of a place; each that follows lasts twice.")] = (
        lasting("1 hour")
    )
    block_most: Annotated[Duration, Meta(description="The longest block.")] = lasting("12 hours")
    probe_every: Annotated[int, Meta(ge=2, le=10_000, description="One start in so many passes a block.")] = 60
    trust_after: Annotated[Duration, Meta(description="Age of a conversion that makes its number trusted.")] = lasting(
        "1 day"
    )
    learn_for: Annotated[
        Duration, Meta(description="How long after its first start the rule takes a poor carrier for no fraud.")
    ] = lasting("36 hours")
    forgive: Annotated[Duration, Meta(description="How long a lifted place needs half as much again.")] = lasting(
        "7 days"
    )

    first: ClassVar[bool] = True

    def problems(self, at: str, policy: Policy) -> Iterator[str]:
        kept = {
            "block_for": (self.block_for, bounds.MOST_BLOCK_MS, bounds.BLOCKS),
            "block_most": (self.block_most, bounds.MOST_BLOCK_MS, bounds.BLOCKS),
            "learn_for": (self.learn_for, bounds.MOST_LEARN_MS, bounds.LEARNT),
            "forgive": (self.forgive, bounds.MOST_LEARN_MS, bounds.LEARNT),
            "trust_after": (self.trust_after, bounds.MOST_TRUST_MS, bounds.TRUSTED),
        }
        yield from bounds.lengths((f"{at}.{key}", *bound) for key, bound in kept.items())
        if self.block_most.ms < self.block_for.ms:
            yield (
                f"{at}.block_most: is {self.block_most.text}, shorter than the first block; "
                f'make it "{self.block_for.text}" or longer, or shorten block_for'
            )

    def ready(self, policy: Policy, tagger: Tagger) -> Ready:
        return _Ready(self, policy, tagger)

    @classmethod
    def sentence(cls, judged: Judged) -> str:
        """Under a block the evidence fades, since nothing is sent: what it was made on stands in the list of blocks."""
        rule = f"The pumping rule `{judged.name}` {verb(judged)}"
        if judged.key is None:
            return f"{rule}: the number or address has converted before."
        figures = {key: float(value) for key, value in judged.evidence.items()}
        said = (
            f"{rule}: {judged.key} had {figures['messages']:.0f} messages in about three hours, "
            f"{figures['converted']:.0f} converted, where {figures['usual_conversion']:.0%} is usual; "
            f"{figures['an_hour']:.0f} starts an hour, where {figures['usual_an_hour']:.1f} is usual; "
            f"the odds for fraud are {_odds(figures['odds'])}{' by now' if 'refused' in figures else ''}"
        )
        if "refused" in figures:
            said += (
                f", and it stays blocked for another {max(1, -(-int(judged.wait) // 60_000))} min on what the block "
                "was made on, which `verify-service blocks list` shows"
            )
        else:
            said += (
                f", and a block needs {_odds(figures['needed_odds'])} and {figures['needed_an_hour']:.1f} starts an "
                "hour, or as much over six hours"
            )
        if figures["hot"]:
            said += "; its country is under attack"
        if figures["outage"]:
            said += "; its country's route seems dead, so nothing new is blocked"
        return f"{said}."

    def spec(self) -> dict[str, Any]:
        """The rule as the detector's Lua takes it: odds as logarithms, times in milliseconds."""
        return {
            "name": self.name,
            "enforced": self.mode == "enforce",
            "usual": self.usual_conversion,
            "drop": self.fraud_conversion,
            "learn_drop": min(self.fraud_conversion, _LEARNING),
            "learn_for": self.learn_for.ms,
            "prefix": log(self.prefix_odds),
            "hot": log(self.hot_odds),
            "block": log(self.block_odds),
            "country": log(self.country_odds),
            "prefix_messages": self.prefix_messages,
            "block_messages": self.block_messages,
            "country_messages": self.country_messages,
            "excess": self.excess,
            "excess_six": self.excess_six_hours,
            "cost": self.refusal_cost,
            "block_for": self.block_for.ms,
            "block_most": self.block_most.ms,
            "probe_every": self.probe_every,
            "trust_after": self.trust_after.ms,
            "forgive": self.forgive.ms,
        }


# The tags, whether neighbours were seen, the price: the end of FACTS in kinds/pumping.lua.
_FIGURES = struct.Struct("<IIhd")
_NEAR: dict[str | None, int] = {"1": 1, "0": 0}
_pack = msgspec.msgpack.Encoder().encode


class _Ready:
    def __init__(self, rule: Pumping, policy: Policy, tagger: Tagger) -> None:
        self._name = rule.name
        self._enforced = rule.mode == "enforce"
        packed = _pack(rule.spec())
        self._spec = len(packed).to_bytes(2, "little") + packed + _short(rule.name)
        self._price = policy.price
        self._tagger = tagger

    def hits(self, number: Number, tag: str, facts: Mapping[str, str | None]) -> list[Hit]:
        """All that is known of a start lies in the partition of the number's country.

        The carrier prefix and the number without its last four digits stand in clear in the keys of the statistics,
        numbers under tags. Of an export, whose numbers have no last digits, `facts` says in `near` what the live rule
        saw of neighbours: "1", "0" or nothing. Email addresses have no neighbours and cost nobody anything: they are
        not looked at.
        """
        if number.is_email:
            return []
        ip = facts.get("ip")
        known = phone.identity(number.e164)
        names = (number.country, number.prefix[1:], known[1:-4], tag, self._tagger.tag("ip", ip) if ip else "")
        figures = _FIGURES.pack(*self._nearness(known, tag, facts), self._price(number.country))
        spec = self._spec + b"".join(map(_short, names)) + figures
        owner = self._tagger.tag("country", number.country)
        key = f"limit:watch:{self._name}:{':'.join(names)}:t"
        return [Hit("pumping", self._name, owner, key, spec, 1, self._enforced)]

    def _nearness(self, known: str, tag: str, facts: Mapping[str, str | None]) -> tuple[int, int, int]:
        """Short tags of a number and of the sixteen numbers that it is one of; or what is known without them."""
        if "near" in facts:
            return 0, 0, _NEAR.get(facts["near"], -1)
        return int(tag[:8], 16), int(self._tagger.tag("sixteen", str(int(known[1:]) // 16))[:8], 16), 2


def _odds(odds: float) -> str:
    return f"{odds:,.0f} to 1"


def _short(text: str) -> bytes:
    return bytes((len(text),)) + text.encode()
