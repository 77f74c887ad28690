"""Acme, the vendor of docs/providers/own.md: its adapter is the page's example, installed as a package would be."""

import hmac
import itertools
import json
import re
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, ClassVar, Self

from tests.support.peers.contract import CODE, PUBLIC_URL, Outcome, Taken
from tests.support.peers.http_peer import Asked, HttpPeer, Reply
from verify_service.errors import DeliveryError
from verify_service.model import Callback, InboundText

PAGE = Path(__file__).parents[3] / "docs" / "providers" / "own.md"
_ERRORS = {"denies": (401, ""), "throttles": (429, ""), "rejects": (422, "unknown_number")}


def blocks(language: str) -> list[str]:
    """The page's blocks of code in a language."""
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)


@cache
def _installed() -> "TemporaryDirectory[str]":
    """A folder that holds what `pip install` would have put there."""
    folder = TemporaryDirectory(prefix="acme-verify-")
    [module] = blocks("python")
    [entry_point, _] = blocks("toml")
    metadata = Path(folder.name) / "acme_verify-1.0.dist-info"
    metadata.mkdir()
    (Path(folder.name) / "acme_verify.py").write_text(module, "utf-8")
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-verify\nVersion: 1.0\n", "utf-8")
    (metadata / "entry_points.txt").write_text(
        entry_point.replace('[project.entry-points."verify_service.providers"]', "[verify_service.providers]").replace(
            '"', ""
        ),
        "utf-8",
    )
    return folder


class OwnPeer(HttpPeer):
    kind = "acme-sms"
    reasons = {"failed": None, "failed for good": "landline"}  # noqa: RUF012
    refusals: ClassVar[Mapping[str, type[DeliveryError]]] = HttpPeer.refusals
    secrets = {"ACME_TOKEN": "the-token-of-acme"}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()
        self._ids = itertools.count(1)

    def __enter__(self) -> Self:
        sys.path.insert(0, _installed().name)
        return super().__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        sys.path.remove(_installed().name)
        super().__exit__(kind, error, trace)

    @staticmethod
    def paths() -> list[str]:
        """Where another process finds the package."""
        return [_installed().name]

    def table(self) -> dict[str, Any]:
        return {"token": "env:ACME_TOKEN", "url": self.url}

    def answer(self, asked: Asked) -> Reply:
        if asked.headers.get("authorization") != f"Bearer {self.secrets['ACME_TOKEN']}":
            return Reply(401, b"{}")
        if self.how in _ERRORS:
            status, error = _ERRORS[self.how]
            return Reply(status, json.dumps({"error": error, "message": f"+4915112345678 {CODE}"}).encode())
        told = json.loads(asked.body)
        self.taken.append(Taken(told["to"], told["from"], told["text"]))
        return Reply(202, json.dumps({"id": f"acme-{next(self._ids)}"}).encode())

    def receipt(self, provider_id: str, outcome: Outcome) -> Callback:
        status, error = {
            "on its way": ("sent", ""),
            "delivered": ("delivered", ""),
            "failed": ("failed", "switched_off"),
            "failed for good": ("failed", "landline"),
        }[outcome]
        return self.call("receipts", {"id": provider_id, "status": status, "error": error})

    def text(self, text: InboundText) -> Callback:
        return self.call("inbound", {"id": text.id, "from": text.from_, "to": text.to, "body": text.body})

    def call(self, where: str, told: Any, token: str | None = None) -> Callback:
        url, body = f"{PUBLIC_URL}/{where}", json.dumps(told).encode()
        signature = hmac.digest((token or self.secrets["ACME_TOKEN"]).encode(), url.encode() + b"\n" + body, "sha256")
        return Callback("POST", url, {"acme-signature": signature.hex()}, body)

    def forgeries(self, call: Callback) -> Mapping[str, Callback]:
        return {
            "unsigned": Callback("POST", call.url, {}, call.body),
            "another key": self.call(call.url.rpartition("/")[2], json.loads(call.body), token="another"),
            "a changed body": Callback("POST", call.url, call.headers, call.body + b" "),
            "at another address": Callback("POST", f"{call.url}2", call.headers, call.body),
        }

    def unreadable(self) -> Mapping[str, Callback]:
        return {"a list": self.call("receipts", []), "a number": self.call("receipts", {"id": 1})}
