"""The demonstration from its beginning to its end."""

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, suppress
from typing import NamedTuple

from urllib3.exceptions import HTTPError

from verify_service.demo.stage import THREADS, Stage, stage
from verify_service.demo.traffic import Coming, Traffic
from verify_service.simulate import Event
from verify_service.simulate.recording import Attempt

_SLOT_S = 900.0  # History is played by quarters of an hour: longer than a code lives.
_TICK_S = 0.2
_LOOK_S = 2.0
_MOST_WAITING = 64
_MOST_DAYS = 400  # that the people of the simulation are there for

LOOK_AT = """\
What to look at, now and when the attack is on:
  1 Now        whether it is under attack, where, and what that costs; live
  2 Blocks     on what evidence a place is blocked; lift a block, and see it come again
  3 Decisions  each start that was refused, in a sentence
  4 Look up    a number of the attack: what is counted for it, and when that frees up
  5 Policy     change a limit, and judge what has just happened by it before it is pushed
"""
_COUNTED = {"admitted": "starts admitted", "refused": "refused", "approved": "codes approved"}

Progress = Callable[[int], AbstractContextManager[Callable[[int], None]]]


class Plan(NamedTuple):
    """What is shown: `days` of history with `per_day` verifications, then `speed` times as fast as real time, the
    attack `attack_after` seconds of the watcher's time later; `seconds` of it in all, None: until it is stopped."""

    port: int = 8080
    days: float = 2.0
    per_day: float = 2_500
    speed: float = 20.0
    attack_after: float = 120.0
    seconds: float | None = None
    seed: int = 3


def show(
    plan: Plan,
    environ: Mapping[str, str],
    stop: threading.Event,
    say: Callable[[str], None],
    progress: Progress,
    look: Callable[[str], None],
) -> None:
    """Plays until `stop` is set; `look` is told the console's address once there is something to see. Raises as
    `stage` does."""
    say(f"A made-up shop and bank, at {plan.speed:g} times the speed of real time.")
    say(f"First comes their history of {24 * plan.days:g} hours, through the front door: a minute or two.")
    with stage(environ, plan.port, plan.days) as on, ThreadPoolExecutor(THREADS) as pool:
        traffic = Traffic(plan.seed, on.pulse.now, _MOST_DAYS, plan.per_day)
        _history(on, traffic, pool, stop, progress)
        if not stop.is_set():
            say(f"\nConsole   {on.url}/console\nKey       {on.operator_key}\n\n{LOOK_AT}")
            say("The policy is the shipped one with every limit and rule enforced (`policy default --enforce`).")
            say(f"An attack begins in {plan.attack_after:g} seconds. Ctrl-C ends all, and leaves nothing behind.")
            look(f"{on.url}/console")
            _live(plan, on, traffic, pool, stop, say)
    told = ", ".join(f"{on.front.counts[name]:,} {words}" for name, words in _COUNTED.items())
    say(f"\nEnded: {told}. Nothing is left behind.")


def _history(on: Stage, traffic: Traffic, pool: ThreadPoolExecutor, stop: threading.Event, progress: Progress) -> None:
    """The days until now, through the front door, each attempt at once: nobody has time to ask for a code again."""

    def play(attempt: Attempt) -> None:
        first, *more = attempt
        for event in (first, *(event for event in more if event.event != "start" and event.id == first.id)):
            with suppress(HTTPError):  # It has hung up: the count says how many went through.
                on.front.play(event)

    begin, end = on.pulse.now, time.time()
    at = begin
    with progress(int(end - begin)) as done:
        while at < end and not stop.is_set():
            on.pulse.to(at)
            at = min(at + _SLOT_S, end)
            list(pool.map(play, traffic.people.until(at)))
            done(int(at - begin))
    on.pulse.to(end)


def _live(
    plan: Plan, on: Stage, traffic: Traffic, pool: ThreadPoolExecutor, stop: threading.Event, say: Callable[[str], None]
) -> None:
    """What happens as time goes on. A machine that cannot keep up slows its clock."""
    room = threading.Semaphore(_MOST_WAITING)

    def play(event: Event) -> None:
        try:
            with suppress(HTTPError):
                on.front.play(event)
        finally:
            room.release()

    coming = Coming(traffic.people)
    begin = last = next_look = time.monotonic()
    at = on.pulse.now
    attacked = blocked = False
    while not stop.wait(_TICK_S) and (plan.seconds is None or time.monotonic() - begin < plan.seconds):
        now = time.monotonic()
        at, last = at + plan.speed * min(now - last, 2 * _TICK_S), now
        with suppress(HTTPError):
            on.pulse.to(at)
        if not attacked and now - begin >= plan.attack_after:
            attack, country = traffic.attack(at)
            coming.join(attack)
            attacked = True
            say(f"The attack begins: numbers in a row in {country}, each start from another address, no code entered.")
        for event in coming.until(at):
            room.acquire()
            pool.submit(play, event)
        if attacked and not blocked and now >= next_look:
            next_look = now + _LOOK_S
            with suppress(HTTPError):
                for block in on.front.blocks()[:1]:
                    blocked = True
                    say(f"Blocked: {block['place']} by the rule {block['rule']}; the console says on what evidence.")
