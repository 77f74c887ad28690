"""The native API, and the fake provider's paths. What is imported here is mounted."""

from verify_service.web.native import (
    alerts,
    audit,
    backtests,
    blocks,
    calls,
    consents,
    decisions,
    explain,
    jwks,
    operations,
    policy,
    stats,
    user_pages,
    users,
)
from verify_service.web.native.fake import fake
from verify_service.web.native.surface import native

__all__ = [
    "alerts",
    "audit",
    "backtests",
    "blocks",
    "calls",
    "consents",
    "decisions",
    "explain",
    "fake",
    "jwks",
    "native",
    "operations",
    "policy",
    "stats",
    "user_pages",
    "users",
]
