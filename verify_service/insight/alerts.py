"""Incidents as people see them: what is open, what is over, what could not be told."""

from typing import Any

from verify_service.duration import rfc3339
from verify_service.store import Store
from verify_service.store.alert_layouts import Incident, Telling

TITLES = {
    "attack": "Under attack",
    "budget": "Budget nearly spent",
    "provider-down": "Provider down",
    "receipts-missing": "Receipts missing",
    "approvals-falling": "Approvals falling",
    "policy-refused": "Policy refused",
    "audit-broken": "Audit log broken",
    "test": "Test",
}


def open_incidents(store: Store) -> list[Incident]:
    """Those that are not over, the newest first. Raises StoreUnavailable."""
    return store.alerts.open()


def title(incident: Incident) -> str:
    """What it is called; one of a later version, by its rule's name."""
    what = TITLES.get(incident.rule, incident.rule)
    return f"{what}: {incident.object}" if incident.object else what


def link(incident: Incident, base_url: str | None) -> str | None:
    """The page of the console that explains it, None where nobody knows where the console is."""
    return f"{base_url}/console{incident.page}" if base_url else None


def shown(incident: Incident, base_url: str | None) -> dict[str, Any]:
    """An incident as people and programs outside see it: times in RFC 3339."""
    ended = {"ended_at": rfc3339(incident.ended)} if incident.ended else {}
    where = {"link": found} if (found := link(incident, base_url)) else {}
    return {
        "id": incident.id,
        "name": incident.rule,
        "title": title(incident),
        "object": incident.object,
        "since": rfc3339(incident.since),
        **ended,
        "sentence": incident.sentence,
        "figures": dict(sorted(incident.figures.items())),
        **where,
    }


def overview(store: Store, base_url: str | None) -> dict[str, list[dict[str, Any]]]:
    """What is open and what is over; what is yet to reach its target, and what was given up. Raises
    StoreUnavailable."""
    waiting, given_up = store.alerts.untold()
    return {
        "open": [shown(incident, base_url) for incident in open_incidents(store)],
        "past": [shown(incident, base_url) for incident in store.alerts.past()],
        "waiting": [_undelivered(telling) for telling in waiting],
        "given_up": [_undelivered(telling) for telling in given_up],
    }


def _undelivered(telling: Telling) -> dict[str, Any]:
    return {
        "incident": telling.incident.id,
        "says": telling.says,
        "at": rfc3339(telling.at),
        "target": telling.target,
        "tries": telling.tries,
        "reason": telling.why,
    }
