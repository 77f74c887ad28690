"""One mailbox with many addresses is one person: for limits, consent, lists and what is pending; never two people."""

import json
from pathlib import Path

import pytest

from tests.support.bench import Bench, ManualClock, make_bench
from tests.support.commands import run
from tests.support.contract import LocalClient
from tests.support.live import BASE
from verify_service import mailbox, recipient
from verify_service.asking import Target
from verify_service.errors import Blocked, OptedOut, RateLimited
from verify_service.model import Actor, Start
from verify_service.store import Store


def to(address: str, purpose: str = "login") -> Start:
    return Start(number=recipient.parse(address, None), channel="email", purpose=purpose)


def passed(bench: Bench, addresses: list[str]) -> tuple[int, set[str]]:
    """How many starts to these addresses pass, each for a purpose of its own, and the limits that refuse the others."""
    admitted, by = 0, set()
    for each, address in enumerate(addresses):
        try:
            bench.service.start("default", to(address, f"p{each}"))
            admitted += 1
        except RateLimited as refused:
            by.add(refused.members["limit"])
    return admitted, by


@pytest.mark.parametrize(
    ("address", "identity", "counted", "domain"),
    [
        ("Ann.Walker+login@GoogleMail.com", "annwalker@gmail.com", "annwalker@gmail.com", None),
        ("annwalker@gmail.com", "annwalker@gmail.com", "annwalker@gmail.com", None),
        ("ann-walker_1+x@pm.me", "annwalker1@proton.me", "annwalker1@proton.me", None),
        ("ann.walker+x@outlook.com", "ann.walker@outlook.com", "ann.walker@outlook.com", None),
        ("ann.walker@hotmail.com", "ann.walker@hotmail.com", "ann.walker@hotmail.com", None),
        ("ann-x@yahoo.com", "ann-x@yahoo.com", "ann-x@yahoo.com", None),
        ("Ann.W+Login@Example.org", "ann.w+login@example.org", "ann.w@example.org", "example.org"),
        ("+@example.org", "+@example.org", "+@example.org", "example.org"),
        ("+x@gmail.com", "+x@gmail.com", "+x@gmail.com", None),
    ],
)
def test_an_address_is_known_by_its_mailbox(address: str, identity: str, counted: str, domain: str | None) -> None:
    """Only where the provider says that two spellings are one; a limit leaves out what follows a + anywhere."""
    assert mailbox.identity(address) == identity
    assert mailbox.counted(address) == counted
    assert mailbox.shared_domain(address) == domain


def test_every_provider_whose_addresses_are_known_is_a_public_one() -> None:
    """Its people share nothing but the domain, so none of them meets a limit on it."""
    assert [domain for domain in mailbox.PROVIDERS if mailbox.shared_domain(f"a@{domain}")] == []


@pytest.mark.parametrize("where", ["gmail.com", "example.org"])
def test_forty_aliases_of_one_mailbox_get_what_one_gets(bench: Bench, where: str) -> None:
    """Five starts in ten minutes, whether the provider is known or not."""
    admitted, by = passed(bench, [f"ann+{each}@{where}" for each in range(40)])
    assert (admitted, by <= {"number", "mailbox"}) == (5, True)


def test_dots_and_the_second_domain_are_no_other_mailbox_at_gmail(bench: Bench) -> None:
    """A start under another spelling is a resend, sent to where it was asked for, and any spelling checks it."""
    first = bench.service.start("default", to("annwalker@gmail.com"))
    bench.clock.advance(31)
    again = bench.service.start("default", to("Ann.Walker+x@googlemail.com"))
    assert (again.id, again.to) == (first.id, "Ann.Walker+x@googlemail.com")
    checked = bench.service.check("default", Target("a.nnwalker@gmail.com", None, "login"), bench.code(first.id))
    assert checked.approved


def test_where_a_plus_may_be_a_letter_two_addresses_are_two_people(bench: Bench) -> None:
    """At a provider that nobody knows the second address gets a code of its own, and none of the first's."""
    one = bench.service.start("default", to("ann@example.org"))
    other = bench.service.start("default", to("ann+x@example.org"))
    assert one.id != other.id
    assert bench.code(one.id) != bench.code(other.id)


def test_a_domain_of_ones_own_has_a_limit_and_a_public_one_has_none(bench: Bench) -> None:
    """A hundred starts an hour to made-up mailboxes; strangers at one provider do not stand in each other's way."""
    assert passed(bench, [f"name{each}@example.org" for each in range(150)]) == (100, {"mail-domain"})
    assert passed(bench, [f"name{each}@gmail.com" for each in range(150)]) == (150, set())


def test_people_of_a_company_who_enter_their_codes_are_not_held_up(bench: Bench) -> None:
    """An approval gives the start back to the domain."""
    for each in range(150):
        started = bench.service.start("default", to(f"name{each}@example.org"))
        assert bench.service.check("default", started.id, bench.code(started.id)).approved


def test_an_opt_out_is_the_mailboxs(store: Store) -> None:
    """Said of one address it holds for all, and is undone for all."""
    client = LocalClient(store, ManualClock())
    assert client.request("PUT", "/consents/ann.walker+news@gmail.com", {"state": "out"})[0] == 200
    problem = client.refused("POST", "/start", {"to": "annwalker@googlemail.com"})
    assert problem["type"] == "/problems/opted-out"
    assert client.request("PUT", "/consents/annwalker@gmail.com", {"state": "in"})[0] == 200
    assert client.request("POST", "/start", {"to": "ann.walker@gmail.com"})[0] == 201


def test_an_opt_out_of_an_earlier_version_is_heeded(bench: Bench) -> None:
    """It stands under the address as it was written then."""
    old = bench.tagger.tag("number", "ann.walker@gmail.com")
    bench.store.consents.write(bench.clock.ms, old, "default", "out", "api", b"sealed")
    with pytest.raises(OptedOut):
        bench.service.start("default", to("Ann.Walker@gmail.com"))


def test_a_block_list_names_a_mailbox_in_any_spelling(store: Store) -> None:
    """As for a phone that is written in two ways."""
    bench = make_bench(store, f'{BASE}\n[block]\nnumbers = ["ann.walker@gmail.com"]')
    for address in ("annwalker@gmail.com", "a.nnwalker+x@googlemail.com"):
        with pytest.raises(Blocked):
            bench.service.start("default", to(address))
    bench.service.start("default", to("annwalker@example.org"))


def test_unlock_forgets_what_the_mailbox_counted(bench: Bench) -> None:
    """Its own limit as well as the number's: the next start passes."""
    assert passed(bench, [f"ann+{each}@example.org" for each in range(6)]) == (5, {"mailbox"})
    assert bench.relief.unlock("ann@example.org", Actor("ann"), "called support") >= 1
    assert bench.service.start("default", to("ann+7@example.org")).status == "pending"


def test_a_backtest_counts_mailboxes_and_domains_as_the_service_does(tmp_path: Path) -> None:
    """From addresses in clear: aliases meet the limit on the mailbox, made-up names the one on the domain."""
    aliases = [f"ann+{each}@example.org" for each in range(8)]
    record = [
        {"at": 1_790_000_000 + each, "event": "start", "id": f"v{each}", "to": address}
        for each, address in enumerate([*aliases, *(f"name{each}@example.com" for each in range(120))])
    ]
    events, policy = tmp_path / "events.jsonl", tmp_path / "policy.toml"
    events.write_text("".join(json.dumps(line) + "\n" for line in record))
    policy.write_text(run("policy", "default").stdout)
    told = json.loads(run("policy", "backtest", str(policy), "--events", str(events), "--json").stdout)
    assert {name: told["by_rule"][name]["refused"] for name in ("mailbox", "mail-domain")} == {
        "mailbox": 3,
        "mail-domain": 20,
    }
