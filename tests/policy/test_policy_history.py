"""The live policy's revisions: numbered, sealed and attributed in the store; each process keeps the last good one."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.support.bench import ManualClock, a_start
from tests.support.concurrency import at_once, outcome
from tests.support.contract import LocalClient, a_number
from tests.support.live import BASE, everything, patient
from verify_service import codes, config
from verify_service.embedded import EmbeddedValkey
from verify_service.errors import ConfigError, RevisionConflict, StoreUnavailable
from verify_service.model import Actor, Revision
from verify_service.policy import file as policy_file
from verify_service.policy.live import LivePolicy
from verify_service.policy.rulebook import Rulebook, fixed
from verify_service.service import Service
from verify_service.store import Store
from verify_service.store.policies import Policies


def digits(count: int) -> str:
    return BASE.replace("digits = 6", f"digits = {count}")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store without a policy."""
    with EmbeddedValkey(tmp_path / "valkey", append_fsync="no") as server:
        made = Store(patient(server.url))
        made.prepare()
        yield made


@pytest.fixture
def tagger() -> codes.Tagger:
    return codes.Tagger(codes.new_key())


@pytest.fixture
def history(store: Store, tagger: codes.Tagger) -> Policies:
    return Policies(store.link, tagger)


def test_pushes_at_the_same_time_each_get_a_number_of_their_own(history: Policies) -> None:
    """Forty pushes by eight people: revisions 1 to 40, none lost, each with its own author and text."""

    def push(n: int) -> int:
        return history.push(n, Actor(f"person-{n}"), "", f"# {n}").revision

    with ThreadPoolExecutor(8) as people:
        revisions = list(people.map(push, range(40)))
    assert sorted(revisions) == list(range(1, 41))
    kept = list(history.log())
    assert [each.revision for each in kept] == list(range(40, 0, -1))
    for each in kept:
        n = revisions.index(each.revision)
        assert (each.by, each.text, each.at) == (f"person-{n}", f"# {n}", n)


def test_of_pushes_that_expect_the_same_revision_one_passes(history: Policies) -> None:
    """Whoever has not seen the newest is told its number, and changes nothing."""
    history.push(1, Actor("first"), "", "# 1")

    def push(n: int) -> Revision:
        return history.push(n, Actor(f"person-{n}"), "", "# 2", expected=1)

    answers = at_once(*(outcome(partial(push, n)) for n in range(8)))
    (winner,) = (answer for answer in answers if isinstance(answer, Revision))
    assert [each.by for each in history.log()] == [winner.by, "first"]
    losers = [answer for answer in answers if isinstance(answer, RevisionConflict)]
    assert [loser.members for loser in losers] == [{"revision": 2}] * 7


def test_of_processes_that_start_on_an_empty_store_one_pushes(store: Store, tagger: codes.Tagger) -> None:
    """The first policy is revision 1, once; it is no business of whoever starts later."""

    def begin(n: int) -> None:
        Policies(store.link, tagger).first(n, Actor("start"), f"process {n}", f"# {n}")

    at_once(*(partial(begin, n) for n in range(10)))
    (only,) = Policies(store.link, tagger).log()
    assert (only.revision, only.by, only.text) == (1, "start", f"# {only.at}")


def test_a_policy_is_sealed_in_the_store(store: Store, history: Policies) -> None:
    """Neither its text nor a number in its lists nor its author is readable there; another key opens nothing, and a
    revision is none under another number."""
    number = "+14155550199"
    history.push(1, Actor("a-telling-name"), "a telling note", f'{BASE}\n[block]\nnumbers = ["{number}"]\n')
    for secret in (number, number[1:], "a-telling-name", "a telling note", "guess_ceiling"):
        assert secret.encode() not in everything(store)
    stranger = Policies(store.link, codes.Tagger(codes.new_key()))
    with pytest.raises(ConfigError, match="VERIFY_TAG_KEY"):
        stranger.get(1)
    with pytest.raises(ConfigError, match="VERIFY_TAG_KEY"):
        stranger.push(2, Actor("stranger"), "", BASE)
    client: Any = store.link.client()
    client.hset("vs:{0}:policy", "2", client.hget("vs:{0}:policy", "1"))
    with pytest.raises(ConfigError, match="revision 2"):
        history.get(2)


def test_a_revision_that_cannot_be_used_keeps_the_last_good_one(history: Policies, tagger: codes.Tagger) -> None:
    """What another version pushed and this one cannot read is passed over with one warning, by a process that runs and
    by one that starts; the next good one is taken."""
    history.push(1, Actor("a"), "", digits(7))
    live = LivePolicy(history, tagger)
    live.refresh()
    history.push(2, Actor("b"), "", '[code]\nquantum = "yes"\n')
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            live.refresh()
    assert [(line["log_level"], line["revision"]) for line in logs] == [("warning", 2)]
    late = LivePolicy(history, tagger)
    late.refresh()
    for one in (live, late):
        assert (one().revision, one().policy.code.digits) == (1, 7)
    history.push(3, Actor("c"), "", digits(8))
    live.refresh()
    assert (live().revision, live().policy.code.digits) == (3, 8)


def test_a_push_is_judged_before_it_counts(history: Policies, tagger: codes.Tagger) -> None:
    """A text that is no policy, or one above its own ceiling, is refused with the key at fault; so is a rollback to
    what this version cannot use, or to nothing."""
    live = LivePolicy(history, tagger)
    live.push(1, Actor("a"), "", BASE)
    history.push(2, Actor("b"), "", "[code]\ndigits = 5\n")
    for text, fault in (
        ("[code]\ndigits = 5\n", r"\$\.code\.digits"),
        (BASE.replace("5/10 minutes; 10/day", "5000/hour"), "guess_ceiling"),
        ("digits = ", "is not TOML"),
        ("#" * 1_048_577, "longer than"),
    ):
        with pytest.raises(ConfigError, match=fault):
            live.push(3, Actor("a"), "", text)
    with pytest.raises(ConfigError, match="one line"):
        live.push(3, Actor("a"), "two\nlines", BASE)
    with pytest.raises(ConfigError, match=r"revision 2: .*\$\.code\.digits"):
        live.rollback(3, Actor("a"), "", 2)
    with pytest.raises(ConfigError, match="there is no revision 9"):
        live.rollback(3, Actor("a"), "", 9)
    assert history.newest() == 2
    assert live.rollback(3, Actor("a"), "", 1).text == BASE


def test_a_silent_store_keeps_the_last_good_policy(tmp_path: Path, tagger: codes.Tagger) -> None:
    """Once loaded, a policy stays in force through an outage; before that, nothing is admitted until it is over."""
    with EmbeddedValkey(tmp_path, append_fsync="no") as server:
        store = Store(server.url)
        store.prepare()
        live = LivePolicy(Policies(store.link, tagger), tagger)
        with pytest.raises(StoreUnavailable):
            live()
        live.push(1, Actor("a"), "", digits(8))
        live.refresh()
    with pytest.raises(StoreUnavailable):
        live.refresh()
    assert live().policy.code.digits == 8
    late = LivePolicy(Policies(store.link, tagger), tagger)
    with pytest.raises(StoreUnavailable):
        late.refresh()
    with pytest.raises(StoreUnavailable):
        late()
    with EmbeddedValkey(tmp_path, append_fsync="no"):
        late.refresh()
        assert late().policy.code.digits == 8


def test_a_request_is_judged_by_one_revision(store: Store, tagger: codes.Tagger) -> None:
    """A start and a check ask for the rulebook once each, so that no push falls between two of their steps."""
    asked: list[Rulebook] = []
    give = fixed(policy_file.parse(BASE, "test"), tagger)

    def rules() -> Rulebook:
        asked.append(give())
        return asked[-1]

    ring = codes.KeyRing(f"k1:{codes.new_key()}")
    service = Service(config.load(None, "0" * 16), rules, ring, tagger, store.verifications, ManualClock())
    started = service.start("default", a_start(a_number()))
    assert len(asked) == 1
    service.check("default", started.id, "000000")
    assert len(asked) == 2


def test_readiness_says_that_no_policy_is_loaded(store: Store) -> None:
    """A web process that could not read a policy yet is not ready, and says why."""
    status, _, body = LocalClient(store, ManualClock()).request("GET", "/readyz")
    assert status == 503
    assert "no policy has been loaded yet" in body["reasons"]
