"""Providers: one file each. An adapter speaks its vendor's wire format: it decides, retries and logs nothing."""

from collections.abc import Callable
from typing import Protocol

from verify_service.model import Message, Receipt

Report = Callable[[str, Receipt], None]
"""Told a verification id and a receipt that came after `send` had returned."""


class Provider(Protocol):
    """The port to a vendor. `send` may block; it is called from several threads at once."""

    def send(self, message: Message) -> Receipt:
        """Hands the message over. Raises Rejected, Unavailable or Uncertain, and nothing else."""
        ...

    def close(self) -> None:
        """Ends connections; no `send` follows."""
        ...
