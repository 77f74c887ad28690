"""The revisions of the policy."""

from verify_service.duration import rfc3339
from verify_service.model import Revision


def entry(found: Revision) -> dict[str, str | int]:
    """What the history says of a revision."""
    return {"revision": found.revision, "at": rfc3339(found.at), "by": found.by, "note": found.note}


def shown(found: Revision) -> dict[str, str | int]:
    """A revision with its text."""
    return {**entry(found), "policy": found.text}
