"""A service whose team is told of what happens: a store of the test's own, and targets that keep what they are told."""

import base64
import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.bench import Bench, a_start, make_bench
from tests.support.dispatching import Scripted
from tests.support.vendor import Vendor
from verify_service import config
from verify_service.adapters import Provider
from verify_service.alerts import MOST_OPEN, Alarms
from verify_service.alerts.team import Team
from verify_service.errors import Blocked
from verify_service.model import Actor
from verify_service.store import Store
from verify_service.store.alert_layouts import AlertTerms, Finding
from verify_service.store.policies import Policies

SECRET = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
BASE = """
public_url = "https://verify.acme.example"
allow_fake = true
[providers.a]
kind = "fake"
[providers.b]
kind = "fake"
[providers.only]
kind = "fake"
[[routes]]
via = [{ provider = "a" }, { provider = "b", weight = 0 }]
[[routes]]
channel = "email"
via = [{ provider = "only" }]
"""
MAIL, TEXT = "oncall@acme.example.org", "+14155550171"


def targets(webhook: str, more: str = "") -> str:
    return (
        f'{BASE}[alerts]\nwebhook = {{ url = "{webhook}", secret = "env:A" }}\n'
        f'mail = {{ to = ["{MAIL}"] }}\ntext = {{ to = ["{TEXT}"] }}\n{more}\n'
    )


@dataclass
class AlertBench:
    """One dispatcher's look at a service under `policy`, which is in force as its first revision."""

    store: Store
    folder: Path
    vendor: Vendor
    policy: str
    toml: str = ""
    providers: dict[str, Provider] = field(default_factory=lambda: {name: Scripted() for name in ("a", "b", "only")})

    def __post_init__(self) -> None:
        client: Any = self.store.link.client()
        client.flushall()
        self.bench: Bench = make_bench(self.store, self.policy)
        self.policies = Policies(self.store.link, self.bench.tagger)
        self.policies.push(self.bench.clock.now(), Actor("test"), "", self.policy)
        self.alarms = self.looking("d1")

    def looking(self, name: str) -> Alarms:
        """A dispatcher of that name."""
        file = self.folder / f"{name}.toml"
        file.write_text(self.toml or targets(self.vendor.url))
        operator, clock = config.load(file, None), self.bench.clock
        team = Team(operator, lambda _: SECRET, self.providers)
        return Alarms(self.store, operator, self.bench.tagger, team, clock, name)

    def round(self, seconds: float = 15) -> None:
        """Time goes on, and the dispatcher looks."""
        self.bench.clock.advance(seconds)
        self.alarms.round()

    @property
    def posts(self) -> list[dict[str, Any]]:
        """What the webhook was told."""
        return [json.loads(body) for _, body in self.vendor.requests]

    @property
    def told(self) -> list[str]:
        """In short: what each was, and of what."""
        return [f"{post['type'].removeprefix('alert.')} {post['data']['title']}" for post in self.posts]

    def messages(self, provider: str) -> list[Any]:
        sends = self.providers[provider]
        assert isinstance(sends, Scripted)
        return sends.asked


def attacked(team: AlertBench, prefix: str = "+216201") -> None:
    """Starts to a prefix until one is refused."""
    for place in range(60):
        team.bench.clock.advance(30)
        try:
            team.bench.service.start("default", a_start(f"{prefix}{place * 137:05d}"))
        except Blocked:
            return
    raise AssertionError("nothing was blocked")


def found(of: str, rule: str = "attack", after: int = 0, sentence: str = "It is so.") -> Finding:
    return Finding(rule, of, "/blocks", sentence, {"blocks": 1}, False, after)


def terms(*targets: str, judged: str = "attack", waiting: int = 100) -> AlertTerms:
    return AlertTerms([judged], targets, 600_000, 86_400_000, MOST_OPEN, waiting)
