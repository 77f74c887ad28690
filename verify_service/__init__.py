"""A self-hosted one-time-code service: start, send, check, expire."""

__version__ = "0.1.0"
