"""Services that a tenant made by Twilio's API, beside those of its table in verify.toml: kept until it deletes them."""

import time
from contextlib import suppress

import msgspec

from verify_service.services import VerifyService
from verify_service.store.connection import Call, Link, prefix
from verify_service.store.unreadable import passed_over

MOST = 1000
"""What one tenant may have made."""
_FRESH_S = 1.0
_MOST_KNOWN = 10_000
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(VerifyService).decode


class ServiceStore:
    """The services in a store. Every method raises StoreUnavailable.

    One that was changed or deleted by another process is seen so within a second: each start and check asks for its
    service, and most ask for the same few.
    """

    def __init__(self, link: Link) -> None:
        self._link = link
        self._known: dict[tuple[str, str], tuple[float, VerifyService]] = {}

    def get(self, tenant: str, sid: str) -> VerifyService | None:
        """The service, or None."""
        seen, service = self._known.get((tenant, sid), (0.0, None))
        if service is not None and time.monotonic() < seen + _FRESH_S:
            return service
        self._known.pop((tenant, sid), None)
        packed: bytes | None = self._link.command(0, ["HGET", _key(tenant), sid])
        found = _read(packed) if packed else None
        if found is not None:
            self._remember(tenant, found)
        return found

    def all(self, tenant: str) -> list[VerifyService]:
        """The tenant's, oldest first."""
        packed: list[bytes] = self._link.command(0, ["HVALS", _key(tenant)])
        found = (service for each in packed if (service := _read(each)) is not None)
        return sorted(found, key=lambda service: (service.created_at, service.sid))

    def add(self, tenant: str, service: VerifyService) -> bool:
        """Keeps a new one; False where the tenant has as many as it may."""
        return self._keep(tenant, service, MOST)

    def change(self, tenant: str, service: VerifyService) -> bool:
        """Keeps one as it is from now on; False where it has been deleted."""
        return self._keep(tenant, service, "")

    def delete(self, tenant: str, sid: str) -> bool:
        """Whether there was one."""
        self._known.pop((tenant, sid), None)
        return bool(self._link.command(0, ["HDEL", _key(tenant), sid]))

    def _keep(self, tenant: str, service: VerifyService, most: int | str) -> bool:
        kept = bool(self._link.call(Call(0, "keep_service", [_key(tenant)], [service.sid, _encode(service), most])))
        if kept:
            self._remember(tenant, service)
        return kept

    def _remember(self, tenant: str, service: VerifyService) -> None:
        if len(self._known) >= _MOST_KNOWN:
            self._known = {}
        self._known[(tenant, service.sid)] = (time.monotonic(), service)


def _key(tenant: str) -> str:
    return f"{prefix(0)}services:{tenant}"


def _read(packed: bytes) -> VerifyService | None:
    """None of one that this version cannot read."""
    with suppress(msgspec.DecodeError):
        return _decode(packed)
    passed_over("service", "DecodeError")
    return None
