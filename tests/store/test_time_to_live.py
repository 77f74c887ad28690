"""Nothing is kept for ever: every key of the store goes by itself, and memory comes back."""

from datetime import datetime
from pathlib import Path

import pyotp
import pytest

from tests.support.bench import Bench, make_bench, wrong
from tests.support.concurrency import numbers
from tests.support.live import patient, until
from verify_service import phone
from verify_service.embedded import EmbeddedValkey
from verify_service.model import Start, TimelineEvent
from verify_service.policy.specs import LimitSpec, Window
from verify_service.store import Store, verifications
from verify_service.store.connection import Call
from verify_service.store.entries import Settlement
from verify_service.testing import VerifyClient, VerifyInbox, VerifyServer

pytestmark = pytest.mark.slow

TENANT = "default"
# Short lives, so that they can be waited for.
SHORT = """
[code]
life = "2 seconds"
cooldown = ["1 second"]
guess_ceiling = 1.0
[[limit]]
name = "log"
of = ["number"]
allow = "5/second"
[[limit]]
name = "counter"
of = ["ip"]
allow = "1000/second"
net_of_approved = true
[[limit]]
name = "guesses"
of = ["number"]
allow = "20/second"
counts = "wrong-codes"
"""


def test_every_key_of_a_loaded_store_has_a_time_to_live(
    verify_server: VerifyServer, verify_client: VerifyClient, verify_inbox: VerifyInbox
) -> None:
    """After every kind of request, only streams, consents, users with a verified factor and the policy's history would
    stay; the streams are trimmed as they grow."""
    for n, to in zip(range(8), numbers(646), strict=False):
        verify_inbox.behave({"to": "+1646*", "do": "error", "times": 1})
        started = verify_client.start(
            to, idempotency_key=f"ttl-{n}", ip="192.0.2.7", device="phone", binding={"n": str(n)}
        )
        code = verify_inbox.code(to)
        check = {"id": started["id"], "binding": {"n": str(n)}, "ip": "192.0.2.7"}
        for _ in range(n):
            verify_client.request("POST", "/check", {**check, "code": wrong(code)})
        if n == 1:
            verify_client.cancel(started["id"])
        elif n < 5:
            assert verify_client.check(**check, code=code, idempotency_key=f"ttl-{n}")["approved"]
    enrolled = [verify_client.request("POST", f"/users/{n}/factors", {"kind": "totp"})[2] for n in range(2)]
    app = pyotp.TOTP(enrolled[0]["secret"]).at(datetime.fromisoformat(enrolled[0]["created_at"]))
    verify_client.request("POST", f"/users/0/factors/{enrolled[0]['id']}/verify", {"code": app})
    assert verify_client.request("POST", "/users/0/check", {"code": app, "binding": {"a": "b"}})[2]["status"] == "used"
    verify_client.request("GET", "/verifications/x", headers={"authorization": "Bearer nobody's"})
    client = Store((verify_server.state_dir / "store-url").read_text().strip()).link.client()
    kinds = {key: client.type(key) for key in client.scan_iter(count=1000)}
    for_ever = {key: kind for key, kind in kinds.items() if client.ttl(key) == -1 and b":consent:" not in key}
    assert len(kinds) > 30
    lasting = [key for key in for_ever if b":user:" in key]
    assert len(lasting) == 1
    for_ever = {key: kind for key, kind in for_ever.items() if key not in lasting}
    assert for_ever.pop(b"vs:{0}:sealed") == b"hash"
    streams = {b"vs:{0}:events": b"stream", b"vs:{0}:outbox": b"stream", b"vs:{0}:audit": b"stream"}
    assert for_ever == {**streams, b"vs:{0}:policy": b"hash"}


def test_memory_and_keys_are_back_when_verifications_have_expired(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Three loads of 1,000 verifications, each waited out: no key is left of any, and the third leaves hardly more
    memory behind than the second did: 300 bytes for each, which is the noise of a few hundred keys that live longer."""
    monkeypatch.setattr(verifications, "KEEP_MS", 100)
    monkeypatch.setattr(verifications, "START_REPLAY_MS", 100)
    monkeypatch.setattr(verifications, "CHECK_REPLAY_MS", 100)
    with EmbeddedValkey(tmp_path, append_fsync="no") as server:
        store = Store(patient(server.url), keep_events=200)
        store.prepare()
        client = store.link.client()
        before = set(client.keys())
        memory = []
        for _ in range(3):
            gone = client.info("stats")["expired_keys"]
            _load(make_bench(store, SHORT), 1_000)
            _wait_until_gone(store, before)
            assert client.info("stats")["expired_keys"] - gone > 3_000
            memory.append(client.info("memory")["used_memory"])
        assert store.outbox.depth() == 0
        assert client.xlen("vs:{0}:events") < 400
        assert memory[2] - memory[1] < 300_000


def _load(bench: Bench, count: int) -> None:
    """Starts, sends, and wrong, right and no checks, a third of each; and a hold that is given back, as where another
    partition refuses."""
    for n, to in zip(range(count), numbers(718), strict=False):
        ask = Start(number=phone.parse(to, None), channel="sms", purpose="login", ip=f"192.0.2.{n % 200}")
        found = bench.service.start(TENANT, ask, f"key-{n}").id
        if n % 3 == 0:
            assert bench.service.check(TENANT, found, bench.code(found), idempotency_key=f"key-{n}").approved
        elif n % 3 == 1:
            bench.service.check(TENANT, found, wrong(bench.code(found)))
        if n % 50 == 49:
            while bench.store.outbox.carry(0, 100):
                pass
    key, now = "vs:{0}:limit:counter:elsewhere", bench.clock.now()
    spec = LimitSpec("counter", True, [Window(1_000, 1_000)]).pack()
    held = Call(0, "hold", [key], [now, "refused", "limit", spec])
    bench.store.link.pipeline([held, Call(0, "release", [key], [now, "refused"])])
    sent = TimelineEvent(at=now, event="sent", provider="fake-a")
    while taken := bench.store.outbox.take(0, "tests", 100, 0):
        bench.store.outbox.settle([Settlement(entry, [sent]) for entry in taken])


def _wait_until_gone(store: Store, before: set[bytes | str]) -> None:
    """Until only what was there at first is there, and the events with the position up to which they were read.

    What says that a hit was given back lives ten minutes, too long to wait for here: it is looked at and removed.
    """
    client = store.link.client()
    given = client.keys("vs:{0}:given:*")
    assert given
    assert all(0 < client.pttl(key) <= 600_000 for key in given)
    client.delete(*given)
    kept = before | {b"vs:{0}:events", b"vs:{0}:credits"}
    until(lambda: set(client.keys()) <= kept, "all other keys to go")
