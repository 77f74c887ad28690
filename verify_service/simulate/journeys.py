"""What a person does with a code: wait, resend, mistype, enter it, give up, come back."""

import math
from collections.abc import Callable
from random import Random

from verify_service.simulate.people import Person
from verify_service.simulate.recording import Attempt, Event, new_id

Delivery = Callable[[Person, float], float]
"""How well texts to that person arrive at that time: 1 as always, 0 not at all."""

_LONGEST = 420.0  # Seconds; nobody types a code later than this.


def journey(
    rng: Random, person: Person, at: float, delivery: Delivery, who: str, ip: str | None = None, faith: float = 1.0
) -> Attempt:
    """One person's attempt to get in, begun at `at`; about one in five of those who fail try once more later.

    `ip`: the address of all of it, where it is not the person's own; `faith` multiplies the chance to succeed.
    """
    events = _verification(rng, person, at, delivery, who, ip or person.address(rng), faith)
    if events[-1].event != "approved" and rng.random() < 0.2:
        later = at + 620 + rng.expovariate(1 / 1200)  # After the code's life.
        events += _verification(rng, person, later, delivery, who, ip or person.address(rng), faith)
    return events


def _verification(
    rng: Random, person: Person, at: float, delivery: Delivery, who: str, ip: str, faith: float
) -> Attempt:
    start = Event(at, "start", new_id(rng), False, who, person.number, ip, person.device, person.country.price)
    events = [start]
    arrives = delivery(person, at)
    approved = rng.random() < min(person.network.conversion * faith, 0.97) * arrives
    last = at
    # Who sees no code asks again, no sooner than the button allows; now and then a new page begins a new verification.
    if rng.random() < (0.06 if approved else 0.35):
        last = at + 33 + rng.expovariate(1 / 25)
        again = start._replace(at=last, id=new_id(rng) if rng.random() < 0.08 else start.id)
        events.append(again)
        if rng.random() < (0.05 if approved else 0.25):
            last += 64 + rng.expovariate(1 / 30)
            events.append(again._replace(at=last))
    entered = last + min(rng.lognormvariate(math.log(person.network.wait), 0.65), _LONGEST)
    live = events[-1].id
    for _ in range(_mistypes(rng, 0.07 if approved else 0.03 * arrives)):
        events.append(Event(entered, "wrong", live, False, who))
        entered += rng.uniform(4, 15)
    if approved:
        events.append(Event(entered, "approved", live, False, who))
    return events


def _mistypes(rng: Random, chance: float) -> int:
    """How many times somebody mistypes; hardly ever more than twice."""
    if rng.random() >= chance:
        return 0
    return 2 if rng.random() < 0.15 else 1
