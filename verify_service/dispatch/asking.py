"""Hands a message to a provider: whatever comes of that is a receipt, or one of the three refusals."""

from verify_service.adapters import Provider
from verify_service.dispatch.job import site
from verify_service.errors import DeliveryError, Rejected, StoreUnavailable, Unavailable, Uncertain
from verify_service.model import Message, Receipt
from verify_service.telemetry import log

_log = log("dispatch")


class Broken(DeliveryError):
    """The message could not be composed, or an adapter broke over it. The same would come of every further try, so this
    way is tried once; and it says nothing of how the provider does."""


def ask(provider: Provider, name: str, message: Message) -> Receipt:
    """The receipt of a message that was taken. Raises DeliveryError, and nothing else.

    Whatever else an adapter raises is the message's fault or the adapter's (Broken); but an error of the system, such
    as a connection that breaks, is the provider's.
    """
    try:
        receipt = provider.send(message)
    except DeliveryError:
        raise
    except (OSError, StoreUnavailable) as error:  # The fake provider's inbox is in the store.
        raise Uncertain(f"connection broke ({type(error).__name__})") from None
    except Exception as error:
        _log.error("adapter failed", provider=name, error=site(error))
        raise Broken(f"adapter failed ({type(error).__name__})") from None
    if receipt.status == "failed":  # A vendor that makes a message and fails it in one answer has refused it.
        reason = receipt.reason or "failed at once"
        if receipt.permanent or receipt.opted_out:
            raise Rejected(reason, opted_out=receipt.opted_out, permanent=receipt.permanent)
        raise Unavailable(reason)
    return receipt
