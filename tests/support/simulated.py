"""Short runs of the simulator, and what can be asked of them."""

from functools import cache

from verify_service.simulate import Event, scenario

SEEDS = (1, 2, 3)


@cache
def simulated(name: str, seed: int = 1, days: int = 2, per_day: int = 3000) -> tuple[Event, ...]:
    """A short run of a scenario; its event is on the last day."""
    return tuple(scenario(name, seed, days, per_day))


def starts(events: tuple[Event, ...], who: str | None = None) -> list[Event]:
    """Starts, of one kind of people."""
    return [event for event in events if event.event == "start" and who in (None, event.who)]


def conversion(events: tuple[Event, ...], who: str | None = None) -> float:
    """What part of the verifications was approved."""
    approved = {event.id for event in events if event.event == "approved"}
    ids = {event.id for event in starts(events, who)}
    return len(ids & approved) / len(ids)
