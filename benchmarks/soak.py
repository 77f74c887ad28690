"""A minute of load while processes are killed: `python -m benchmarks.soak`, or `make soak`.

Threads start, resend and check on a live `verify-service run` while the store, the dispatcher, the web server and its
workers are ended with `kill -9`, one after the other, at random moments. Then every start that was answered 201 must
have been sent or have failed, with its code in the inbox, and every right code must have been approved exactly once.
Callers do as the README tells them: each call has an Idempotency-Key and is repeated until it is answered.
"""

import argparse
import itertools
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import redis
import urllib3

from benchmarks.processes import ROLES, of_folder, roles
from verify_service.codes import KeyRing
from verify_service.store.partitions import of_id
from verify_service.store.records import unpack_record
from verify_service.testing import RunningServer, VerifyClient, start_server

CALLERS = 8
ANSWERED_WITHIN_S = 20.0
BACK_WITHIN_S = 10.0
AGAIN_AFTER_S = 0.05
POLICY = '[code]\ncooldown = ["1 second"]\nguess_ceiling = 1.0\n'


@dataclass
class Report:
    """What happened. `faults` are broken promises, each in one line; without any the soak has passed."""

    seconds: float
    starts: int = 0
    resends: int = 0
    approved: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    slowest_return: float = 0.0
    duplicates: int = 0
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        kills = ", ".join(f"{self.kills[role]} {role}" for role in ROLES)
        answers = ", ".join(f"{count} x {status}" for status, count in sorted(self.statuses.items()))
        return (
            f"soak of {self.seconds:.0f} s: {self.starts} starts, {self.resends} resends, {self.approved} approved; "
            f"answers {answers}, {self.unanswered} calls unanswered and repeated; killed {kills}; "
            f"back within {self.slowest_return:.1f} s; {self.duplicates} messages sent twice; {len(self.faults)} faults"
        )


@dataclass
class Life:
    """One verification as its caller knows it."""

    to: str
    messages: int = 1
    approved: bool = False


class Soak:
    """One run: callers, an assassin, and the reckoning."""

    def __init__(self, running: RunningServer, seconds: float, seed: int) -> None:
        self.report = Report(seconds)
        self._running = running
        self._seed = seed
        self._lives: dict[str, Life] = {}
        self._numbers = itertools.count(2_010_001)
        self._over = threading.Event()
        self._lock = threading.Lock()

    def run(self) -> Report:
        """Load and kills for the time asked for, then the reckoning."""
        callers = [threading.Thread(target=self._call, args=(n,)) for n in range(CALLERS)]
        for caller in callers:
            caller.start()
        try:
            self._kill(time.monotonic() + self.report.seconds)
        finally:
            self._over.set()
            for caller in callers:
                caller.join()
        self._reckon()
        return self.report

    def _fault(self, words: str) -> None:
        with self._lock:
            self.report.faults.append(words)

    # The callers.

    def _call(self, index: int) -> None:
        dice = random.Random(f"{self._seed} {index}")
        client = VerifyClient(self._running.server)
        try:
            while not self._over.is_set():
                self._live(client, dice, f"+1415{next(self._numbers):07d}")
        except Exception as error:
            self._fault(f"a caller gave up: {type(error).__name__}: {error}")
        finally:
            client.close()

    def _live(self, client: VerifyClient, dice: random.Random, to: str) -> None:
        """One person: a start, perhaps a resend, perhaps a wrong code, perhaps the right one and once more."""
        started = self._until_answered(client, "/start", {"to": to}, 201)
        if started is None:
            return
        one = started["id"]
        with self._lock:
            self._lives[one] = life = Life(to)
            self.report.starts += 1
        if dice.random() < 0.05:
            if self._over.wait(1.1):
                return
            again = self._until_answered(client, "/start", {"to": to}, 201)
            if again is None:
                return
            if again["id"] != one:
                self._fault(f"{one}: a resend was answered with another verification")
            with self._lock:
                life.messages += 1
                self.report.resends += 1
        if dice.random() < 0.6:
            code = self._code(client, to)
            if dice.random() < 0.3:
                self._check(client, one, f"{(int(code) + 1) % 1_000_000:06d}", "pending")
            if self._check(client, one, code, "approved"):
                with self._lock:
                    life.approved = True
                    self.report.approved += 1
                self._until_answered(client, "/check", {"id": one, "code": code}, 404)

    def _check(self, client: VerifyClient, one: str, code: str, status: str) -> bool:
        checked = self._until_answered(client, "/check", {"id": one, "code": code}, 200)
        if checked is not None and checked["status"] != status:
            self._fault(f"{one}: {checked['status']} where {status} was due")
        return checked is not None

    def _code(self, client: VerifyClient, to: str) -> str:
        deadline = time.monotonic() + ANSWERED_WITHIN_S
        while time.monotonic() < deadline:
            status, body = self._ask(client, "GET", f"/fake/inbox/{to}?wait=2")
            if status == 200 and body["messages"]:
                return str(body["messages"][0]["code"])
            if status != 200:
                time.sleep(AGAIN_AFTER_S)
        raise TimeoutError(f"no message in {ANSWERED_WITHIN_S:g} s")

    def _until_answered(self, client: VerifyClient, path: str, body: dict[str, str], due: int) -> Any:
        """The answer, asked for again and again under one Idempotency-Key; None, and a fault, where it is not `due`."""
        headers = {"Idempotency-Key": os.urandom(12).hex()}
        deadline = time.monotonic() + ANSWERED_WITHIN_S
        while time.monotonic() < deadline:
            status, answer = self._ask(client, "POST", path, body, headers)
            if status not in (None, 503):
                if status == due:
                    return answer
                self._fault(f"{path}: {status} {answer.get('type')} where {due} was due: {answer.get('detail')}")
                return None
            time.sleep(AGAIN_AFTER_S)
        raise TimeoutError(f"{path} was not answered in {ANSWERED_WITHIN_S:g} s")

    def _ask(
        self, client: VerifyClient, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None
    ) -> tuple[int | None, Any]:
        """Status and body; None where the connection broke."""
        try:
            status, _, answer = client.request(method, path, body, headers, timeout=10.0)
        except (urllib3.exceptions.HTTPError, OSError):
            with self._lock:
                self.report.unanswered += 1
            return None, None
        with self._lock:
            self.report.statuses[status] += 1
        if status >= 500 and status != 503:
            self._fault(f"{method} {path.partition('?')[0]}: {status}")
        return status, answer

    # The assassin.

    def _kill(self, until: float) -> None:
        """Kills one role after the other, in an order of chance and now and then together with the next, each time
        when all had recovered from the last."""
        dice = random.Random(self._seed)
        client = VerifyClient(self._running.server)
        order = (role for _ in itertools.count() for role in dice.sample(ROLES, len(ROLES)))
        while time.monotonic() + 1.5 < until or len(self.report.kills) < len(ROLES):
            time.sleep(dice.uniform(0.2, 1.2))
            before = roles(self._running.server.pid)
            chosen = set(itertools.islice(order, dice.choice((1, 1, 1, 2))))
            for role in chosen:
                os.kill(dice.choice(before[role]), signal.SIGKILL)
                self.report.kills[role] += 1
            killed = time.monotonic()
            while not self._is_back(client, chosen, before):
                if time.monotonic() > killed + BACK_WITHIN_S:
                    self._fault(f"after kill -9 of {' and '.join(chosen)} it was not back in {BACK_WITHIN_S:g} s")
                    break
                time.sleep(0.02)
            self.report.slowest_return = max(self.report.slowest_return, time.monotonic() - killed)
        client.close()

    def _is_back(self, client: VerifyClient, killed: set[str], before: dict[str, list[int]]) -> bool:
        """Whether there are new processes in place of the killed, and the service says it is ready."""
        now = roles(self._running.server.pid)
        if any(len(now[role]) < len(before[role]) or not set(now[role]) - set(before[role]) for role in killed):
            return False
        try:
            return client.request("GET", "/readyz", timeout=2.0)[0] == 200
        except (urllib3.exceptions.HTTPError, OSError):
            return False

    # The reckoning.

    def _reckon(self) -> None:
        """Every 201 has its end in the timeline, as many as it queued, and the right code in the inbox."""
        client = VerifyClient(self._running.server)
        state = self._running.server.state_dir
        keys = KeyRing((state / "keys").read_text())
        with redis.Redis.from_url((state / "store-url").read_text().strip()) as store:
            for one, life in self._lives.items():
                events = self._settled(client, one)
                if not (life.messages <= events["queued"] == events["sent"] + events["failed"]):
                    self._fault(f"{one}: {life.messages} messages were answered 201, but {dict(events)}")
                if events["approved"] != life.approved:
                    self._fault(
                        f"{one}: approved {life.approved} by answer, {events['approved']} times in its timeline"
                    )
                record = unpack_record(store.get(f"vs:{{{of_id(one, 1)}}}:verification:{one}"))
                code = keys.code(record["kid"], record["nonce"], record["tenant"], record["purpose"], 6)
                messages = client.request("GET", f"/fake/inbox/{life.to}")[2]["messages"]
                codes = [message["code"] for message in messages if message["verification_id"] == one]
                if len(codes) < events["sent"] or not codes or set(codes) != {code}:
                    self._fault(f"{one}: {len(codes)} messages with {len(set(codes))} codes for {dict(events)}")
                self.report.duplicates += max(0, len(codes) - events["sent"])
        client.close()

    def _settled(self, client: VerifyClient, one: str) -> Counter[str]:
        deadline = time.monotonic() + ANSWERED_WITHIN_S
        while True:
            events = Counter(line["event"] for line in client.status(one)["timeline"])
            if events["sent"] + events["failed"] >= events["queued"] or time.monotonic() > deadline:
                return events
            time.sleep(0.02)


@contextmanager
def service(folder: Path) -> Iterator[RunningServer]:
    """A service of its own on this machine's clock; stopped, it must leave no process behind."""
    policy = folder / "policy.toml"
    policy.write_text(POLICY)
    running = start_server(folder / "state", {"VERIFY_POLICY": str(policy), "VERIFY_CLOCK": "system"})
    try:
        yield running
    finally:
        running.stop()


def soak(folder: Path, seconds: float, seed: int) -> Report:
    """Runs it all in the folder: `seconds` of load, and the reckoning."""
    with service(folder) as running:
        report = Soak(running, seconds, seed).run()
    report.faults += [f"left behind: {process}" for process in of_folder(folder)]
    return report


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the load lasts")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="which moments")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="verify-soak-") as folder:
        report = soak(Path(folder), chosen.seconds, chosen.seed)
    print(f"{report} (seed {chosen.seed})")
    for fault in report.faults:
        print(f"  {fault}", file=sys.stderr)
    sys.exit(bool(report.faults))


if __name__ == "__main__":
    main()
