"""One life of a service, begun by one version and ended by another: what each leaves, and what the other makes of it.

`python -m tests.support.two_versions` writes tests/then/store.json: all that the package of then leaves, under the keys
below.
"""

import base64
import itertools
import json
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from tests.support.commands import run
from tests.support.live import BASE, PATIENCE_S, until
from tests.support.roles import THEN, answers, environment, package_of_then, role
from tests.support.vendor import Vendor, vendor_at_work
from verify_service.embedded import EmbeddedValkey, free_port
from verify_service.signing import Signer
from verify_service.store import Store
from verify_service.store.clock import OFFSET_KEY, VirtualClock
from verify_service.testing import VerifyClient, VerifyProblem, VerifyServer

# Of tests alone: they seal nothing but the store that is kept beside them.
TEST_KEYS = "test1:VEVTVC1LRVktT0YtVEVTVFMtT05MWS0wMDAwMDAwMDE="
TEST_TAG_KEY = "VEVTVC1UQUctS0VZLU9GLVRFU1RTLU9OTFktMDAwMDE="
TEST_SECRET = "whsec_VEVTVC1IT09LLVNFQ1JFVC1PRi1URVNUUy1PTkxZLTE="
API_KEY = "test-key-of-tests-only-0123456789abcdef"
POLICY = BASE.replace('allow = "30/hour"', 'allow = "4/hour"')
CROWD = "192.0.2.7"
SENT, MOVED, APPROVED, QUEUED, REPEATED, OUT = (f"+1415555{n}" for n in range(2101, 2107))
CROWDED = [f"+1415555{n}" for n in range(2201, 2207)]


def config(provider: Vendor, endpoint: Vendor) -> str:
    return f"""
public_url = "http://verify.example"
[providers.a]
kind = "webhook"
url = "{provider.url}/a"
secret = "env:HOOK"
[providers.b]
kind = "webhook"
url = "{provider.url}/b"
secret = "env:HOOK"
[[routes]]
receipt_within = "20 seconds"
via = [{{ provider = "a", weight = 1 }}, {{ provider = "b", weight = 0 }}]
[tenants.default.webhook]
url = "{endpoint.url}"
secret = "env:HOOK"
events = ["started", "refused", "sent", "delivered", "failed-over", "wrong", "approved"]
"""


@dataclass
class Memory:
    """What the version that began knows, for the one that ends: ids, codes, what was refused."""

    ids: dict[str, str] = field(default_factory=dict)
    codes: dict[str, str] = field(default_factory=dict)
    sent_as: dict[str, str] = field(default_factory=dict)
    decision: str = ""


class Versions:
    """A store, a provider and a tenant's endpoint, and roles of both versions on them."""

    def __init__(self, folder: Path, then: Path, server: EmbeddedValkey, provider: Vendor, endpoint: Vendor) -> None:
        self.folder = folder
        self.store = Store(server.url)
        self.clock = VirtualClock(self.store.link)
        self.provider = provider
        self.endpoint = endpoint
        self._then = then
        self._name, count = secrets.token_hex(4), itertools.count()
        provider.answer = lambda: (200, {}, msgspec.json.encode({"id": f"{self._name}-{next(count)}"}))
        (folder / "verify.toml").write_text(config(provider, endpoint))
        (folder / "policy.toml").write_text(POLICY)
        self.env = {
            "VERIFY_REDIS_URL": server.url,
            "VERIFY_KEYS": TEST_KEYS,
            "VERIFY_TAG_KEY": TEST_TAG_KEY,
            "VERIFY_API_KEY": API_KEY,
            "VERIFY_CONFIG": str(folder / "verify.toml"),
            "VERIFY_POLICY": str(folder / "policy.toml"),
            "VERIFY_CLOCK": "virtual",
            "HOOK": TEST_SECRET,
        }

    def package(self, version: str) -> Path | None:
        return self._then if version == "then" else None

    @contextmanager
    def web(self, version: str) -> Iterator[VerifyClient]:
        """A web role, and a client of it."""
        port = free_port()
        words = ("web", "--port", str(port), "--workers", "1", "--quiet")
        with role(self.folder, self.env, *words, package=self.package(version)) as (process, _):
            until(lambda: answers(process, port), "the web role to answer")
            client = VerifyClient(VerifyServer(f"http://127.0.0.1:{port}", API_KEY, self.folder, 0))
            yield client
            client.close()

    @contextmanager
    def dispatcher(self, version: str) -> Iterator[None]:
        with role(self.folder, self.env, "dispatch", package=self.package(version)) as (process, log):
            yield
            assert process.poll() is None, log.read_text()
        assert "Traceback" not in log.read_text()

    def command(self, version: str, *words: str) -> str:
        """What a command of a version prints."""
        if version == "now":
            done = run(*words, env=self.env, cwd=self.folder)
        else:
            command = [sys.executable, "-m", "verify_service", *words]
            env = environment(self.env, self.package(version))
            done = subprocess.run(
                command, env=env, cwd=self.folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False
            )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def messages(self, to: str) -> list[tuple[str, str]]:
        """(provider's own id, code) of each message that the provider has got for a number, the oldest first."""
        told = [(f"{self._name}-{n}", json.loads(body)) for n, (_, body) in enumerate(list(self.provider.requests))]
        return [(name, _code(each["body"])) for name, each in told if each["to"] == to]

    def told(self, verification_id: str) -> list[str]:
        """What the tenant's endpoint was told of a verification, each kind once."""
        bodies = [json.loads(body) for _, body in list(self.endpoint.requests)]
        kinds = [each["type"].removeprefix("verification.") for each in bodies if each["data"]["id"] == verification_id]
        return list(dict.fromkeys(kinds))


@contextmanager
def versions(folder: Path, then: Path) -> Iterator[Versions]:
    """On a store of its own; the package of then lies in a folder."""
    with ExitStack() as stack:
        server = stack.enter_context(EmbeddedValkey(folder / "valkey", append_fsync="no"))
        provider, endpoint = (stack.enter_context(vendor_at_work()) for _ in range(2))
        yield Versions(folder, then, server, provider, endpoint)


def begin(life: Versions, version: str) -> Memory:
    """Leaves something of every kind in the store: messages that wait to be sent, for a receipt and for a code, counts,
    answers under keys, decisions, consents, a policy, events that a tenant's endpoint did not take."""
    memory = Memory()
    life.endpoint.answer = lambda: (500, {}, b"")
    with life.web(version) as client:
        with life.dispatcher(version):
            until(lambda: life.store.link.command(0, ["EXISTS", "vs:{0}:hooks"]), "events to be looked at")
            for to in (SENT, MOVED, APPROVED):
                memory.ids[to] = client.start(to)["id"]
                until(lambda to=to: life.messages(to), f"a message to {to}")  # type: ignore[misc]
                [(memory.sent_as[to], memory.codes[to])] = life.messages(to)
                until(lambda to=to: _lines(client, memory.ids[to])[-1:] == ["sent"])  # type: ignore[misc]
            assert client.check(id=memory.ids[APPROVED], code=memory.codes[APPROVED])["status"] == "approved"
            assert client.check(id=memory.ids[SENT], code=_other(memory.codes[SENT]))["checks_left"] == 4
            until(lambda: len(life.endpoint.requests) >= 3, "the endpoint to refuse an event of each")
        memory.ids[QUEUED] = client.start(QUEUED)["id"]
        memory.ids[REPEATED] = client.start(REPEATED, idempotency_key="a-key")["id"]
        for to in CROWDED[:3]:
            client.start(to, ip=CROWD)
        memory.decision = problem(client, QUEUED)["decision"]
        answer = client.request("PUT", f"/consents/{OUT}", {"state": "out", "source": "form", "note": "asked us to"})
        assert answer[0] == 200, answer
    return memory


def end(life: Versions, version: str, memory: Memory) -> None:
    """Holds that another version takes all of it up."""
    life.endpoint.answer = lambda: (200, {}, b"")
    already = len(life.messages(MOVED))
    with life.web(version) as client:
        _goes_on(life, client, memory)
        life.clock.advance(31_000)
        resent = client.start(QUEUED)
        assert (resent["id"], resent["checks_left"]) == (memory.ids[QUEUED], 5)
        with life.dispatcher(version):
            until(lambda: life.store.outbox.depth() == 0, "the outbox to be emptied")
            assert client.check(id=memory.ids[QUEUED], code=life.messages(QUEUED)[-1][1])["status"] == "approved"
            until(lambda: len(life.messages(MOVED)) > already, "what has no receipt to go another way")
            assert {code for _, code in life.messages(MOVED)} == {memory.codes[MOVED]}
            until(lambda: _lines(client, memory.ids[MOVED])[-2:] == ["failed-over", "sent"])
            as_usual = "a  sms  100 % of its weight\n    lately: "
            until(lambda: life.command(version, "providers").startswith(as_usual), "what was tried lately to be shown")
            wanted = {
                SENT: {"started", "sent", "wrong", "approved", "delivered"},
                MOVED: {"started", "sent", "failed-over"},
                APPROVED: {"started", "sent", "approved"},
                QUEUED: {"started", "refused", "sent", "approved"},
            }

            def all_told() -> bool:
                life.clock.advance(60_000)  # What was not taken is tried again after minutes.
                return all(kinds <= {*life.told(memory.ids[to])} for to, kinds in wanted.items())

            until(all_told, "the endpoint to be told of all")
    exported = {json.loads(line)["id"] for line in life.command(version, "events", "export").splitlines()}
    assert {*memory.ids.values()} <= exported
    person = json.loads(life.command(version, "person", "export", "--to", SENT, "--tenant", "default"))
    assert [each["id"] for each in person["verifications"]] == [memory.ids[SENT]]
    assert life.command(version, "policy", "show") == POLICY


def _goes_on(life: Versions, client: VerifyClient, memory: Memory) -> None:
    """Callers and vendors see what they would have seen of the version that began."""
    sent = memory.ids[SENT]
    assert sorted(_lines(client, sent)) == ["queued", "sent", "started", "wrong"]
    assert client.check(id=sent, code=_other(memory.codes[SENT]))["checks_left"] == 3
    assert client.check(to=SENT, code=memory.codes[SENT])["status"] == "approved"
    _tell_receipt(client, memory.sent_as[SENT])
    assert sorted(_lines(client, sent)[4:]) == ["approved", "delivered", "wrong"]
    assert client.start(REPEATED, idempotency_key="a-key")["id"] == memory.ids[REPEATED]
    client.start(CROWDED[3], ip=CROWD)
    assert problem(client, CROWDED[4], ip=CROWD)["limit"] == "ip"
    status, _, decision = client.request("GET", f"/decisions/{memory.decision}")
    assert (status, decision["id"]) == (200, memory.decision)
    assert problem(client, OUT)["type"].endswith("opted-out")
    _, _, consent = client.request("GET", f"/consents/{OUT}")
    assert [(each["state"], each["note"]) for each in consent["trail"]] == [("out", "asked us to")]


def problem(client: VerifyClient, to: str, **fields: Any) -> Mapping[str, Any]:
    """The problem that a start is answered."""
    try:
        client.start(to, **fields)
    except VerifyProblem as refused:
        return refused.body
    raise AssertionError(f"{to} was not refused")


def _tell_receipt(client: VerifyClient, name: str) -> None:
    """Says that a message was delivered, as the operator at the provider's URL does."""
    body = msgspec.json.encode([{"id": name, "status": "delivered"}])
    headers = Signer(TEST_SECRET).headers("call-1", body)
    status, _, _ = client.request("POST", "/providers/a/receipts", json.loads(body), headers)
    assert status == 200


def _lines(client: VerifyClient, verification_id: str) -> list[str]:
    return [line["event"] for line in client.status(verification_id)["timeline"]]


def _code(text: str) -> str:
    found = re.search(r"\b\d{6}\b", text)
    assert found, "a message without a code"
    return found[0]


def _other(code: str) -> str:
    return f"{(int(code) + 1) % 1_000_000:06d}"


def kept(life: Versions, memory: Memory) -> bytes:
    """All that is in the store, as bytes to keep; and what its version knew."""
    client: Any = life.store.link.client()
    keys = sorted(client.scan_iter(count=1000))
    entries = [
        {"key": key.decode(), "life": client.pttl(key), "dump": base64.b64encode(client.dump(key)).decode()}
        for key in keys
    ]
    whole = {"at": life.clock.now(), "memory": msgspec.to_builtins(memory), "keys": entries}
    return json.dumps(whole, indent=1).encode() + b"\n"


def restored(life: Versions, packed: bytes) -> Memory:
    """Puts into the store what was kept, and the clock back to when that was."""
    whole = json.loads(packed)
    client: Any = life.store.link.client()
    for each in whole["keys"]:
        client.restore(each["key"], max(0, each["life"]), base64.b64decode(each["dump"]), replace=True)
    life.store.link.command(0, ["SET", OFFSET_KEY, whole["at"] - time.time_ns() // 1_000_000])
    return msgspec.convert(whole["memory"], Memory)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, versions(Path(folder), package_of_then(Path(folder, "then"))) as life:
        (THEN / "store.json").write_bytes(kept(life, begin(life, "then")))
