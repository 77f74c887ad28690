"""Email addresses in place of numbers: read, sent to, counted and forgotten like a number, and shown to nobody."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.bench import Bench, make_bench
from tests.support.commands import run
from tests.support.live import BASE, everything, until
from verify_service import config, recipient
from verify_service.errors import Blocked, ConfigError, InvalidNumber, Problem, RateLimited
from verify_service.model import Start
from verify_service.policy import file as policy_file
from verify_service.store import Store
from verify_service.testing import RunningServer, VerifyClient, VerifyInbox, start_server

pytestmark = pytest.mark.slow

# Whatever there is of rules that hang on a country: none of them is about an email address.
STRICT = """
[countries]
default = "deny"
allow = ["US"]
[[limit]]
name = "prefix"
of = ["prefix"]
allow = "1/hour"
[[limit]]
name = "country"
of = ["country", "tenant"]
allow = "1/hour"
[[rule]]
name = "pumping"
kind = "pumping"
mode = "enforce"
[[rule]]
name = "budget"
kind = "budget"
of = ["tenant"]
allow = "$0.06/day"
mode = "enforce"
"""


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    running = start_server(tmp_path_factory.mktemp("email"), workers=1)
    yield running
    assert running.stop() == 0


@pytest.fixture
def client(live: RunningServer) -> Iterator[VerifyClient]:
    made = VerifyClient(live.server)
    yield made
    made.forget_all()
    made.close()


def to(address: str) -> Start:
    return Start(number=recipient.parse(address, None), channel="email", purpose="login")


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("ann@example.org", "ann@example.org"),
        ("Ann.Walker+login@EXAMPLE.Org", "Ann.Walker+login@example.org"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
        ("ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example"),
        ("ann@ｅxample.org", "ann@example.org"),
        ("ann@example.test", "ann@example.test"),
        ("ann@mail.Office.LOCAL", "ann@mail.office.local"),
    ],
)
def test_an_address_is_kept_in_one_form(written: str, kept: str) -> None:
    """The domain in lower case and ASCII, the mailbox as it was written; no country, and only the domain to show."""
    number = recipient.parse(written, None)
    assert (number.e164, number.country, number.prefix, number.line_type) == (kept, "", "", "email")
    assert number.range == kept[kept.index("@") :]


@pytest.mark.parametrize(
    "written",
    [
        "@",
        "ann@",
        "@example.org",
        "ann@localhost",
        "ann@mail.localhost",
        "ann@example.invalid",
        "ann@example.onion",
        "ann@test",
        "ann@local",
        "ann@example..org",
        "ann@[127.0.0.1]",
        "a..b@example.org",
        '"ann b"@example.org',
        "Ann <ann@example.org>",
        "ann@example.org, bob@example.org",
        "ann@example.org\nBcc: bob@example.org",
        "änn@example.org",
        " ann@example.org",
        "ann@example.org\u202e",
        "a" * 65 + "@example.org",
        "=?utf-8?q?a=40evil.com=2c?=@x.com",
        "=?utf-8?q?a=0aBcc=3ab=40evil.com?=@x.com",
        "=?utf-8?b?YUBldmlsLmNvbSw=?=@x.com",
    ],
)
def test_what_is_no_address_is_refused(written: str) -> None:
    """With the reason of a number that is none, and without being quoted."""
    with pytest.raises(InvalidNumber) as raised:
        recipient.parse(written, None)
    assert raised.value.members["reason"] == "not-a-number"
    assert raised.value.detail == "This is no email address that a code could be sent to."


def test_a_login_by_email(client: VerifyClient, live: RunningServer) -> None:
    """`to` alone is enough: the channel is email, the code arrives, and a check by the address ends it."""
    inbox = VerifyInbox(client)
    started = client.start("Ann@Example.org")
    assert (started["to"], started["channel"]) == ("Ann@example.org", "email")
    [message] = inbox.messages("ann@example.org", wait=30)
    assert (message["to"], message["channel"]) == ("Ann@example.org", "email")
    checked = client.check(to="ANN@example.org", code=message["code"])
    assert (checked["id"], checked["approved"]) == (started["id"], True)
    assert "ann@" not in live.log.read_text("utf-8").lower()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"to": "ann@example.org", "channel": "sms"}, "channel"),
        ({"to": "ann@example.org", "channel": "voice"}, "channel"),
        ({"to": "+14155550123", "channel": "email"}, "channel"),
        ({"to": "ann@example.org", "region": "US"}, "region"),
    ],
)
def test_a_channel_leads_to_its_own_kind_of_recipient(client: VerifyClient, body: dict[str, str], field: str) -> None:
    """No text to an address, no email to a phone, and no region for an address: 400, naming the field."""
    status, _, problem = client.request("POST", "/start", body)
    assert (status, [error["field"] for error in problem["errors"]]) == (400, [field])


def test_a_wrong_address_is_an_invalid_number(client: VerifyClient) -> None:
    """422 with the slug that callers know."""
    status, _, problem = client.request("POST", "/start", {"to": "ann@localhost"})
    assert (status, problem["type"], problem["reason"]) == (422, "/problems/invalid-number", "not-a-number")


def test_the_fake_provider_can_be_told_of_an_address(client: VerifyClient) -> None:
    """Rules name addresses as they name numbers, in upper or lower case."""
    inbox = VerifyInbox(client)
    inbox.behave({"to": "*@Refusing.example.org", "do": "reject"})
    started = client.start("bob@refusing.example.org")
    client.start("bob@example.org")
    inbox.code("bob@example.org")
    until(lambda: client.status(started["id"])["timeline"][-1]["event"] == "failed")
    inbox.behave()
    assert inbox.messages("bob@refusing.example.org") == []


def test_an_opt_out_holds_for_an_address(client: VerifyClient) -> None:
    """A consent that is withdrawn by the API refuses the next start, however the address is written."""
    status, _, _ = client.request("PUT", "/consents/cid@example.org", {"state": "out"})
    assert status == 200
    status, _, problem = client.request("POST", "/start", {"to": "CID@example.org"})
    assert (status, problem["type"]) == (403, "/problems/opted-out")
    assert client.request("PUT", "/consents/cid@example.org", {"state": "in"})[0] == 200
    client.start("cid@example.org")


def test_upper_and_lower_case_do_not_walk_around_a_limit(bench: Bench) -> None:
    """The number's own limit counts an address, and a start under another spelling is a resend."""
    first = bench.service.start("default", to("dora@example.org"))
    bench.clock.advance(31)
    assert bench.service.start("default", to("DORA@example.org")).id == first.id
    strict = make_bench(bench.store, BASE.replace("5/10 minutes; 10/day", "2/10 minutes; 10/day"))
    for spelling in ("eve@example.org", "Eve@example.org"):
        strict.service.cancel("default", strict.service.start("default", to(spelling)).id)
    with pytest.raises(RateLimited) as raised:
        strict.service.start("default", to("EVE@example.org"))
    assert raised.value.members["limit"] == "number"


def test_the_limit_on_ips_counts_emails(store: Store) -> None:
    """Many addresses for one user's IP end at its limit."""
    bench = make_bench(store, BASE.replace("30/hour", "2/hour"))
    outcomes = []
    for name in ("fay", "gil", "hal"):
        ask = Start(
            number=recipient.parse(f"{name}@example.org", None), channel="email", purpose="login", ip="192.0.2.7"
        )
        try:
            bench.service.start("default", ask)
            outcomes.append("started")
        except Problem as problem:
            outcomes.append(problem.members["limit"])
    assert outcomes == ["started", "started", "ip"]


def test_rules_that_hang_on_a_country_are_not_about_emails(store: Store) -> None:
    """A country that is denied, a limit by prefix or country, a detector of pumping, a budget: none refuses an email,
    and `explain` names none of them."""
    bench = make_bench(store, BASE + STRICT)
    for number in range(20):
        bench.service.start("default", to(f"person{number}@example.org"))
    told = bench.explain.explain("default", recipient.parse("ivy@example.org", None))
    assert not told.by
    with pytest.raises(Problem):
        bench.service.start("default", Start(recipient.parse("+4915112345678", None), "sms", "login"))


def test_no_address_is_at_rest_or_in_an_export(bench: Bench) -> None:
    """The store holds it sealed; the events hold its domain."""
    bench.service.start("default", to("unforgettable@example.org"))
    assert b"unforgettable" not in everything(bench.store).lower()
    assert b"@example.org" in everything(bench.store)


@pytest.mark.parametrize(
    ("route", "message"),
    [
        ('fallback = ["email"]', "routes[0].fallback: an email address has no phone, and a number no email"),
        (
            'channel = "email"\nfallback = ["sms"]',
            "routes[0].fallback: an email address has no phone, and a number no email",
        ),
        (
            'channel = "email"\ncountries = ["DE"]',
            "routes[0].countries: an email address has no country; leave them out",
        ),
    ],
)
def test_a_route_between_addresses_and_phones_stops_the_start(tmp_path: Path, route: str, message: str) -> None:
    """What could never send anything is said before it is needed."""
    file = tmp_path / "verify.toml"
    file.write_text(f'[providers.fake-a]\nkind = "fake"\n[[routes]]\nvia = [{{ provider = "fake-a" }}]\n{route}\n')
    with pytest.raises(ConfigError) as raised:
        config.load(file, None)
    assert str(raised.value) == message


def test_recorded_emails_can_be_judged_again(tmp_path: Path) -> None:
    """`backtest` reads starts to an address, and those of an export, which have its domain."""
    record = [
        {"at": 1_790_000_000, "event": "start", "id": "v1", "to": "ann@example.org"},
        {"at": 1_790_000_005, "event": "approved", "id": "v1"},
        {
            "at": 1_790_000_010,
            "event": "start",
            "id": "v2",
            "number": "0" * 20,
            "line_type": "email",
            "range": "@e.org",
        },
        {"at": 1_790_000_020, "event": "start", "id": "v3", "to": "ann@localhost"},
    ]
    events, policy = tmp_path / "events.jsonl", tmp_path / "policy.toml"
    events.write_text("".join(json.dumps(line) + "\n" for line in record))
    policy.write_text(BASE + STRICT)
    done = run("policy", "backtest", str(policy), "--events", str(events), "--json")
    told = json.loads(done.stdout)
    assert (told["starts"], told["admitted"]) == (3, 2)
    assert told["by_rule"]["invalid-number"]["refused"] == 1


@pytest.mark.parametrize(
    ("entry", "refused", "evidence"),
    [
        ("ann@example.org", {"Ann@example.org"}, "the email address"),
        ("@example.org", {"Ann@example.org", "bob@example.org"}, "@example.org"),
        ("@example.com", set(), ""),
    ],
)
def test_a_list_names_addresses_and_domains(store: Store, entry: str, refused: set[str], evidence: str) -> None:
    """The block-list takes an address, or a domain for all of them; a record shows no more than the domain."""
    bench = make_bench(store, f'{BASE}\n[block]\nnumbers = ["{entry}"]')
    blocked = set()
    for address in ("Ann@example.org", "bob@example.org", "bob@sub.example.org"):
        try:
            bench.service.start("default", to(address))
        except Blocked as problem:
            blocked.add(address)
            told = bench.explain.decision("default", problem.members["decision"])
            assert f"({evidence})" in told.sentence
    assert blocked == refused


@pytest.mark.parametrize(
    ("entry", "fault"),
    [
        ("Ann@example.org", "is not written in lower case and ASCII, as ann@example.org"),
        ("@bücher.example", "is not written in lower case and ASCII, as @xn--bcher-kva.example"),
        ("@localhost", "This is no email address that a code could be sent to."),
    ],
)
def test_a_list_says_how_an_address_is_written(entry: str, fault: str) -> None:
    """An entry that could never match is refused, with its right form."""
    with pytest.raises(ConfigError, match=fault):
        policy_file.parse(f'{BASE}\n[block]\nnumbers = ["{entry}"]', "policy.toml")
