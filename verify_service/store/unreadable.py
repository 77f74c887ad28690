"""What this version cannot read: said once, counted, and never in the way of what stands behind it."""

from verify_service.telemetry import UNREADABLE, log

_log = log("store")


def passed_over(what: str, reason: str, **about: str) -> None:
    """Counts and logs it. `reason` and `about` hold no value but ids and places in a stream: the bytes may be
    anybody's."""
    UNREADABLE.labels(what).inc()
    _log.error("cannot be read, and is passed over", what=what, reason=reason, **about)
