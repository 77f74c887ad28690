"""More messages than a dispatcher can send make a longer queue, never a slower one, and none is lost."""

import itertools
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks.overload import overload
from tests.support.bench import a_start
from tests.support.dispatching import Post
from tests.support.live import PATIENCE_S, until
from tests.support.vendor import Vendor
from verify_service.codes import new_key
from verify_service.providers.webhook import WebhookProvider
from verify_service.store.entries import Entry
from verify_service.store.outbox import Outbox

pytestmark = pytest.mark.slow

MESSAGES = 600


def test_what_is_late_is_asked_for_in_batches(post: Post, vendor: Vendor, monkeypatch: pytest.MonkeyPatch) -> None:
    """600 messages wait behind a vendor that hangs, all of them late when it answers again: each is asked for once,
    64 and more in a call, and each that is still wanted goes out once; those canceled meanwhile do not."""
    monkeypatch.setattr("verify_service.dispatch.failover.FRESH_S", 0.0)
    monkeypatch.setattr("verify_service.dispatch.wanted.FRESH_S", 600.0)
    monkeypatch.setattr("verify_service.dispatch.pools.THREADS_A_POOL", 4)
    asked: list[list[str]] = []
    are_wanted = Outbox.are_wanted

    def counted(outbox: Outbox, entries: Sequence[Entry]) -> list[bool]:
        asked.append([entry.id for entry in entries])
        return are_wanted(outbox, entries)

    monkeypatch.setattr(Outbox, "are_wanted", counted)
    answers = threading.Event()
    vendor.answer = lambda: (answers.wait(PATIENCE_S) and 200, {}, b"{}")
    ids = starts(post, MESSAGES)
    with post.dispatching({"a": WebhookProvider(vendor.url, f"whsec_{new_key()}", 60.0)}):
        until(lambda: taken(post) == MESSAGES, "all to be taken")
        canceled = ids[-100:]
        for each in canceled:
            post.bench.service.cancel("default", each)
        answers.set()
        until(lambda: post.bench.store.outbox.depth() == 0, "an empty outbox")
    assert sorted(itertools.chain(*asked)) == sorted(ids)
    # The four that are at work may have asked for themselves alone.
    assert len(asked) <= 4 + MESSAGES // 64 + 1
    sent = [msgspec.json.decode(body)["verification_id"] for _, body in vendor.requests]
    assert sorted(sent) == sorted(set(ids) - set(canceled))


def starts(post: Post, count: int) -> list[str]:
    """So many numbers in the United States; the ids of their verifications."""
    return [post.bench.service.start("default", a_start(f"+1415{2_010_000 + n}")).id for n in range(count)]


def taken(post: Post) -> int:
    """How many messages are a dispatcher's."""
    found: Any = post.bench.store.link.client().xpending("vs:{0}:outbox", "dispatch")
    return int(found["pending"])


def test_nothing_is_lost_while_twice_as_much_is_offered(tmp_path: Path) -> None:
    """The benchmark's run in small, a dispatcher process and a vendor's behind real HTTP: all that is offered arrives,
    under twice the load that it takes as well as before and after."""
    phases = overload(tmp_path, 200, 1_400)
    assert [(each.offered, each.arrived) for each in phases] == [(200, 200), (1_400, 1_400), (200, 200)]
