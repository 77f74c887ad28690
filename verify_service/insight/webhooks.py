"""Events for the tenants' own endpoints that were given up."""

from typing import Any

from verify_service.duration import rfc3339
from verify_service.store import Store


def dead_letters(store: Store, tenant: str, most: int = 0) -> list[dict[str, Any]]:
    """The newest first, and why; with `most`, the newest so many of each partition. Raises StoreUnavailable."""
    return [
        {
            "at": rfc3339(letter.at),
            "id": letter.event.id,
            "event": letter.event.fields["event"],
            "happened_at": rfc3339(int(letter.event.fields["at"])),
            "tries": letter.event.tries + 1,
            "reason": letter.why,
        }
        for letter in store.webhooks.dead(tenant, most)
    ]
