"""How the providers do: their health, what they answer and how fast, what today has cost."""

from typing import Any

from verify_service.config import Config
from verify_service.duration import rfc3339
from verify_service.store import Store
from verify_service.store.health import State

_SUMS = ("messages", "segments", "delivered", "failed")


def health(store: Store, config: Config, now: int) -> list[dict[str, Any]]:
    """By provider and channel, those of the routes first; what nobody has told is None. Raises StoreUnavailable."""
    states, today, strays = store.health.states(), store.health.costs(now), store.deliveries.strays.today(now)
    return [_shown(name, states.get(name), today, strays) for name in _names(config, states, today)]


def senders(store: Store, config: Config, now: int) -> list[dict[str, Any]]:
    """The senders of the file: what each may send, what it sent today, and for how many seconds messages stand in line
    in front of it. Raises StoreUnavailable."""
    lines, today = store.senders.lines(list(config.senders)), store.health.costs(now)

    def summed(sender: str, what: str) -> int:
        return sum(sums.get(what, 0) for way, sums in today.items() if way.split("/")[1] == sender)

    return [
        {
            "sender": name,
            "type": each.type,
            "address": each.address,
            "per_second": each.per_second,
            "line_s": lines[name],
            **{what: summed(name, what) for what in ("messages", "segments")},
        }
        for name, each in config.senders.items()
    ]


def _names(config: Config, states: dict[str, State], today: dict[str, dict[str, int]]) -> list[str]:
    """`<provider>/<channel>`, those of the routes first, as written."""
    written = [f"{via.provider}/{route.channel}" for route in config.routes for via in route.via]
    seen = [f"{way.split('/')[0]}/{way.split('/')[2]}" for way in today]
    return list(dict.fromkeys((*written, *states, *seen)))


def _shown(
    name: str, state: State | None, today: dict[str, dict[str, int]], strays: dict[str, dict[str, int]]
) -> dict[str, Any]:
    provider, channel = name.split("/")
    senders: list[dict[str, Any]] = [
        {
            "sender": way.split("/")[1] or None,
            **{what: sums.get(what, 0) for what in _SUMS},
            "price": sums["price"] / 1_000_000 if "price" in sums else None,
        }
        for way, sums in sorted(today.items())
        if (way.split("/")[0], way.split("/")[2]) == (provider, channel)
    ]
    return {
        "provider": provider,
        "channel": channel,
        "weight_percent": state.factor if state else 100,
        "shifted_at": rfc3339(state.changed) if state and state.changed else None,
        "reason": state.reason if state and state.factor < 100 else None,
        "p50_ms": state.percentile(0.5) if state else None,
        "p95_ms": state.percentile(0.95) if state else None,
        "errors": _share(state.errors, state.tries) if state else None,
        "receipts": _share(state.came, state.came + state.missing) if state else None,
        "today": senders,
        "strays": strays.get(provider, {}),
    }


def _share(part: float, whole: float) -> float | None:
    """None where too little was seen lately to say."""
    return round(part / whole, 3) if whole >= 0.5 else None
