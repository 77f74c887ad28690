"""What second factors cost at size: `python -m benchmarks.factors`, some ten minutes for a million users.

An import, memory, a check beside so many users and beside few, a recovery code's slow hash, and a change of keys over
all of them while codes are checked.
"""

import argparse
import base64
import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import msgspec

from benchmarks.cpu_profile import called, environ_of
from benchmarks.inside import Inside, inside
from benchmarks.report import Table
from benchmarks.store import NO_FILE
from verify_service import authenticators
from verify_service.authenticators import Authenticator
from verify_service.codes import KeyRing, new_key
from verify_service.factors.keeping import Keeping
from verify_service.model import Actor

TENANT = "default"
MOST = 5
_encode = msgspec.json.Encoder().encode


class Users:
    """Users of a bench by their numbers. Each has one app, whose secret is the number's; each is checked once."""

    def __init__(self, bench: Inside, count: int) -> None:
        self.bench = bench
        self.count = count
        self.left = random.Random(36).sample(range(count), count)

    def app(self, number: int) -> Authenticator:
        return Authenticator("totp", number.to_bytes(20, "big"))

    def lines(self) -> Iterator[bytes]:
        """The file that they are imported from."""
        for number in range(self.count):
            secret = base64.b32encode(self.app(number).secret).decode()
            yield _encode({"user": f"user-{number}", "uri": f"otpauth://totp/Bench:user-{number}?secret={secret}"})

    def next(self) -> tuple[str, str]:
        """A user who was not checked yet, and the code of now."""
        number = self.left.pop()
        app = self.app(number)
        step = app.step(self.bench.clock.now())
        [(_, code)] = app.codes(step, step)
        return f"user-{number}", code


def keeping(bench: Inside, keys: KeyRing) -> Keeping:
    return Keeping(bench.store, keys, bench.tagger, bench.clock)


def importing(users: Users) -> Table:
    """All of them, in one process as the command has it; and the same file again."""
    table = Table(
        "Import",
        ("import", "users", "a second", "process µs", "store µs", "bytes a user in the store"),
        "One process, one store, no append-only file: wall time, CPU time of each, and how much used_memory has grown.",
    )
    bench = users.bench
    client = bench.store.link.client()
    for name in ("new", "the same file again"):
        memory = int(client.info("memory")["used_memory"])
        stored, mine, began = bench.store_seconds(), time.process_time(), time.monotonic()
        tally = keeping(bench, bench.keys).take(TENANT, users.lines(), MOST, print, Actor("benchmark"))
        took, mine, stored = (
            time.monotonic() - began,
            time.process_time() - mine,
            bench.store_seconds() - stored,
        )
        assert (tally.lines, tally.refused, tally.taken + tally.known) == (users.count, 0, users.count)
        grown = int(client.info("memory")["used_memory"]) - memory
        each = [cost / users.count * 1e6 for cost in (mine, stored)]
        table.rows.append((name, users.count, users.count / took, *each, grown / users.count))
    return table


def checks(few: Users, many: Users, rounds: int, calls: int) -> Table:
    """The same checks beside few users and beside many, in turns."""
    table = Table(
        "A check of an app's code",
        ("users in the store", "web µs", "store µs", "sum µs", "to few"),
        f"{rounds} rounds of {calls} right codes by the WSGI app, each of another user, in turns: CPU time of this "
        "process and of the store. Medians; in brackets the middle half of the rounds.",
    )
    for users in (few, many):
        users.bench.grown()
    pairs = [[_cost(users, calls) for users in (few, many)] for _ in range(rounds + 1)][1:]
    for users, costs in zip((few, many), zip(*pairs, strict=True), strict=True):
        columns = [*zip(*costs, strict=True), [sum(cost) for cost in costs]]
        ratios = [sum(pair[users is many]) / sum(pair[0]) for pair in pairs]
        table.rows.append((users.count, *(_shown(column, ".0f") for column in columns), _shown(ratios, ".2f")))
    return table


def _cost(users: Users, calls: int) -> tuple[float, float]:
    """Microseconds a check: of this process, and of the store."""
    asked = [environ_of(f"/users/{user}/check", {"code": code}) for user, code in (users.next() for _ in range(calls))]
    app = users.bench.app()
    stored, mine = users.bench.store_seconds(), time.process_time()
    bodies = called(app, asked)
    mine, stored = time.process_time() - mine, users.bench.store_seconds() - stored
    assert all(b'"approved":true' in body for body in bodies)
    return mine / calls * 1e6, stored / calls * 1e6


def slow_hash(calls: int) -> Table:
    """What one guess at a recovery code costs."""
    table = Table(
        "A recovery code's slow hash",
        ("parameters", "ms"),
        f"Argon2id, {calls} in one thread: CPU time. Median; in brackets the middle half.",
    )
    costs = []
    for _ in range(calls):
        began = time.thread_time()
        authenticators.slow_hash("7kq4mx2p9d", bytes(16))
        costs.append((time.thread_time() - began) * 1e3)
    table.rows.append(("19 MiB, 2 passes, 1 lane", _shown(costs, ".1f")))
    return table


def rotation(users: Users) -> Table:
    """Every piece under another key, while one caller goes on checking."""
    table = Table(
        "A change of keys",
        ("pieces", "a second", "checks meanwhile", "failed"),
        "`keys reseal` over all users, while a thread of the same process checks right codes with both keys.",
    )
    bench = users.bench
    both = KeyRing(f"k2:{new_key()},{bench.ring}")
    factors = bench.factors_of(both)
    stop, outcomes = threading.Event(), list[bool]()

    def check() -> None:
        while not stop.is_set() and users.left:
            user, code = users.next()
            outcomes.append(factors.check(TENANT, user, code).approved)

    checking = threading.Thread(target=check)
    checking.start()
    began = time.monotonic()
    try:
        done = keeping(bench, both).reseal(Actor("ops"))
    finally:
        took = time.monotonic() - began
        stop.set()
        checking.join()
    assert keeping(bench, both).foreign() == 0
    table.rows.append((done.pieces, done.pieces / took, len(outcomes), outcomes.count(False)))
    return table


def _shown(values: Sequence[float], form: str) -> str:
    low, middle, high = statistics.quantiles(values, n=4)
    return f"{middle:{form}} ({low:{form}}–{high:{form}})"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures, and prints the tables as they come."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.factors", description=__doc__)
    parser.add_argument("--users", type=int, default=1_000_000, help="users who are kept (%(default)s)")
    parser.add_argument("--rounds", type=int, default=20, help="rounds in turns (%(default)s)")
    parser.add_argument("--calls", type=int, default=200, help="checks in each (%(default)s)")
    options = parser.parse_args(arguments)
    needed = (options.rounds + 1) * options.calls
    with (
        tempfile.TemporaryDirectory(prefix="verify-bench-") as folder,
        inside(Path(folder, "few"), NO_FILE) as small,
        inside(Path(folder, "many"), NO_FILE) as large,
    ):
        few, many = Users(small, needed), Users(large, max(options.users, needed))
        importing(few)
        measures: list[Callable[[], Table]] = [
            lambda: importing(many),
            lambda: checks(few, many, options.rounds, options.calls),
            lambda: slow_hash(options.calls),
            lambda: rotation(many),
        ]
        for measure in measures:
            print(measure().markdown(), flush=True)
    print("load average at the end: " + ", ".join(f"{figure:.1f}" for figure in os.getloadavg()))


if __name__ == "__main__":
    main()
