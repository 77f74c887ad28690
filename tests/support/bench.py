"""A service on a real store, without HTTP: what tests of the scripts work with."""

import secrets
from dataclasses import dataclass
from functools import cache
from typing import Any

from verify_service import codes, config, phone
from verify_service.factors import Factors
from verify_service.insight.explain import Explain
from verify_service.model import Start
from verify_service.policy import file as policy_file
from verify_service.policy.rulebook import fixed
from verify_service.relief import Relief
from verify_service.service import Service
from verify_service.store import Store
from verify_service.store.layouts import Record


@dataclass
class ManualClock:
    """A clock that stands still until it is moved."""

    ms: int = 1_800_000_000_000

    def now(self) -> int:
        return self.ms

    def advance(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)


@dataclass
class Bench:
    """A service on a real store, without HTTP: what tests of the scripts work with."""

    store: Store
    keys: codes.KeyRing
    tagger: codes.Tagger
    clock: ManualClock
    service: Service

    @property
    def explain(self) -> Explain:
        return Explain(self.store, self.service.rules, self.tagger, self.clock)

    @property
    def factors(self) -> Factors:
        return self.factors_of(self.service)

    def factors_of(self, service: Service, keys: codes.KeyRing | None = None) -> Factors:
        """Those of a service that differs from the bench's own in what it signs with, or in its keys."""
        common = (service.config, service.rules, keys or self.keys, self.tagger, self.store.users, self.clock)
        return Factors(*common, service.approvals)

    @property
    def relief(self) -> Relief:
        return Relief(self.store, self.service.rules, self.tagger, self.clock)

    def code(self, verification_id: str) -> str:
        """The code of the verification, as the dispatcher would derive it from the record."""
        return code_of(self.store, self.keys, verification_id)


def code_of(store: Store, keys: codes.KeyRing, verification_id: str) -> str:
    """The code of a verification, derived from its record."""
    part = store.verifications.partition(verification_id[3:])
    record = Record.open(store.link.command(part, ["GET", f"vs:{{{part}}}:verification:{verification_id}"]))
    return keys.code(record.kid, record.nonce, record.tenant, record.purpose, 6)


def wrong(code: str) -> str:
    """Another code of the same length."""
    return f"{(int(code) + 1) % 10 ** len(code):0{len(code)}d}"


def a_start(to: str, purpose: str = "login", **fields: Any) -> Start:
    """A start for a number in E.164."""
    return Start(number=phone.parse(to, None), channel="sms", purpose=purpose, **fields)


@cache
def _config() -> config.Config:
    """What a service is configured with where there is no file. Nobody has its key."""
    return config.load(None, secrets.token_hex(16))


def make_bench(store: Store, policy: str | None = None, keys: str | None = None) -> Bench:
    """A service with its own keys on the store, so that tests do not see each other's numbers."""
    ring = codes.KeyRing(keys or f"k1:{codes.new_key()}")
    tagger = codes.Tagger(codes.new_key())
    clock = ManualClock()
    # A week of its own: the room for decision records goes by the minute.
    clock.advance(604_800 * secrets.randbelow(3000))
    rules = policy_file.parse(policy or policy_file.default_text(), "test policy")
    service = Service(_config(), fixed(rules, tagger), ring, tagger, store.verifications, clock)
    return Bench(store, ring, tagger, clock, service)
