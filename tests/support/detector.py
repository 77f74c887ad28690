"""A service whose only rule is a detector of pumping, and numbers to pump."""

import secrets
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from tests.support.bench import Bench, a_start, make_bench
from verify_service.errors import Blocked
from verify_service.model import Verification
from verify_service.store import Store

HOUR = 3600.0
LAYOUT = struct.Struct("<dffffffffffffffdffff")
WEIGHT, SENT = 1, 9  # Places in a chart.


@dataclass
class Field:
    """A service whose only rule is a detector of its own name, so that no test sees another's charts."""

    bench: Bench
    rule: str

    def start(self, number: str, **fields: Any) -> Verification:
        return self.bench.service.start("default", a_start(number, **fields))

    def approve(self, verification: Verification) -> None:
        assert self.bench.service.check("default", verification.id, self.bench.code(verification.id)).approved
        self.carry()

    def carry(self) -> None:
        for part in range(self.bench.store.link.partitions):
            while self.bench.store.outbox.carry(part, 100):
                pass

    def refused(self, numbers: Iterable[str], every: float, *, converting: bool = False) -> list[bool]:
        """Whether each start was refused; the codes that are entered, are entered after 15 s."""
        answers = []
        for number in numbers:
            try:
                verification = self.start(number)
            except Blocked as problem:
                answers.append(problem.members["rule"] == self.rule)
            else:
                answers.append(False)
                if converting:
                    self.bench.clock.advance(15)
                    self.approve(verification)
            self.bench.clock.advance(every)
        return answers

    def chart(self, place: str) -> list[float]:
        part = self.bench.store.verifications.partition(self.bench.tagger.tag("country", "TN"))
        packed = self.bench.store.link.command(part, ["GET", f"vs:{{{part}}}:chart:{self.rule}:{place}"])
        return list(LAYOUT.unpack_from(packed, 2))


def policy_of(name: str, mode: str, extra: str = "") -> str:
    limits = """
[prices]
default = 0.25
[[limit]]
name = "number"
of = ["number"]
allow = "10/day"
[[limit]]
name = "wrong"
of = ["number"]
allow = "20/day"
counts = "wrong-codes"
"""
    return f'{limits}{extra}\n[[rule]]\nname = "{name}"\nkind = "pumping"\nmode = "{mode}"\n'


def field(store: Store, mode: str = "enforce", **parameters: object) -> Field:
    name = f"p{secrets.token_hex(4)}"
    extra = "\n".join(f"{key} = {value}" for key, value in parameters.items())
    policy = policy_of(name, mode) + extra
    return Field(make_bench(store, policy), name)


def numbers(count: int, first: int = 20_100_000, step: int = 1) -> list[str]:
    """Tunisian mobile numbers."""
    return [f"+216{first + place * step}" for place in range(count)]
