"""From an export to a scenario: recorded traffic in clear, of people, addresses and ids that there are not, with what
became of each message. A backtest reads it, and a test can play it again."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from verify_service import recipient
from verify_service.errors import ConfigError, Problem

MOST = 10_000
"""Events of a scenario: enough for an incident, and few enough to be played."""
_SAID = ("tenant", "purpose", "channel", "device", "keys", "user", "price", "refused")
_OF_A_VERIFICATION = frozenset({"approved", "wrong", "canceled"})
_OF_A_MESSAGE = frozenset({"sent", "delivered", "failed", "failed-over"})
_OF_A_NUMBER = frozenset({"consent", "unlocked"})

Event = Mapping[str, Any]
Line = dict[str, Any]


def scenario(events: Iterable[Event], ids: Sequence[str] = (), tenant: str | None = None) -> list[Line]:
    """The lines of a scenario of these events of an export, in their order: of all, or of some verifications and what
    became of their numbers. Raises ConfigError for none, too many, or those of several tenants."""
    chosen, numbers, tenants = list[Event](), set[str](), set[str]()
    for event in events:
        if tenant not in (None, event.get("tenant", tenant)):
            continue
        wanted = not ids or event["id"] in ids
        if event["event"] == "start" and wanted:
            numbers.add(event["number"])
            tenants.add(event["tenant"])
        if event["number"] in numbers if event["event"] in _OF_A_NUMBER else wanted:
            chosen.append(event)
        if len(chosen) > MOST:
            raise ConfigError(f"more than {MOST} events; record a shorter time, or single verifications")
    if len(tenants) > 1:
        raise ConfigError(f"these are starts of several tenants, {', '.join(sorted(tenants))}; say which with --tenant")
    if not numbers:
        raise ConfigError("no start of them is among the events that are kept")
    return _lines(chosen)


def _lines(events: Iterable[Event]) -> list[Line]:
    cast, messages, lines = _Cast(), dict[str, _Message](), list[Line]()
    for event in events:
        name, id = event["event"], event["id"]
        line = {"at": event["at"], "event": name}
        if name == "start":
            line |= {"id": cast.id(id), "to": cast.number(event), **cast.address(event)}
            line |= {part: event[part] for part in _SAID if part in event}
            if "refused" not in event:
                messages[id] = _Message(line)
        elif name in _OF_A_MESSAGE and id in messages:
            messages[id].hear(event)
            continue
        elif name in _OF_A_VERIFICATION and cast.knows(id):
            line |= {"id": cast.id(id)}
        elif name in _OF_A_NUMBER:
            to = cast.number(event)
            line |= {"id": to, "to": to} | {part: event[part] for part in ("state",) if part in event}
        else:
            continue
        lines.append(line)
    return lines


class _Cast:
    """Who plays whom: one stand-in for each pseudonym, in the order in which they come."""

    def __init__(self) -> None:
        self._ids: dict[str, str] = {}
        self._numbers: dict[str, str] = {}
        self._taken: set[str] = set()
        self._networks: dict[str, tuple[int, dict[str, int]]] = {}

    def knows(self, id: str) -> bool:
        return id in self._ids

    def id(self, id: str) -> str:
        return self._ids.setdefault(id, f"v{len(self._ids) + 1}")

    def number(self, event: Event) -> str:
        """A number of the same range and kind, or another person at the same domain."""
        tag = event["number"]
        if tag not in self._numbers:
            email = event["line_type"] == recipient.EMAIL
            found = f"person{len(self._numbers) + 1}{event['range']}" if email else next(self._like(event))
            self._numbers[tag] = found
            self._taken.add(found)
        return self._numbers[tag]

    def address(self, event: Event) -> Line:
        """An address for documentation (RFC 3849), where the start had one. Limits count a /64 as one address and a /48
        as one network, so there are as many of both as there were."""
        if "ip" not in event:
            return {}
        place, known = self._networks.setdefault(event["network"], (len(self._networks) + 1, {}))
        return {"ip": f"2001:db8:{place:x}:{known.setdefault(event['ip'], len(known) + 1):x}::1"}

    def _like(self, event: Event) -> Iterator[str]:
        for last in range(100, 1100):
            to = f"{event['range']}{last % 1000:03d}"
            try:
                like = recipient.parse(to, None).line_type == event["line_type"]
            except Problem:
                continue
            if like and to not in self._taken:
                yield to
        raise ConfigError(f"no other number of {event['range']}… is of the kind {event['line_type']}")


class _Message:
    """What became of a start's message, as the fake provider is told to do it: a rule a try, in their order."""

    def __init__(self, line: Line) -> None:
        self._line = line
        self._tries: list[tuple[str, dict[str, str]]] = []

    def hear(self, event: Event) -> None:
        name, provider, reason = event["event"], event.get("provider", ""), event.get("reason", "")
        last = next((rule for by, rule in reversed(self._tries) if by == provider), None)
        if name == "sent":
            self._try(provider, {"do": "accept", "receipt": "none"})
        elif last and last["do"] == "accept":
            last["receipt"] = "delivered" if name == "delivered" else "none" if "no receipt" in reason else "failed"
        elif name == "failed" and provider:
            self._try(provider, {"do": "reject"})
        elif name == "failed-over" and not reason.startswith("no room"):
            self._try(provider, {"do": "timeout" if reason.startswith("no answer") else "error"})

    def _try(self, provider: str, rule: dict[str, str]) -> None:
        self._tries.append((provider, rule))
        self._line["carried"] = [each for _, each in self._tries]
