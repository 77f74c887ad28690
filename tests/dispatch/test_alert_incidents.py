"""Incidents and what is told of them: once, whoever looks; until it arrives, or is given up; and nothing but ours."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.alerts import AlertBench, attacked, found, targets, terms
from tests.support.bench import a_start
from tests.support.concurrency import at_once
from tests.support.detector import policy_of
from tests.support.dispatching import Scripted, raising
from tests.support.faults import GUARD
from tests.support.vendor import Vendor, vendor_at_work
from verify_service.alerts import BACKOFF_S, MOST_OPEN
from verify_service.duration import rfc3339
from verify_service.errors import Blocked, Unavailable
from verify_service.insight.alerts import open_incidents
from verify_service.store import Store
from verify_service.store.alert_layouts import Finding


@pytest.fixture
def under(quiet: Store, tmp_path: Path, vendor: Vendor) -> Callable[..., AlertBench]:
    """A team that is told of what happens under a policy."""
    return lambda policy=GUARD, toml="": AlertBench(quiet, tmp_path, vendor, policy, toml)


def test_whoever_looks_an_incident_opens_and_ends_once(under: Callable[..., AlertBench]) -> None:
    """One dispatcher looks at a time, another once it has not for 45 seconds; and eight that look all at once make one
    incident of it."""
    team = under()
    turn, now = team.store.alerts.is_turn, team.bench.clock.now()
    turns = [turn(now, "d1"), turn(now, "d2"), turn(now + 45_000, "d2"), turn(now + 45_000, "d1")]
    assert turns == [True, False, True, False]
    for at, says in ((now, "opened"), (now + 1, None), (now + 600_001, "resolved")):
        findings = [] if says == "resolved" else [found("TN")]
        looks = at_once(*[lambda: team.store.alerts.judge(at, findings, terms("webhook"))] * 8)  # noqa: B023
        assert [change.says for changes, _ in looks for change in changes] == ([says] if says else [])
    assert turn(now + 600_001, "d2")
    team.round(601)
    assert team.posts == []
    team.round(45)
    assert team.told == ["resolved Under attack: TN"]


def test_a_rule_that_could_not_look_ends_nothing_and_one_that_is_off_finds_nothing(
    under: Callable[..., AlertBench],
) -> None:
    """What a reader of the store does not know is not taken for over."""
    team = under(policy_of("pumping", "enforce"))
    attacked(team)
    now = team.bench.clock.now()
    team.store.alerts.judge(now, [found("TN")], terms("webhook"))
    assert team.store.alerts.judge(now + 900_000, [], terms("webhook", judged="budget")) == ([], 0)
    team.toml = targets(team.vendor.url, 'off = ["attack"]')
    team.alarms = team.looking("d1")
    team.round(600)
    assert team.told == ["resolved Under attack: TN"]


def test_what_is_only_just_seen_is_told_once_it_has_lasted(under: Callable[..., AlertBench]) -> None:
    """And forgotten where it has not; a reminder comes after a day, no sooner."""
    team = under()
    judge, now = team.store.alerts.judge, team.bench.clock.now()

    def says(after: int, *findings: Finding) -> list[str]:
        return [change.says for change in judge(now + 1000 * after, findings, terms())[0]]

    assert [says(0, found("TN", after=60_000)), says(59, found("TN", after=60_000)), says(59)] == [[], [], []]
    assert [says(60, found("TN", after=60_000)), says(120, found("TN", after=60_000))] == [[], ["opened"]]
    assert [says(120 + 86_399, found("TN")), says(120 + 86_400, found("TN"))] == [[], ["lasts"]]


def test_the_incidents_of_a_rule_and_what_waits_are_bounded(under: Callable[..., AlertBench]) -> None:
    """An attack on every country is twenty messages to a target; what has no room is counted, and said."""
    team = under()
    now = team.bench.clock.now()
    changes, lost = team.store.alerts.judge(now, [found(f"{n:02d}") for n in range(60)], terms("webhook", waiting=15))
    assert (len(changes), lost, len(open_incidents(team.store))) == (MOST_OPEN, 5, MOST_OPEN)
    changes, lost = team.store.alerts.judge(now + 600_000, [], terms("webhook", waiting=15))
    assert ({change.says for change in changes}, len(changes), lost) == ({"resolved"}, MOST_OPEN, 5)
    client = team.store.link.client()
    assert (client.hlen("vs:{0}:alerts:waiting"), client.zcard("vs:{0}:alerts:due")) == (15, 15)
    keys = [key for key in client.scan_iter() if b":alerts" in key]
    assert keys
    assert all(client.pttl(key) > 0 for key in keys)


def test_what_does_not_arrive_is_tried_again_with_growing_pauses_then_given_up_and_remembered(
    under: Callable[..., AlertBench],
) -> None:
    """By the same id each time; other targets are told meanwhile. The rule is one of a later version, which this one
    leaves alone."""
    team = under()
    team.vendor.answer = lambda: (503, {}, b"")
    now = team.bench.clock.now()
    team.store.alerts.judge(now, [found("TN", rule="later")], terms("webhook", "mail-1", judged="later"))
    team.alarms.round()
    assert [message.subject for message in team.messages("only")] == ["[Verify] later: TN"]
    for tried, pause in enumerate(BACKOFF_S, 1):
        team.round(0.79 * pause)
        assert len(team.vendor.requests) == tried
        team.round(0.42 * pause)
        assert len(team.vendor.requests) == tried + 1
    assert len({headers["webhook-id"] for headers, _ in team.vendor.requests}) == 1
    waiting, given_up = team.store.alerts.untold()
    assert waiting == []
    assert [(each.target, each.says, each.why) for each in given_up] == [("webhook", "opened", "HTTP 503")]
    assert [incident.rule for incident in team.store.alerts.open()] == ["later"]


def test_an_end_overtakes_a_beginning_that_never_arrived(under: Callable[..., AlertBench]) -> None:
    """Whoever was away hears of an incident that is over once, with its begin and its end."""
    team = under()
    team.vendor.answer = lambda: (503, {}, b"")
    now = team.bench.clock.now()
    team.store.alerts.judge(now, [found("TN")], terms("webhook"))
    team.alarms.round()
    team.store.alerts.judge(now + 600_000, [], terms("webhook"))
    team.vendor.answer = lambda: (200, {}, b"")
    team.round(3_600)
    assert team.told == ["opened Under attack: TN", "resolved Under attack: TN"]
    assert (team.posts[1]["data"]["since"], team.posts[1]["data"]["ended_at"]) == (rfc3339(now), rfc3339(now + 600_000))
    assert team.store.alerts.untold() == ([], [])


def test_a_text_goes_by_the_next_way_where_one_fails(under: Callable[..., AlertBench]) -> None:
    """As the route to the number's country says: an alert that a provider is down does not need that provider."""
    team = under()
    team.providers["a"] = Scripted(raising(Unavailable("down")))
    team.store.alerts.judge(team.bench.clock.now(), [found("TN")], terms("text-1"))
    team.alarms = team.looking("d1")
    team.alarms.round()
    assert (len(team.messages("a")), len(team.messages("b"))) == (1, 1)


ODD = "evil\r\nBcc: all@evil.example\n\nhttps://evil.example/ WWW.evil.example \x1b[31m\u202e+14155550199"


def test_no_header_line_or_link_comes_from_what_is_told(under: Callable[..., AlertBench]) -> None:
    """Whatever a sentence and an object hold: one line of visible ASCII, and the only link is ours."""
    team = under()
    team.store.alerts.judge(team.bench.clock.now(), [found(ODD, sentence=ODD)], terms("webhook", "mail-1", "text-1"))
    team.alarms.round()
    [text], [mail], [post] = team.messages("a"), team.messages("only"), team.posts
    assert (text.body.count("\n"), text.body.count("://"), "evil.example" in text.body) == (0, 1, False)
    assert (mail.subject.count("\n"), mail.subject.isprintable(), mail.subject.isascii()) == (0, True, True)
    assert [line.split(":")[0] for line in mail.body.splitlines() if ":" in line and " " not in line.split(":")[0]] == [
        "blocks",
        "https",
    ]
    assert (mail.body.count("://"), "evil.example" in mail.body) == (1, False)
    shown = post["data"]
    assert all(
        shown[name].isprintable() and "evil.example" not in shown[name] for name in ("title", "object", "sentence")
    )


def test_what_callers_say_is_in_no_alert(under: Callable[..., AlertBench]) -> None:
    """Neither their purposes, users, devices and keys, nor a number or a code of theirs."""
    team = under(policy_of("pumping", "enforce"))
    codes, numbers = [], []
    for place in range(60):
        team.bench.clock.advance(30)
        to = f"+216201{place * 137:05d}"
        said = {"user": "evil.example", "device": "evil.example", "keys": {"account": "evil.example"}}
        try:
            began = team.bench.service.start("default", a_start(to, purpose="evil", **said))
        except Blocked:
            break
        numbers.append(to[1:])
        codes.append(team.bench.code(began.id))
    team.round()
    told = team.vendor.requests[0][1].decode() + team.messages("a")[0].body + team.messages("only")[0].body
    assert [word for word in ("evil", "+216", *codes, *numbers) if word in told] == []


def test_a_webhook_follows_no_redirect(under: Callable[..., AlertBench]) -> None:
    """An endpoint cannot send the service elsewhere: it is asked again later, and where it points to, never."""
    team = under()
    with vendor_at_work() as elsewhere:
        team.vendor.answer = lambda: (307, {"location": elsewhere.url}, b"")
        team.store.alerts.judge(team.bench.clock.now(), [found("TN")], terms("webhook"))
        team.alarms.round()
        assert (len(team.vendor.requests), elsewhere.requests) == (1, [])
    assert [each.why for each in team.store.alerts.untold()[0]] == ["HTTP 307"]
