"""What the team is told of: each incident once, whoever looks, and when it is over."""

from collections.abc import Callable
from pathlib import Path

import pytest
from standardwebhooks import Webhook

from tests.support.alerts import MAIL, SECRET, TEXT, AlertBench, attacked
from tests.support.bench import a_start
from tests.support.budgets import PRICES
from tests.support.detector import policy_of
from tests.support.dispatching import report
from tests.support.faults import GUARD
from tests.support.vendor import Vendor
from verify_service.duration import rfc3339
from verify_service.errors import ConfigError
from verify_service.insight.alerts import open_incidents
from verify_service.model import Actor
from verify_service.policy.live import LivePolicy
from verify_service.store import Store
from verify_service.store.health import Report

BUDGET = '[[rule]]\nname = "spend"\nkind = "budget"\nof = ["country"]\nallow = "$2/day"\nmode = "enforce"\n'
MINUTE = 60


@pytest.fixture
def under(quiet: Store, tmp_path: Path, vendor: Vendor) -> Callable[..., AlertBench]:
    """A team that is told of what happens under a policy."""
    return lambda policy=GUARD, toml="": AlertBench(quiet, tmp_path, vendor, policy, toml)


def test_an_attack_is_told_once_by_each_channel_and_so_is_its_end(under: Callable[..., AlertBench]) -> None:
    """A signed webhook, an email and a text, each with the sentence and the page that explains it; no number is in any.
    What comes again before it is over is the same incident."""
    team = under(policy_of("pumping", "enforce"))
    team.round()
    assert team.posts == []
    attacked(team)
    team.round()
    team.round()
    begun = rfc3339(team.bench.clock.ms - 15_000)
    sentence, link = (
        "1 place is blocked there, 1 start was refused so far.",
        "https://verify.acme.example/console/blocks",
    )
    [(headers, body)] = team.vendor.requests
    Webhook(SECRET).verify(body, headers)
    [post] = team.posts
    assert post == {
        "type": "alert.opened",
        "timestamp": begun,
        "data": {
            "id": post["data"]["id"],
            "name": "attack",
            "title": "Under attack: TN",
            "object": "TN",
            "since": begun,
            "sentence": sentence,
            "figures": {"blocks": 1, "enforced": 1, "refused": 1, "observed": 0},
            "link": link,
        },
    }
    [text], [mail] = team.messages("a"), team.messages("only")
    assert (text.to, text.channel, text.code, text.sender) == (TEXT, "sms", "", "Verify")
    assert text.body == f"Verify: Under attack: TN. {sentence} {link}"
    assert (mail.to, mail.channel, mail.subject) == (MAIL, "email", "[Verify] Under attack: TN")
    figures = "blocks: 1\nenforced: 1\nobserved: 0\nrefused: 1\n"
    assert mail.body == f"{sentence}\n\nSince {begun}\n{figures}\n{link}\n"
    for block in team.store.blocks.list(team.bench.clock.now()):
        team.bench.relief.lift(block.id, Actor("test"), "a test")
    team.round(5 * MINUTE)
    attacked(team, "+216203")
    team.round(9 * MINUTE)
    assert [incident.object for incident in open_incidents(team.store)] == ["TN"]
    for block in team.store.blocks.list(team.bench.clock.now()):
        team.bench.relief.lift(block.id, Actor("test"), "a test")
    team.round(10 * MINUTE - 1)
    assert team.told == ["opened Under attack: TN"]
    team.round(1)
    assert team.told == ["opened Under attack: TN", "resolved Under attack: TN"]
    assert team.posts[1]["data"]["ended_at"] == rfc3339(team.bench.clock.ms)
    assert [message.subject for message in team.messages("only")][1] == "[Verify] Resolved: Under attack: TN"
    assert team.messages("a")[1].body.startswith("Verify: Resolved: Under attack: TN. ")
    assert open_incidents(team.store) == []
    assert [incident.ended for incident in team.store.alerts.past()] == [team.bench.clock.ms]


def test_a_rule_that_only_watches_says_so(under: Callable[..., AlertBench]) -> None:
    """An attack that nobody stops is told as well."""
    team = under(policy_of("pumping", "observe"))
    for place in range(60):
        team.bench.clock.advance(30)
        team.bench.service.start("default", a_start(f"+216201{place * 137:05d}"))
    team.round()
    [post] = team.posts
    observed = post["data"]["figures"]["observed"]
    assert observed > 10
    assert post["data"]["sentence"] == (
        "1 place is under attack there and not blocked, because the rule only watches: "
        f"{observed} starts were let through that it would have refused."
    )


def test_a_provider_that_is_down_and_one_that_nobody_stands_in_for(under: Callable[..., AlertBench]) -> None:
    """One has lost its weight, the other keeps it and fails: both are told once they were so for half a minute, and are
    over once they do well again."""
    team = under()
    groups, clock = [["a/sms", "b/sms"], ["only/email"]], team.bench.clock

    def second(*reports: Report) -> None:
        clock.advance(1)
        team.store.health.pulse(clock.now(), reports, groups, {})

    for _ in range(10):
        second(report("a/sms", errors=5), report("b/sms", ok=5), report("only/email", errors=5), report("gone/sms"))
    team.round(0)
    team.round(29)
    assert team.posts == []
    team.round(1)
    assert sorted(team.told) == ["opened Provider down: a/sms", "opened Provider down: only/email"]
    lost, failing = sorted((post["data"] for post in team.posts), key=lambda shown: shown["object"])
    assert lost["sentence"].startswith("a has lost all of its weight for sms: ")
    assert failing["sentence"] == "only fails for email, and no other does better: 50 tries in a row failed."
    assert (lost["link"], failing["figures"]) == (
        "https://verify.acme.example/console/delivery",
        {"failing": 50, "weight_percent": 100},
    )
    for _ in range(60):
        second(report("a/sms", ok=1), report("b/sms", ok=5), report("only/email", ok=1))
    team.round(0)
    assert team.store.health.states()["a/sms"].factor > 50
    team.round(10 * MINUTE)
    assert sorted(team.told[2:]) == ["resolved Provider down: a/sms", "resolved Provider down: only/email"]


def test_receipts_that_stay_out_are_told_where_they_come_as_a_rule(under: Callable[..., AlertBench]) -> None:
    """Not of a provider whose receipts never came, nor of a handful of messages."""
    team = under()
    clock = team.bench.clock

    def seconds(count: int, came: int, missing: int) -> None:
        for _ in range(count):
            clock.advance(1)
            reports = [report("only/email", came=came, missing=missing), report("b/sms", missing=5)]
            team.store.health.pulse(clock.now(), reports, [["only/email"], ["b/sms"]], {})

    seconds(300, 5, 0)
    team.round(0)
    seconds(60, 1, 4)
    team.round(0)
    seconds(119, 1, 4)
    team.round(0)
    assert team.posts == []
    seconds(1, 1, 4)
    team.round(0)
    assert team.told == ["opened Receipts missing: only/email"]
    shown = team.posts[0]["data"]
    assert 0.15 < shown["figures"]["share"] < 0.3
    assert shown["figures"]["usual"] > 0.6


def test_a_budget_is_told_at_its_share_and_what_it_takes_from_there_on(under: Callable[..., AlertBench]) -> None:
    """At 80 % where the file says nothing; by country; over where it is well below again."""
    team = under(GUARD + PRICES + BUDGET)
    team.bench.clock.ms -= team.bench.clock.ms % 86_400_000
    for last in range(6):
        team.bench.service.start("default", a_start(f"+141555501{last:02d}"))
    team.round()
    assert team.posts == []
    team.bench.service.start("default", a_start("+14155550107"))
    team.round()
    [post] = team.posts
    assert (post["data"]["title"], post["data"]["figures"]) == (
        "Budget nearly spent: spend/US",
        {"most": 2, "share": 0.875, "used": 1.75},
    )
    assert post["data"]["sentence"] == "The budget spend for US: $1.75 of $2.00 spent within a day."
    assert post["data"]["link"] == "https://verify.acme.example/console/"
    team.round(86_400 + 3_600)
    team.bench.clock.advance(5 * 3_600)
    team.round()
    assert team.told[1:] == ["lasts Budget nearly spent: spend/US", "resolved Budget nearly spent: spend/US"]


def test_a_push_that_is_refused_and_a_process_that_keeps_an_old_revision_are_told(
    under: Callable[..., AlertBench],
) -> None:
    """Until a push is taken."""
    team = under()
    live = LivePolicy(team.policies, team.bench.tagger)
    live.refresh()
    with pytest.raises(ConfigError):
        live.push(team.bench.clock.now(), Actor("test"), "", "[[limit]]")
    team.round()
    assert team.told == ["opened Policy refused: push"]
    assert team.posts[0]["data"]["sentence"] == (
        "A push was refused, because its text cannot be used. Revision 1 stays in force."
    )
    team.policies.push(team.bench.clock.now(), Actor("test"), "", "what a later version understands")
    live.refresh()
    assert live.in_force == 1
    team.round()
    assert team.told[1:] == ["opened Policy refused: process"]
    assert team.posts[1]["data"]["sentence"] == (
        "A process cannot use revision 2 of the policy and judges by revision 1. Its log says so."
    )
    live.push(team.bench.clock.now(), Actor("test"), "", GUARD)
    team.round(10 * MINUTE)
    assert sorted(team.told[2:]) == ["resolved Policy refused: process", "resolved Policy refused: push"]


def test_an_audit_log_that_is_not_whole_is_told(under: Callable[..., AlertBench]) -> None:
    """Looked at each hour: what was taken out of it, and what was cut off behind."""
    team = under()
    for _ in range(3):
        team.policies.push(team.bench.clock.now(), Actor("test"), "", GUARD)
    team.round()
    team.store.link.command(0, ["XDEL", "vs:{0}:audit", "4-0"])
    team.round(3_599)
    assert team.posts == []
    team.round(1)
    assert team.told == ["opened Audit log broken"]
    shown = team.posts[0]["data"]
    assert shown["sentence"].startswith("The audit log is not whole: the log ends with entry 3, and 4 was noted: ")
    assert (shown["figures"], shown["link"]) == (
        {"entries": 3, "faults": 1},
        "https://verify.acme.example/console/audit",
    )
    team.store.link.command(0, ["XDEL", "vs:{0}:audit", "2-0"])
    team.round(3_600)
    assert team.store.alerts.open()[0].sentence == "The audit log is not whole: entry 2 is missing."
