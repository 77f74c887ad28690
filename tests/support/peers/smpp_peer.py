"""An aggregator's SMSC, held to the contract; what else there is to a bind is in test_smpp.py."""

import itertools
from types import TracebackType
from typing import Any, ClassVar

from tests.support.live import until
from tests.support.peers.contract import PATIENT_MS, Peer, Taken
from tests.support.peers.smsc import Smsc, Submit, smsc_at_work
from verify_service.adapters import Provider
from verify_service.providers.smpp import SmppProvider
from verify_service.providers.smpp_bind import Bind

_STATUS = {"denies": 0x45, "throttles": 0x58, "rejects": 0x0B}


class SmppPeer(Peer):
    kind = "smpp"
    says_never = frozenset({"rejects"})
    calls_back = False  # It tells over the bind.
    secrets: ClassVar[dict[str, str]] = {"SMPP": "s3cret-p"}

    def __init__(self) -> None:
        self.smsc = Smsc(answer=self._answer)
        self._at_work = smsc_at_work(smsc=self.smsc)
        self._ids = itertools.count(1)
        self._how: str | None = None
        self._binds: list[Bind] = []
        super().__init__()

    @property
    def how(self) -> str | None:
        return self._how

    @how.setter
    def how(self, value: str | None) -> None:
        self._how = value
        if value == "down":
            # A bind that is only about to end takes a message, of which nobody knows what became.
            until(lambda: all(bind._writer for bind in self._binds), "the bind")
            self.smsc.stop()
            until(lambda: not any(bind._writer for bind in self._binds), "the end of the bind")

    def __enter__(self) -> "SmppPeer":
        self._at_work.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._at_work.__exit__(kind, error, trace)

    def provider(self, timeout_ms: int = PATIENT_MS, **changed: Any) -> Provider:
        made = super().provider(timeout_ms, **changed)
        assert isinstance(made, SmppProvider)
        self._binds.append(made._bind)
        return made

    def table(self) -> dict[str, Any]:
        return {"host": "127.0.0.1", "port": self.smsc.port, "system_id": "acme", "password": "env:SMPP"}

    def _answer(self, submit: Submit) -> tuple[int, str] | None:
        if self.how == "silent":
            return None
        if self.how == "breaks":
            self.smsc.hang_up()
            return None
        if self.how in _STATUS:
            return _STATUS[self.how], ""
        if submit.validity != "000000001000000R" or submit.registered != 1:
            self.wrong.append("validity or registered_delivery")
        text = submit.text.decode("utf-16-be") if submit.coding == 8 else _of_gsm7(submit.text)
        self.taken.append(Taken(f"+{submit.to[2]}", f"+{submit.source[2]}", text))
        return 0, f"{next(self._ids):08x}"


def _of_gsm7(octets: bytes) -> str:
    """What of the alphabet the contract's text needs."""
    special = {0x05: "é", 0x7C: "ö", 0x0A: "\n"}
    return "".join(special.get(octet, chr(octet)) for octet in octets)
