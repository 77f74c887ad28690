"""Twilio Verify's API (v2), for callers that have its SDKs in their code. What is imported here is mounted."""

from verify_service.web.twilio import (
    attempts,
    challenges,
    entities,
    factors,
    rate_limits,
    safe_list,
    services,
    verifications,
)
from verify_service.web.twilio.surface import twilio

__all__ = [
    "attempts",
    "challenges",
    "entities",
    "factors",
    "rate_limits",
    "safe_list",
    "services",
    "twilio",
    "verifications",
]
