"""The service in this process, on a Valkey of its own, without HTTP: for questions to the store or a profiler."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from benchmarks.stack import wait_until
from benchmarks.traffic import Caller, Callers
from verify_service import codes, config
from verify_service.backtest.beside import launch
from verify_service.consents import Consents
from verify_service.data_subjects import DataSubjects
from verify_service.embedded import EmbeddedValkey, free_port
from verify_service.factors import Factors
from verify_service.insight.explain import Explain
from verify_service.model import Clock, Number, Start, TimelineEvent
from verify_service.policy import file as policy_file
from verify_service.policy.live import LivePolicy
from verify_service.policy.rulebook import fixed
from verify_service.relief import Relief
from verify_service.service import Service
from verify_service.store import Store
from verify_service.store.audit import Audit
from verify_service.store.backtests import Backtests
from verify_service.store.clock import SystemClock
from verify_service.store.connection import Call, Link
from verify_service.store.entries import Settlement
from verify_service.store.failures import FailedAuthentications
from verify_service.store.layouts import Record
from verify_service.store.policies import Policies
from verify_service.web import create_app
from verify_service.web.context import WebContext
from verify_service.web.readiness import Readiness

_TAG = re.compile(rb"[0-9a-f]{16}")
# The sixth to eighth digit of a tag or id is another one in each copy; none of them says in which partition it lies.
_COPIES = """
for n = 1, ARGV[2] do
  local at = ARGV[1] + 5
  local name = KEYS[1]:sub(1, at) .. ('%03x'):format(n) .. KEYS[1]:sub(at + 4)
  if name ~= KEYS[1] then redis.call('COPY', KEYS[1], name) end
end
"""
API_KEY = codes.new_api_key("default")


class Inside:
    """A service under the shipped policy, on an empty store; `enforce`: with every rule enforced. `clock`: another than
    the machine's, `keys`: other master keys than new ones."""

    def __init__(self, url: str, *, enforce: bool = False, clock: Clock | None = None, keys: str | None = None) -> None:
        self.store = Store(url)
        self.store.prepare()
        self.callers = Callers()
        self.config = config.load(None, API_KEY)
        self.policy = policy_file.parse(policy_file.default_text(enforce=enforce), "the shipped policy")
        self.ring = keys or f"k1:{codes.new_key()}"
        self.keys = codes.KeyRing(self.ring)
        self.tagger = codes.Tagger(codes.new_key())
        self.clock = clock or SystemClock()
        rules = fixed(self.policy, self.tagger)
        self.service = Service(self.config, rules, self.keys, self.tagger, self.store.verifications, self.clock)
        self.factors = self.factors_of(self.keys)

    def factors_of(self, keys: codes.KeyRing) -> Factors:
        """Those of the same service with another ring."""
        common = (self.config, self.service.rules, keys, self.tagger, self.store.users, self.clock)
        return Factors(*common, self.service.approvals)

    def app(self) -> Any:
        """The WSGI app of the web role around the same service."""
        live = LivePolicy(Policies(self.store.link, self.tagger), self.tagger)
        return create_app(
            WebContext(
                config=self.config,
                store=self.store,
                service=self.service,
                factors=self.factors,
                keys=self.keys,
                live=live,
                clock=self.clock,
                failures=FailedAuthentications(self.store.link, self.tagger),
                readiness=Readiness(self.store, live),
                consents=Consents(self.store, self.config, self.keys, self.tagger, self.clock),
                data_subjects=DataSubjects(self.store, self.tagger, self.clock),
                explain=Explain(self.store, self.service.rules, self.tagger, self.clock),
                relief=Relief(self.store, self.service.rules, self.tagger, self.clock),
                backtests=Backtests(self.store.link, self.tagger, launch),
                audit=Audit(self.store.link, self.tagger),
                callbacks={},
                inbox=None,
                multiprocess=False,
            )
        )

    def code(self, verification_id: str) -> str:
        """The code of a verification, derived as the dispatcher does it."""
        return self.codes([verification_id])[verification_id]

    def codes(self, ids: Sequence[str]) -> dict[str, str]:
        """The codes of several, asked for in one call."""
        if not ids:
            return {}
        packed = self.store.link.command(0, ["MGET", *(f"vs:{{0}}:verification:{one}" for one in ids)])
        found = dict(zip(ids, map(Record.open, packed), strict=True))
        return {
            one: self.keys.code(record.kid, record.nonce, record.tenant, record.purpose, 6)
            for one, record in found.items()
        }

    def start(self) -> str:
        """Starts a new caller's verification; its id."""
        return self.service.start("default", a_start(self.callers.next())).id

    def fill(self, count: int, batch: int = 200, *, settled: bool = True, approved: int = 0) -> None:
        """So many live verifications, with their messages sent where `settled`: the service's own calls, many to a
        round trip. Of ten, `approved` are then approved, by one call each."""
        link = self.store.link
        recorder = _Recorder(link)
        self.store.verifications._link = recorder
        try:
            for done in range(0, count, batch):
                for _ in range(min(batch, count - done)):
                    self.start()
                ids = recorder.flush()
                if settled:
                    self.settle()
                self.store.verifications._link = link
                for found, code in self.codes([one for n, one in enumerate(ids) if n % 10 < approved]).items():
                    assert self.service.check("default", found, code).approved
                self.store.verifications._link = recorder
        finally:
            self.store.verifications._link = link

    def multiply(self, times: int) -> None:
        """So many times what lies under the tag of a person or an id: copies under other names, made in the server."""
        client = redis.Redis.from_url(self.store.link.url)  # with patience, where the link has two seconds
        named = [key for key in client.scan_iter(count=1000) if _TAG.search(key)]
        copy = client.register_script(_COPIES)
        for place in range(0, len(named), 50):
            pipe = client.pipeline(transaction=False)
            for key in named[place : place + 50]:
                tag = _TAG.search(key)
                assert tag
                copy(keys=[key], args=[tag.start(), times - 1], client=pipe)
            pipe.execute()
        client.close()
        self.grown()

    def grown(self) -> None:
        """Waits until the server's tables have grown: while they do, each command moves a part of them; in a store that
        has its size none does."""
        client: Any = self.store.link.client()
        client.config_set("hz", 500)
        wait_until(lambda: client.info("memory")["mem_overhead_db_hashtable_rehashing"] == 0, "tables to have grown")
        client.config_set("hz", 10)

    def settle(self) -> None:
        """Does the dispatcher's part for all that is queued: taken, sent, settled."""
        while entries := self.store.outbox.take(0, "benchmark", 1000, 0):
            sent = TimelineEvent(at=self.clock.now(), event="sent", provider="fake-a")
            self.store.outbox.settle([Settlement(entry, [sent]) for entry in entries])

    def store_seconds(self) -> float:
        """The CPU time that the server has taken."""
        found: Any = self.store.link.client().info("cpu")
        return float(found["used_cpu_user"]) + float(found["used_cpu_sys"])

    def stats(self) -> dict[str, tuple[int, int]]:
        """What the server counted since `reset`: command -> (calls, microseconds)."""
        found: dict[str, Any] = self.store.link.client().info("commandstats")
        return {name.removeprefix("cmdstat_"): (entry["calls"], entry["usec"]) for name, entry in found.items()}

    def reset(self) -> None:
        """Starts the server's counts anew."""
        self.store.link.client().config_resetstat()


class _Recorder(Link):
    """Takes calls as a link does, answers what an admitted start is answered, and sends them when it is told to."""

    def __init__(self, link: Link) -> None:
        self._through = link
        self.partitions = link.partitions
        self._calls: list[Call] = []

    def call(self, call: Call) -> list[Any]:
        self._calls.append(call)
        return [b"started", b"ve_", 0, 0, 0, 0, 0, b"sms", []]

    def flush(self) -> list[str]:
        """The ids of what was started."""
        answers = self._through.pipeline(self._calls)
        for answer in answers:
            assert answer[0] == b"started", answer
        self._calls.clear()
        return [answer[1].decode() for answer in answers]


@contextmanager
def inside(
    folder: Path,
    extra: Sequence[str] = (),
    *,
    enforce: bool = False,
    clock: Clock | None = None,
    keys: str | None = None,
) -> Iterator[Inside]:
    """An `Inside` until the end of the block."""
    with EmbeddedValkey(folder, port=free_port(), append_fsync="no", extra=extra) as valkey:
        yield Inside(valkey.url, enforce=enforce, clock=clock, keys=keys)


def a_start(caller: Caller) -> Start:
    """A caller's start, its number parsed already."""
    number = Number(e164=caller.to, country=caller.country, prefix=caller.to[:6], line_type=caller.line_type)
    return Start(number=number, channel="sms", purpose="login", ip=caller.ip, device=None)
