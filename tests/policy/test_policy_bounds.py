"""A policy that cannot be used is never stored, and never stops a process: by HTTP, by command, and at a start."""

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import pytest
import structlog
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.bench import ManualClock, a_start
from tests.support.contract import LocalClient, a_number
from tests.support.live import BASE, changed, contents, patient
from tests.support.policy_page import PAGE, judge
from verify_service import codes, config
from verify_service.embedded import EmbeddedValkey
from verify_service.errors import Blocked, ConfigError, RateLimited, StoreUnavailable
from verify_service.model import Actor
from verify_service.policy import bounds
from verify_service.policy import file as policy_file
from verify_service.policy.live import LivePolicy
from verify_service.policy.rulebook import Rulebook
from verify_service.service import Service
from verify_service.store import Store
from verify_service.store.policies import Policies
from verify_service.web.context import context

pytestmark = pytest.mark.slow

HEAD = "[code]\nguess_ceiling = 1\n"


def limit(allow: str, name: str = "x", more: str = "") -> str:
    return f'[[limit]]\nname = "{name}"\nof = ["ip"]\nallow = "{allow}"\n{more}'


def windows(count: int, sign: str = "") -> str:
    return "; ".join(f"{sign}{n + 40}/{n + 1} minutes" for n in range(count))


def budget(allow: str, more: str = "") -> str:
    return f'[[rule]]\nname = "budget"\nof = ["country"]\nallow = "{allow}"\n{more}'


def pumping(more: str) -> str:
    return f'[[rule]]\nname = "pumping"\n{more}'


# What may stand there last, and what is too much, with the word for why.
EDGES = {
    "hits": (limit("1000000000/day"), limit("1000000001/day"), bounds.HITS),
    "hits beyond 64 bits": (limit("1000000000/day"), limit("18446744073709551616/day"), bounds.HITS),
    "windows": (limit(windows(8)), limit(windows(9)), bounds.WINDOWS),
    "a long allow": (limit("1/day" + " " * 195), limit("1/day" + " " * 196), bounds.WINDOWS),
    "a budget's windows": (budget(windows(8, "$")), budget(windows(9, "$")), bounds.WINDOWS),
    "limits": (
        "".join(limit(windows(8), f"n{n}") for n in range(64)),
        "".join(limit("1/day", f"n{n}") for n in range(65)),
        bounds.ONE_STEP,
    ),
    "rules": (
        "".join(budget("$50/day").replace("budget", f"b{n}", 1) + 'kind = "budget"\n' for n in range(32)),
        "".join(budget("$50/day").replace("budget", f"b{n}", 1) + 'kind = "budget"\n' for n in range(33)),
        bounds.ONE_STEP,
    ),
    "a life": ('life = "10 days"\ncooldown = ["10 days"]\n', 'life = "11 days"\n', bounds.WAITS),
    "a cooldown": ('cooldown = ["1 second", "10 days"]\n', 'cooldown = ["1 second", "999999 days"]\n', bounds.WAITS),
    "a block": (
        pumping('block_for = "2 days"\nblock_most = "48 hours"\n'),
        pumping('block_most = "3 days"\n'),
        bounds.BLOCKS,
    ),
    "learning": (pumping('learn_for = "14 days"\n'), pumping('learn_for = "15 days"\n'), bounds.LEARNT),
    "forgiving": (pumping('forgive = "14 days"\n'), pumping('forgive = "15 days"\n'), bounds.LEARNT),
    "trust": (pumping('trust_after = "90 days"\n'), pumping('trust_after = "91 days"\n'), bounds.TRUSTED),
    "prefixes": (
        f"[block]\nprefixes = {[f'+1{n:06d}' for n in range(2000)]}\n",
        f"[block]\nprefixes = {[f'+1{n:06d}' for n in range(2001)]}\n",
        "every prefix",
    ),
    "networks": (
        f"[allow]\nnetworks = {[f'10.{n // 256}.{n % 256}.0/24' for n in range(50_000)]}\n",
        f"[allow]\nnetworks = {[f'10.{n // 256}.{n % 256}.0/24' for n in range(50_001)]}\n",
        "in memory",
    ),
    "bytes": (
        "#" * (bounds.MOST_BYTES - len(HEAD)),
        "#" * (bounds.MOST_BYTES - len(HEAD) + 1),
        "every process reads and holds all of it",
    ),
}
NASTY = {
    "nan in a price": "[prices]\nUS = nan\n",
    "nan in a rule": budget("$50/day", "times_usual = nan\n"),
    "nan as a ceiling": HEAD.replace("1\n", "nan\n"),
    "infinity": "[prices]\nUS = inf\n",
    "a number of many digits": f"[prices]\nUS = {'9' * 5000}\n",
    "digits beyond 64 bits": "[code]\ndigits = 99999999999999999999999999\n",
    "a lone surrogate": '[code]\nresend = "\ud800"\n',
    "a zero byte": HEAD + limit("1/day").replace('"x"', '"\\u0000"'),
    "a date": "[code]\nlife = 2020-01-01\n",
    "tables for lists": "[limit]\na = 1\n[rule]\nb = 2\n",
    "lists for tables": 'countries = ["US"]\nprices = [1]\nallow = [1]\n',
    "no windows": HEAD + limit(";"),
    "a huge window": HEAD + limit("1/9999999999999999999999 days"),
    "a budget's huge window": HEAD + budget("$1/99999999999999999999999999 days"),
    "a budget's huge sum": HEAD + budget("$9999999999/day"),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A server of the module's own: its policies are many."""
    with EmbeddedValkey(tmp_path_factory.mktemp("valkey"), append_fsync="no") as server:
        made = Store(patient(server.url))
        made.prepare()
        yield made


@pytest.fixture
def live(store: Store) -> LivePolicy:
    """A history of its own, with a good policy in force."""
    client: Any = store.link.client()
    client.delete("vs:{0}:policy")
    tagger = codes.Tagger(codes.new_key())
    made = LivePolicy(Policies(store.link, tagger), tagger)
    made.push(1, Actor("a"), "", BASE)
    made.refresh()
    return made


def starts(store: Store, live: LivePolicy) -> str:
    """What a start under the policy in force is answered."""
    ring, tagger = codes.KeyRing(f"k1:{codes.new_key()}"), codes.Tagger(codes.new_key())
    service = Service(config.load(None, "0" * 16), live, ring, tagger, store.verifications, ManualClock())
    return service.start("default", a_start(a_number(), ip="203.0.113.5", device="d", keys={"account": "a"})).id


@pytest.mark.parametrize(("last", "more", "why"), EDGES.values(), ids=EDGES)
def test_what_a_policy_holds_is_bounded_with_the_reason(
    store: Store, live: LivePolicy, last: str, more: str, why: str
) -> None:
    """The most that is taken can be pushed and judges starts; more is refused in one line that says why."""
    head = HEAD if last.startswith(("[", "#")) else HEAD.replace("\n", f"\n{last}", 1)
    live.push(2, Actor("a"), "", HEAD + last if last.startswith(("[", "#")) else head)
    live.refresh()
    assert live.in_force == 2
    assert starts(store, live).startswith("ve_")
    client: Any = store.link.client()
    before = contents(client)
    with pytest.raises(ConfigError, match=re.escape(why)) as refused:
        live.push(3, Actor("a"), "", HEAD + more)
    assert "\n" not in str(refused.value)
    assert changed(client, before) <= {b"vs:{0}:audit", b"vs:{0}:audit:hours", b"vs:{0}:policy:refused"}


@pytest.mark.parametrize("text", NASTY.values(), ids=NASTY)
def test_a_nasty_policy_is_refused_by_the_check_already(text: str) -> None:
    """Before any store is asked: one ConfigError, whatever the file holds."""
    with pytest.raises(ConfigError):
        policy_file.parse(text, "x")


@pytest.mark.parametrize("most", ["limit", "rule", "allow", "numbers", "networks", "prefixes", "prices"])
def test_the_schema_knows_the_bounds(most: str) -> None:
    """Editors mark what is too much, where a schema can say it."""
    texts = {
        "limit": EDGES["limits"][1],
        "rule": EDGES["rules"][1],
        "allow": EDGES["a long allow"][1],
        "numbers": f"[block]\nnumbers = {[f'+1415{n:07d}' for n in range(50_001)]}",
        "networks": EDGES["networks"][1],
        "prefixes": EDGES["prefixes"][1],
        "prices": "[prices]\n" + "".join(f"X{n} = 1\n" for n in range(301)),
    }
    with pytest.raises(Exception, match=r"than|longer"):
        judge(texts[most])


def test_the_page_states_each_bound() -> None:
    """With its reason, as the error has it."""
    for why in (bounds.ONE_STEP, bounds.WINDOWS, bounds.HITS, bounds.WAITS, bounds.BLOCKS, bounds.LEARNT):
        assert why in " ".join(PAGE.split()), why


def inline(value: Any) -> str:
    """A value as TOML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key} = {inline(each)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return f"[{', '.join(map(inline, value))}]"
    return json.dumps(value) if isinstance(value, str | bool) else repr(value)


amounts = st.one_of(st.integers(0, 10**25), st.sampled_from([2**31, 2**32, 2**53, 2**63, 2**64, 10**400]))
units = st.sampled_from(["second", "minute", "hour", "day", "month", "year", "fortnight"])
windowed = st.builds(lambda n, count, unit: f"{n}/{count} {unit}", amounts, amounts | st.integers(1, 31), units)
allows = st.lists(windowed, min_size=1, max_size=12).map("; ".join) | st.text(max_size=30)
lengths = st.builds(lambda n, unit: f"{n} {unit}s", st.integers(0, 10**7), units)
floats = st.one_of(st.floats(), st.integers(-(10**30), 10**30))
names = st.sampled_from(["n", "number", "pumping", "budget", "a" * 32, "a" * 33, "ä", ""])
dimensions = st.lists(
    st.sampled_from(["number", "ip", "country", "tenant", "device", "user", "prefix", "key:account"]), max_size=4
)
modes = st.sampled_from(["observe", "enforce", "off"])
policies = st.fixed_dictionaries(
    {},
    optional={
        "code": st.fixed_dictionaries(
            {"guess_ceiling": st.just(1) | floats},
            optional={
                "life": lengths,
                "cooldown": st.lists(lengths, max_size=22),
                "checks": st.integers(0, 300),
                "sends": st.integers(0, 300),
                "digits": st.integers(5, 9),
            },
        ),
        "prices": st.dictionaries(st.sampled_from(["default", "US", "GB"]), floats, max_size=3),
        "limit": st.lists(
            st.fixed_dictionaries(
                {"name": names, "of": dimensions, "allow": allows},
                optional={"mode": modes, "net_of_approved": st.booleans(), "counts": st.just("wrong-codes")},
            ),
            max_size=4,
        ),
        "rule": st.lists(
            st.fixed_dictionaries(
                {"name": names, "kind": st.just("budget"), "of": dimensions, "allow": allows.map(lambda a: f"${a}")},
                optional={"mode": modes, "times_usual": floats, "at_least": floats, "share_of_all": floats},
            )
            | st.fixed_dictionaries(
                {"name": names, "kind": st.just("pumping")},
                optional={"mode": modes, "refusal_cost": floats, "hot_odds": floats, "block_for": lengths},
            ),
            max_size=3,
        ),
    },
)


@settings(max_examples=150)
@given(policies)
def test_a_pushed_policy_is_usable_or_a_400(store: Store, plain: dict[str, Any]) -> None:
    """By the real HTTP API: whatever a policy holds, a PUT is 200 or 400. After a 200 a process that starts judges by
    it; after a 400 nothing was stored."""
    client = LocalClient(store, ManualClock())
    text = "\n".join(f"{key} = {inline(value)}" for key, value in plain.items())
    server: Any = store.link.client()
    server.delete("vs:{0}:policy")
    status, _, answer = client.request("PUT", "/admin/policy", {"policy": text}, {"If-Match": "*"})
    assert status in {200, 400}
    with client.app.app_context():
        live = context().live
    late = LivePolicy(live.history, live._tagger)
    if status == 400:
        assert live.history.newest() == 0
        return
    late.refresh()
    assert late.in_force == 1, answer
    # A start refused by one of its own limits is a problem of another kind.
    with suppress(Blocked, RateLimited):
        starts(store, late)


def test_a_rehearsal_leaves_no_trace(store: Store, live: LivePolicy) -> None:
    """It reads the live store, and the server itself keeps it from writing."""
    client: Any = store.link.client()
    before = contents(client)
    live.history.rehearse(5, policy_file.parse(policy_file.default_text(enforce=True), "x"))
    assert changed(client, before) == set()


def test_an_error_in_a_script_is_found_before_the_push(
    store: Store, live: LivePolicy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the checks of the file do not know yet, the rehearsal finds: here 300 windows, which no count can hold."""
    monkeypatch.setattr(bounds, "MOST_WINDOWS", 1000)
    monkeypatch.setattr("verify_service.policy.bounds.MOST_ALLOW", 10_000)
    monkeypatch.setattr("verify_service.policy.sections.LimitConfig.windows", property(lambda _: MANY))
    with pytest.raises(ConfigError, match="rehearsed under it, and failed"):
        live.push(2, Actor("a"), "", HEAD + "[factors]\nguess_ceiling = 1.0\n" + limit("1/day"))
    assert live.history.newest() == 1


MANY = tuple((100 + n, 60_000 * (n + 1)) for n in range(300))


@pytest.mark.parametrize("fault", [ZeroDivisionError, OverflowError, RecursionError, MemoryError, KeyError])
def test_whatever_is_wrong_with_a_revision_it_is_passed_over(
    live: LivePolicy, monkeypatch: pytest.MonkeyPatch, fault: type[Exception]
) -> None:
    """By an error that nobody foresaw: a process that runs keeps the last good one with one warning, one that starts
    takes the newest usable one, and one that finds none starts as well, and judges nothing yet."""
    good = Rulebook.__init__

    def bad(book: Rulebook, revision: int, policy: Any, tagger: Any) -> None:
        if policy.code.digits == 8:
            raise fault("nobody foresaw it")
        good(book, revision, policy, tagger)

    live.history.push(2, Actor("b"), "", BASE.replace("digits = 6", "digits = 8"))
    monkeypatch.setattr(Rulebook, "__init__", bad)
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            live.refresh()
    assert [(line["log_level"], line["revision"]) for line in logs] == [("warning", 2)]
    assert live.in_force == 1
    late = LivePolicy(live.history, live._tagger)
    late.refresh()
    assert late.in_force == 1
    with pytest.raises(ConfigError, match=f"cannot be used: {fault.__name__}"):
        live.push(3, Actor("a"), "", BASE.replace("digits = 6", "digits = 8"))
    assert live.history.newest() == 2


def test_a_process_that_finds_no_usable_revision_starts_and_waits(store: Store, live: LivePolicy) -> None:
    """It answers that no policy is in force, until there is a good one; it does not end."""
    client: Any = store.link.client()
    client.delete("vs:{0}:policy")
    live.history.push(1, Actor("a"), "", "[code]\nquantum = 1\n")
    late = LivePolicy(live.history, live._tagger)
    late.refresh()
    assert late.in_force == 0
    with pytest.raises(StoreUnavailable):
        late()
    late.push(2, Actor("a"), "", BASE)
    late.refresh()
    assert late.in_force == 2
