"""Several processes under one: started in order, started again when they die, stopped in reverse order."""

import math
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from verify_service.process import Child, cause_of_end, hearing_signals, kill_group, last_lines, spawn

__all__ = ["Child", "Supervisor"]

_HEALTHY = 5.0  # seconds; an end sooner than that after the start counts as a failure
_AT_ONCE = 1.0  # the same for one that was killed: that is no fault of its own, but where it happens at once
_LONGEST_PAUSE = 30.0  # seconds between two tries, so that who has made room does not wait for long
_SPARE = 5  # seconds more than all children may take to stop, then the end is forced
_WRONG_SETTING = 2  # how our commands end for bad use or input


@dataclass(eq=False)
class _Slot:
    """A child's place: the process that fills it now, or the time when the next one is due."""

    child: Child
    process: "subprocess.Popen[bytes] | None" = None
    born: float = 0.0
    due: float | None = None
    answered: bool = False
    lived: bool = False  # once, for long enough to believe in its settings
    failures: int = 0


def _to_stderr(line: str) -> None:
    with suppress(OSError):  # the log may lie on the disk that is full
        print(f"verify-service: {line}", file=sys.stderr, flush=True)


class Supervisor:
    """Keeps `children` running until SIGINT, SIGTERM or SIGHUP.

    Each is started when the one before it answers. One that dies is started again at once; if it fails again
    and again, after a pause that grows to 30 seconds and is forgotten once it has lived for five: a disk that is
    full has room again some day. What a dead child leaves of its process group is killed first. A child that ends
    before it ever answered stops all, and so does one without `answers` that says so soon by its exit status, 2:
    that is a wrong setting, and no crash.
    """

    def __init__(
        self,
        children: Sequence[Child],
        *,
        on_ready: Callable[[], None] = lambda: None,
        say: Callable[[str], None] = _to_stderr,
    ) -> None:
        """`on_ready` is called once, when all answer; `say` takes one line for a person."""
        self._slots = [_Slot(child) for child in children]
        self._on_ready = on_ready
        self._say = say
        # The one thing that `run` waits on; `put` may be called in any thread.
        self._events: queue.SimpleQueue[signal.Signals | _Slot] = queue.SimpleQueue()
        self._status: int | None = None  # set: we are stopping, and this is the exit status
        self._hurry = False

    def run(self) -> int:
        """Runs until asked to stop; 0 when a signal asked, 1 when a child failed for good.

        Only in the main thread, and last: when it returns, no child is left, and signals do nothing any more.
        """
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # ignored: `nohup` wants us to go on
            numbers.append(signal.SIGHUP)
        longest = sum(slot.child.stops_within for slot in self._slots)
        with hearing_signals(self._events.put, numbers, math.ceil(longest) + _SPARE):
            try:
                for slot in self._slots:
                    self._bring_up(slot)
                if self._status is None:
                    self._on_ready()
                while self._status is None:
                    self._turn(min((slot.due for slot in self._slots if slot.due is not None), default=None))
            finally:
                self._status = 1 if self._status is None else self._status
                for slot in reversed(self._slots):
                    self._bring_down(slot)
        return self._status

    def _bring_up(self, slot: _Slot) -> None:
        """Starts it and waits until it answers, or until there is a reason to stop."""
        if self._status is not None:
            return
        self._launch(slot)
        answers, deadline = slot.child.answers, slot.born + slot.child.answers_within
        while self._status is None and answers is not None and not answers():
            if time.monotonic() > deadline:
                self._give_up(slot, f"did not answer in {slot.child.answers_within:g} s")
            self._turn(time.monotonic() + 0.02)
        slot.answered = True

    def _bring_down(self, slot: _Slot) -> None:
        """SIGTERM and a wait; SIGKILL when its time is over or somebody is in a hurry."""
        slot.due = None
        if slot.process is None:
            return
        slot.process.terminate()
        deadline = time.monotonic() + slot.child.stops_within
        while slot.process is not None and not self._hurry and time.monotonic() < deadline:
            self._turn(deadline)
        if slot.process is not None:
            self._say(f"{slot.child.name} (process {slot.process.pid}) is killed")
            kill_group(slot.process)
            while slot.process is not None:
                self._turn(None)

    def _turn(self, until: float | None) -> None:
        """Takes one event, waiting for it no longer than `until` (monotonic), then starts what is due."""
        timeout = None if until is None else max(0.0, until - time.monotonic())
        try:
            event = self._events.get(timeout=timeout)
        except queue.Empty:
            pass
        else:
            if isinstance(event, _Slot):
                self._ended(event)
            else:
                self._asked(event)
        if self._status is None:
            for slot in self._slots:
                if slot.due is not None and slot.due <= time.monotonic():
                    self._launch(slot)

    def _launch(self, slot: _Slot) -> None:
        slot.due = None
        slot.born = time.monotonic()
        try:
            slot.process = spawn(slot.child, *(() if slot.answered else slot.child.argv_at_first))
        except OSError as error:
            self._give_up(slot, f"cannot be started ({error})")
            return
        threading.Thread(target=self._wait_for_end, args=(slot, slot.process), daemon=True).start()

    def _wait_for_end(self, slot: _Slot, process: "subprocess.Popen[bytes]") -> None:
        process.wait()
        self._events.put(slot)

    def _ended(self, slot: _Slot) -> None:
        process, slot.process = slot.process, None
        if process is None:
            return
        kill_group(process)
        if self._status is not None:
            return
        cause = cause_of_end(process.returncode)
        killed = process.returncode == -signal.SIGKILL
        healthy = time.monotonic() - slot.born >= (_AT_ONCE if killed else _HEALTHY)
        slot.failures = 0 if healthy else slot.failures + 1
        slot.lived = slot.lived or healthy
        wrong = process.returncode == _WRONG_SETTING and slot.child.answers is None and not slot.lived
        if not slot.answered and slot.child.answers is not None:
            self._give_up(slot, f"ended with {cause} before it answered")
        elif wrong or not slot.child.restart:
            self._give_up(slot, f"ended with {cause}")
        else:
            pause = 0.0 if slot.failures < 2 else min(_LONGEST_PAUSE, 0.05 * 2 ** min(slot.failures - 2, 16))
            why = slot.child.why_ended() if slot.child.why_ended else ""
            told = f"{slot.child.name} (process {process.pid}) ended with {cause}{why and f' ({why})'}"
            self._say(f"{told}; starting it again{f' in {pause:.0f} s' if pause >= 1 else ''}")
            slot.due = time.monotonic() + pause

    def _give_up(self, slot: _Slot, reason: str) -> None:
        self._say(f"{slot.child.name} {reason}: stopping all{last_lines(slot.child.output)}")
        self._status = 1

    def _asked(self, number: signal.Signals) -> None:
        if self._status is None:
            self._status = 0
        elif number == signal.SIGINT:
            self._hurry = True
