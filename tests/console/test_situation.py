"""The sentences that the first page begins with: whether the service is under attack, where, what it costs, and what to
press."""

from typing import Any

import msgspec

from verify_service.insight.budgets import Budget
from verify_service.insight.situation import Picture, Press, situation
from verify_service.store.blocks import Block

NOW = 1_800_021_600_000  # 2027-01-15T14:00Z
MINUTE = 60_000
DAY = 1440 * MINUTE


def block(place: str, **more: Any) -> Block:
    facts: dict[str, Any] = {
        "id": "bl_1",
        "rule": "pumping",
        "mode": "enforce",
        "place": place,
        "at": NOW - 28 * MINUTE,
        "till": NOW,
        "messages": 40.0,
        "converted": 1.0,
        "usual_conversion": 0.7,
        "evidence": 12.0,
        "needed": 11.0,
        "an_hour": 60.0,
        "usual_an_hour": 2.0,
        "refused": 0,
        "observed": 0,
        "observed_converted": 0,
        "probes": 0,
        "probes_converted": 0,
    }
    return Block(**(facts | more))


def budget(used: float, frees_at: int = 0, mode: str = "enforce") -> Budget:
    figures: dict[str, Any] = {"used": used, "most": 40.0, "window": DAY, "frees_at": frees_at}
    return Budget(name="spend", mode=mode, country="TN", tenant="", **figures)


def test_nothing_unusual_is_said_in_so_many_words() -> None:
    """Of a service that nobody has used, and of an ordinary day."""
    assert situation(Picture(now=NOW)) == ("quiet", "Nothing unusual", ())
    provider = {"provider": "fake-a", "channel": "sms", "weight_percent": 100, "reason": None}
    ordinary = Picture(
        now=NOW,
        recent={"starts": 500, "refused": 30},
        usual={"starts": 480, "refused": 25},
        hour={"sent": 1900, "approved": 1300},
        day={"sent": 40_000, "approved": 28_000},
        budgets=[budget(31.9)],
        providers=[provider],
    )
    assert situation(ordinary).state == "quiet"


def test_an_attack_is_told_with_its_places_its_cost_and_what_to_press() -> None:
    """The places with most starts first, three by name; the money that refusals saved."""
    blocks = [block("+4479", refused=1240), *(block(f"+21620{place}", refused=place) for place in range(1, 5))]
    state, headline, (attack,) = situation(Picture(now=NOW, blocks=blocks, price=lambda _: 0.075))
    assert (state, headline) == ("attack", "Under attack")
    assert attack.sentence == (
        "+4479… is blocked since 13:32 UTC: 1,240 starts refused, about $93 saved; "
        "+216204… is blocked since 13:32 UTC: 4 starts refused, about $0.30 saved; "
        "+216203… is blocked since 13:32 UTC: 3 starts refused, about $0.22 saved; and 2 more places with 3 starts."
    )
    assert attack.press == (
        Press("See the blocks", "blocks"),
        Press("See these starts", "decisions", {"outcome": "refused", "rule": "pumping"}),
    )


def test_an_attack_that_a_rule_only_watches_says_what_it_costs() -> None:
    """And that the rule can refuse it. A block of yesterday says its day."""
    watched = block("+4479", mode="observe", observed=400, at=NOW - DAY)
    state, _, (attack,) = situation(Picture(now=NOW, blocks=[watched], price=lambda _: 0.05))
    assert state == "attack"
    assert attack.sentence == (
        "+4479… would be blocked since 2027-01-14 14:00 UTC: 400 starts went out that would be refused, about $20. "
        "The rule pumping only watches, so nothing is refused."
    )
    assert [each.words for each in attack.press] == [
        *("See the blocks", "Let the rule pumping refuse", "See these starts"),
    ]


def test_unusual_refusals_are_told_where_no_block_explains_them() -> None:
    """More than thrice the usual, and more than chance; never where the usual is not known yet."""

    def told(refused: int, usual: int | None, **more: Any) -> list[str]:
        before = None if usual is None else {"refused": usual}
        seen = Picture(now=NOW, recent={"refused": refused}, usual=before, rules={"ip": 200, "number": 9}, **more)
        return [finding.sentence for finding in situation(seen).findings]

    assert told(320, 12) == [
        "More is refused than usual: 320 starts in the last 15 minutes, where about 12 are usual, most of them by ip."
    ]
    assert told(36, 12) == told(19, 0) == told(320, None) == told(320, 200) == []
    assert len(told(320, 12, blocks=[block("+4479")])) == 1
    assert "blocked" in told(320, 12, blocks=[block("+4479")])[0]


def test_fewer_codes_than_usual_are_told() -> None:
    """By shares, and not of a few messages."""

    def told(sent: int, approved: int) -> list[str]:
        day = {"sent": 1000, "approved": 700}
        seen = Picture(now=NOW, hour={"sent": sent, "approved": approved}, day=day)
        return [finding.sentence for finding in situation(seen).findings]

    assert told(400, 12) == [
        "Fewer codes are entered than usual: 3% of the 400 messages of the last hour, where 70% is usual. "
        "Either messages do not arrive, or nobody waits for them."
    ]
    assert told(400, 250) == told(29, 0) == told(0, 0) == []


def test_providers_budgets_and_readiness_are_told() -> None:
    """Each with the page that explains it; an attack stands before them."""
    down = {"provider": "twilio", "channel": "sms", "weight_percent": 40, "reason": "3 tries in a row failed"}
    seen = Picture(
        now=NOW,
        providers=[down],
        budgets=[budget(40.0, NOW + 34 * MINUTE), budget(39.0, NOW + 34 * MINUTE, "observe"), budget(32.0)],
        reasons=["no dispatcher is alive: messages wait in the outbox"],
    )
    state, headline, findings = situation(seen)
    assert (state, headline) == ("look", "Something needs a look")
    assert [(finding.sentence, finding.press[0].page) for finding in findings] == [
        ("The service is not ready: no dispatcher is alive: messages wait in the outbox.", "delivery"),
        ("The provider twilio gets 40% of its share of sms: 3 tries in a row failed.", "delivery"),
        ("The budget spend of TN is spent, $40 of $40 within a day: it refuses starts until 14:34 UTC.", "policy"),
        ("The budget spend of TN is spent, $39 of $40 within a day: it would refuse starts until 14:34 UTC.", "policy"),
        ("The budget spend of TN is nearly spent: $32 of $40 within a day.", "policy"),
    ]
    attacked = msgspec.structs.replace(seen, blocks=[block("+4479")])
    assert [finding.state for finding in situation(attacked).findings] == ["attack", *["look"] * 5]
