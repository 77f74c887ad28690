"""The dispatcher: from the outbox to the providers. Choosing, retrying, timing, logging and health live here only."""

from verify_service.dispatch.dispatcher import Dispatcher

__all__ = ["Dispatcher"]
