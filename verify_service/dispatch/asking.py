"""Hands a message to a provider: whatever comes of that is a receipt, or one of the three refusals."""

from verify_service.adapters import Provider
from verify_service.dispatch.job import site
from verify_service.errors import DeliveryError, Rejected, Unavailable, Uncertain
from verify_service.model import Message, Receipt
from verify_service.telemetry import log

_log = log("dispatch")


def ask(provider: Provider, name: str, message: Message) -> Receipt:
    """The receipt of a message that was taken. Raises DeliveryError, and nothing else."""
    try:
        receipt = provider.send(message)
    except DeliveryError:
        raise
    except Exception as error:
        _log.error("adapter failed", provider=name, error=site(error))
        raise Uncertain(f"adapter failed ({type(error).__name__})") from None
    if receipt.status == "failed":  # A vendor that makes a message and fails it in one answer has refused it.
        reason = receipt.reason or "failed at once"
        if receipt.permanent or receipt.opted_out:
            raise Rejected(reason, opted_out=receipt.opted_out, permanent=receipt.permanent)
        raise Unavailable(reason)
    return receipt
