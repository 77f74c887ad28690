"""A minute of load while processes are killed: `python -m benchmarks.soak`, or `make soak`.

Threads start, resend and check on a live `verify-service run`, half of whose providers hang, while the store, the
dispatcher, the web server and its workers are ended with `kill -9`, one after the other, at random moments. With
`--full-disk` the store's disk is full for a while in between (only root can make such a disk). Then every start that
was answered 201 must have been sent or have failed, with its code in the inbox, every right code must have been
approved exactly once, and the store's memory must be back where it was. Callers do as the README tells them: each call
has an Idempotency-Key and is repeated until it is answered.
"""

import argparse
import base64
import itertools
import os
import random
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import urllib3

from benchmarks.hardship import CONFIG, full, hanging, small_disk
from benchmarks.processes import ROLES, of_folder, roles
from benchmarks.reckoning import SLACK_BYTES, Life, Report, memory_left, reckon
from verify_service.testing import RunningServer, VerifyClient, start_server

CALLERS = 8
ANSWERED_WITHIN_S = 20.0
BACK_WITHIN_S = 10.0
FULL_S = 15.0
# A store that died of a full disk is tried again with growing pauses.
ROOM_USED_WITHIN_S = 60.0
AGAIN_AFTER_S = 0.05
POLICY = '[code]\ncooldown = ["1 second"]\nguess_ceiling = 1.0\n'


class Soak:
    """One run: callers, an assassin, and the reckoning. With a `disk`, it is full for a while at half time."""

    def __init__(self, running: RunningServer, seconds: float, seed: int, disk: Path | None = None) -> None:
        self.report = Report(seconds)
        self._disk = disk
        self._room_again = 0.0
        self._running = running
        self._seed = seed
        self._lives: dict[str, Life] = {}
        self._numbers = itertools.count(2_010_001)
        self._over = threading.Event()
        self._lock = threading.Lock()

    def run(self) -> Report:
        """Load and kills for the time asked for, then the reckoning."""
        server = self._running.server
        before = memory_left(server)
        callers = [threading.Thread(target=self._call, args=(n,)) for n in range(CALLERS)]
        for caller in callers:
            caller.start()
        until = time.monotonic() + self.report.seconds
        try:
            if self._disk:
                self._kill(time.monotonic() + self.report.seconds / 2)
                self._fill(self._disk)
            self._kill(until)
        finally:
            self._over.set()
            for caller in callers:
                caller.join()
        faults, self.report.duplicates = reckon(server, self._lives)
        self.report.faults += faults
        self.report.memory_kept = memory_left(server) - before
        if self.report.memory_kept > SLACK_BYTES:
            self._fault(f"{self.report.memory_kept} bytes of the store's memory were not given back")
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
        asked = time.monotonic()
        while self._may_wait(asked):
            status, body = self._ask(client, "GET", f"/fake/inbox/{to}?wait=2")
            if status == 200 and body["messages"]:
                return str(body["messages"][0]["code"])
            if status != 200:
                time.sleep(AGAIN_AFTER_S)
        raise TimeoutError(f"no message in {ANSWERED_WITHIN_S:g} s")

    def _until_answered(self, client: VerifyClient, path: str, body: dict[str, str], due: int) -> Any:
        """The answer, asked for again and again under one Idempotency-Key; None, and a fault, where it is not `due`."""
        headers = {"Idempotency-Key": os.urandom(12).hex()}
        asked = time.monotonic()
        while self._may_wait(asked):
            status, answer = self._ask(client, "POST", path, body, headers)
            if status not in (None, 503):
                if status == due:
                    return answer
                self._fault(f"{path}: {status} {answer.get('type')} where {due} was due: {answer.get('detail')}")
                return None
            time.sleep(AGAIN_AFTER_S)
        raise TimeoutError(f"{path} was not answered in {ANSWERED_WITHIN_S:g} s")

    def _may_wait(self, asked: float) -> bool:
        """Whether a caller who first asked then has no reason to give up yet: a full disk is one to wait longer."""
        return time.monotonic() < max(asked + ANSWERED_WITHIN_S, self._room_again + ROOM_USED_WITHIN_S)

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

    def _fill(self, disk: Path) -> None:
        """Leaves the store no room for a while. Then it must be back by itself."""
        client = VerifyClient(self._running.server)
        began = time.monotonic()
        self._room_again = began + FULL_S
        with full(disk):
            time.sleep(FULL_S / 2)
            if self._is_ready(client):
                self._fault("the service says that it is ready while its store's disk is full")
            time.sleep(max(0.0, self._room_again - time.monotonic()))
        while not self._is_ready(client):
            if time.monotonic() > self._room_again + ROOM_USED_WITHIN_S:
                self._fault(f"there was room on the disk again, but it was not back in {ROOM_USED_WITHIN_S:g} s")
                break
            time.sleep(0.1)
        self.report.full_seconds = time.monotonic() - began
        client.close()

    def _is_back(self, client: VerifyClient, killed: set[str], before: dict[str, list[int]]) -> bool:
        """Whether each role has a process, the killed a new one, and the service says it is ready."""
        now = roles(self._running.server.pid)
        if not all(now.values()):
            return False
        if any(len(now[role]) < len(before[role]) or not set(now[role]) - set(before[role]) for role in killed):
            return False
        return self._is_ready(client)

    def _is_ready(self, client: VerifyClient) -> bool:
        try:
            return client.request("GET", "/readyz", timeout=2.0)[0] == 200
        except (urllib3.exceptions.HTTPError, OSError):
            return False


@contextmanager
def service(folder: Path, hangs: int) -> Iterator[RunningServer]:
    """A service of its own on this machine's clock, half of whose providers are at the port `hangs`; stopped, it must
    leave no process behind."""
    policy, config = folder / "policy.toml", folder / "verify.toml"
    policy.write_text(POLICY)
    config.write_text(CONFIG.format(port=hangs))
    env = {
        "VERIFY_POLICY": str(policy),
        "VERIFY_CONFIG": str(config),
        "VERIFY_CLOCK": "system",
        "HANGS_SECRET": f"whsec_{base64.b64encode(os.urandom(32)).decode()}",
    }
    running = start_server(folder / "state", env)
    try:
        yield running
    finally:
        running.stop()


def soak(folder: Path, seconds: float, seed: int, full_disk: bool = False) -> Report:
    """Runs it all in the folder: `seconds` of load, and the reckoning. Only root can have a `full_disk`."""
    with ExitStack() as stack:
        disk = stack.enter_context(small_disk(folder / "state")) if full_disk else None
        running = stack.enter_context(service(folder, stack.enter_context(hanging())))
        report = Soak(running, seconds, seed, disk).run()
    report.faults += [f"left behind: {process}" for process in of_folder(folder)]
    return report


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long the load lasts")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(10**6), help="which moments")
    parser.add_argument("--full-disk", action="store_true", help="the disk is full for a while; needs root")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="verify-soak-") as folder:
        report = soak(Path(folder), chosen.seconds, chosen.seed, chosen.full_disk)
    print(f"{report} (seed {chosen.seed})")
    for fault in report.faults:
        print(f"  {fault}", file=sys.stderr)
    sys.exit(bool(report.faults))


if __name__ == "__main__":
    main()
