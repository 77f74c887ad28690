"""What an SMSC tells is in the store before it is acknowledged, whatever becomes of the store or the dispatcher."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count

import pytest

from tests.support.bench import a_start, make_bench
from tests.support.dispatching import Post
from tests.support.live import PATIENCE_S, clean, until
from tests.support.peers.smsc import DELIVER_RESP, ENQUIRE, ENQUIRE_RESP, UNBIND, Smsc, smsc_at_work
from tests.support.smpp import MESSAGE, Heard, bound
from verify_service.codes import Tagger, new_key
from verify_service.consents import Ledger
from verify_service.dispatch.acknowledging import acknowledging
from verify_service.errors import StoreUnavailable
from verify_service.model import Receipt

pytestmark = pytest.mark.slow

TO = "+14155550123"
RECEIPT = b"id:m1 stat:DELIVRD err:000 text:"
IS_RECEIPT = 0x04
TAKEN, AGAIN = 0x00, 0x64
CONFIG = """
[providers.it]
kind = "smpp"
host = "127.0.0.1"
port = %d
system_id = "acme"
password = "env:SMPP"
[senders.short]
type = "short-code"
address = "43721"
[[routes]]
via = [{ provider = "it", sender = "short" }]
"""
FIRST, SECOND = 21, 22  # Sequence numbers of a receipt and of a STOP.


@pytest.fixture
def smsc() -> Iterator[Smsc]:
    with smsc_at_work() as made:
        yield made


def answers(smsc: Smsc, sequence: int) -> list[int]:
    """How a delivery was answered, each time."""
    return [status for command, status, found in smsc.seen if (command, found) == (DELIVER_RESP, sequence)]


class Slow(Heard):
    """Takes nothing before it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on = threading.Event()

    def report(self, receipt: Receipt) -> bool:
        return self.go_on.wait(PATIENCE_S) and super().report(receipt)


def test_while_one_thing_is_written_down_nothing_else_waits(smsc: Smsc) -> None:
    """Enquiries and submits are answered meanwhile; the receipt is acknowledged after it was taken, and not before."""
    heard = Slow()
    with bound(smsc, heard) as provider:
        until(lambda: smsc.binds)
        smsc.tell(RECEIPT, esm_class=IS_RECEIPT, sequence=FIRST)
        smsc.write(ENQUIRE, 0, 41)
        until(lambda: (ENQUIRE_RESP, 0, 41) in smsc.seen)
        assert provider.send(MESSAGE).provider_id == "m1"
        assert (answers(smsc, FIRST), heard.receipts) == ([], [])
        heard.go_on.set()
        until(lambda: answers(smsc, FIRST) == [TAKEN])
        assert len(heard.receipts) == 1


def test_what_is_being_written_down_at_the_end_is_acknowledged_before_the_unbind(smsc: Smsc) -> None:
    """Who closes takes no receipt back that it has heard."""
    heard = Slow()
    with bound(smsc, heard):
        until(lambda: smsc.binds)
        smsc.tell(RECEIPT, esm_class=IS_RECEIPT, sequence=FIRST)
        smsc.write(ENQUIRE, 0, 41)
        until(lambda: (ENQUIRE_RESP, 0, 41) in smsc.seen)
        threading.Timer(0.1, heard.go_on.set).start()
    assert [command for command, _, _ in smsc.seen][-2:] == [DELIVER_RESP, UNBIND]


def test_what_cannot_be_written_down_is_to_be_told_again() -> None:
    """Where the store does not answer; an error of our own is logged, and would come again for ever."""

    def fail(error: Exception) -> None:
        raise error

    assert acknowledging(fail)(StoreUnavailable("gone")) is False
    assert acknowledging(fail)(ValueError("ours")) is True


class Line:
    """A service whose messages go out by an SMSC, and dispatcher processes that are bound to it."""

    def __init__(self, post: Post, smsc: Smsc) -> None:
        self.post, self.smsc = post, smsc
        self.keys = {"VERIFY_KEYS": f"k1:{new_key()}", "VERIFY_TAG_KEY": new_key()}
        post.bench = make_bench(post.bench.store, keys=self.keys["VERIFY_KEYS"])
        post.bench.clock.ms = time.time_ns() // 1_000_000
        self.ledger = Ledger(post.bench.store, Tagger(self.keys["VERIFY_TAG_KEY"]), post.bench.clock)

    @contextmanager
    def bound(self) -> Iterator[subprocess.Popen[bytes]]:
        """A dispatcher that is bound; killed at the end."""
        config = self.post.folder / "verify.toml"
        config.write_text(CONFIG % self.smsc.port)
        env = clean() | self.keys
        env |= {"VERIFY_REDIS_URL": self.post.server.url, "VERIFY_CONFIG": str(config), "SMPP": "s3cret"}
        binds = len(self.smsc.binds)
        process = subprocess.Popen([sys.executable, "-m", "verify_service", "dispatch"], env=env)
        try:
            until(lambda: len(self.smsc.binds) > binds, "a bind")
            yield process
        finally:
            process.kill()
            process.wait()

    def sent(self) -> str:
        """The id of a verification whose message the SMSC has taken, and whose receipt will be known as its own."""
        started = self.post.bench.service.start("default", a_start(TO))
        assert self.post.settled(started.id) == [("sent", "it", None)]
        client = self.post.bench.store.link.client()
        until(lambda: client.keys("vs:{0}:delivery:*"), "the SMSC's id of the message to be written down")
        return started.id

    def tell(self) -> None:
        """That the message has arrived, and that the person wants no more."""
        self.smsc.tell(RECEIPT, esm_class=IS_RECEIPT, sequence=FIRST)
        self.smsc.tell(b"STOP", sequence=SECOND)

    def deliver(self) -> None:
        """The same, again and again until both are taken."""

        def taken() -> bool:
            before = [len(each) for each in self.answers()]
            self.tell()
            until(lambda: all(len(each) > n for each, n in zip(self.answers(), before, strict=True)), "both answers")
            return [each[-1] for each in self.answers()] == [TAKEN, TAKEN]

        until(taken, "both to be taken")

    def answers(self) -> tuple[list[int], list[int]]:
        return answers(self.smsc, FIRST), answers(self.smsc, SECOND)

    def written(self, verification: str) -> tuple[list[str], list[str]]:
        """What stands in the timeline after `sent`, and in the trail."""
        timeline = [event for event, _, _ in self.post.timeline(verification)]
        return timeline[timeline.index("sent") + 1 :], [entry.state for entry in self.ledger.look("default", TO).trail]


@contextmanager
def silent(post: Post) -> Iterator[None]:
    """The store answers nobody meanwhile."""
    os.kill(post.server.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(post.server.pid, signal.SIGCONT)


def test_what_a_silent_store_did_not_take_is_delivered_again_and_stands_there_once(post: Post, smsc: Smsc) -> None:
    """The SMSC is answered 0x64 for a receipt and for a STOP, and keeps both; the store back, each is taken once."""
    numbers = count(1)  # The answer to STOP is a message too, perhaps before the receipt is taken.
    smsc.answer = lambda _: (0, f"m{next(numbers)}")
    line = Line(post, smsc)
    with line.bound():
        verification = line.sent()
        with silent(post):
            line.tell()
            until(lambda: line.answers() == ([AGAIN], [AGAIN]), "both to be told again")
        line.deliver()
    assert line.written(verification) == (["delivered"], ["out"])


def test_what_cannot_be_used_is_taken_and_counted(post: Post, smsc: Smsc) -> None:
    """A dispatcher takes a receipt with a word that is not known, and one of no message of ours; the store counts both.
    What is spelled otherwise than it was answered finds its message all the same."""
    line = Line(post, smsc)
    line.keys |= post.at_noon()
    smsc.answer = lambda _: (0, "00AB:C{1}")
    with line.bound():
        verification = line.sent()
        smsc.deliver(b"id:ab:c{1} stat:VANISHED err:000 text:", esm_class=IS_RECEIPT, sequence=31)
        smsc.deliver(b"id:m9 stat:DELIVRD err:000 text:", esm_class=IS_RECEIPT, sequence=32)
        smsc.deliver("id:ab:c{1} stat:DELIVERED".encode("utf-16-be"), esm_class=IS_RECEIPT, coding=8, sequence=33)
    assert line.written(verification)[0] == ["delivered"]
    assert post.bench.store.deliveries.strays.today(post.bench.clock.now()) == {"it": {"word": 1, "unmatched": 1}}


def test_a_killed_dispatcher_takes_nothing_with_it(post: Post, smsc: Smsc) -> None:
    """What it had heard and not written down was not acknowledged; the next one hears it again, and it counts once."""
    line = Line(post, smsc)
    with line.bound() as process:
        verification = line.sent()
        with silent(post):
            line.tell()
            smsc.write(ENQUIRE, 0, 41)
            until(lambda: (ENQUIRE_RESP, 0, 41) in smsc.seen, "what stands before the enquiry to be read")
            process.kill()
            process.wait()
            assert (DELIVER_RESP, TAKEN) not in [(command, status) for command, status, _ in smsc.seen]
    with line.bound():
        line.deliver()
    assert line.written(verification) == (["delivered"], ["out"])
