"""A backtest beside the live service as programs outside see it."""

from typing import Any

from verify_service.duration import rfc3339
from verify_service.store.backtests import Backtest


def shown(found: Backtest) -> dict[str, Any]:
    """One, ready for JSON; `policy` is None where its text cannot be unsealed."""
    return {
        "id": found.id,
        "state": found.state,
        "by": found.by,
        "at": rfc3339(found.at),
        "from": rfc3339(found.since),
        "to": rfc3339(found.until),
        "revision": found.revision,
        "policy": found.text,
        "events": found.events,
        "judged": found.judged,
        "why": found.why,
        "result": found.result,
    }
