"""Detectors as they are written in the policy file."""

from math import log
from typing import Annotated, Any

from msgspec import Meta

from verify_service.duration import Duration, lasting
from verify_service.policy.base import Mode, Name, Section

Odds = Annotated[float, Meta(ge=2, le=1e12)]
Messages = Annotated[int, Meta(ge=1, le=100_000)]
Times = Annotated[float, Meta(ge=1, le=1000)]

_LEARNING = 0.25
"""The same as `fraud_conversion`, of a rule that is new: pumping converts less, a poor carrier does not."""


class Pumping(Section, frozen=True, tag_field="kind", tag="pumping"):
    """SMS pumping: more starts than usual to a carrier prefix or a block of 10,000 numbers, and nobody enters the code.

    Evidence is odds: how many times likelier what was seen is under fraud than under the place's own usual conversion.
    """

    name: Name
    mode: Mode = "observe"
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
