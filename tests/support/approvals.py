"""Receipts in tests: a service that signs, and a verifier that is not the library that signs."""

import json
import warnings
from collections.abc import Mapping
from typing import Any

from joserfc import jwt
from joserfc.jwk import KeySet

from tests.support.bench import Bench
from verify_service.approvals import Approvals, SigningKeys
from verify_service.service import Service
from verify_service.tenants import ReceiptTerms

ISSUER = "https://verify.example.com"


def signing(
    bench: Bench, keys: str | None, terms: Mapping[str, ReceiptTerms] | None = None, issuer: str | None = ISSUER
) -> Service:
    """The bench's service with signing keys: another worker, or the same after a restart."""
    ring = SigningKeys(keys) if keys else None
    approvals = Approvals(bench.keys, bench.tagger, terms or {}, issuer, ring)
    common = (bench.service.config, bench.service.rules, bench.keys, bench.tagger)
    return Service(*common, bench.store.verifications, bench.clock, approvals)


def jwks(service: Service) -> dict[str, Any]:
    """The public keys."""
    assert service.approvals.keys is not None
    found: dict[str, Any] = json.loads(service.approvals.keys.jwks)
    return found


def opened(receipt: str, keys: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """The header and the claims of a receipt that one of the keys has signed. Raises joserfc's JoseError."""
    with warnings.catch_warnings():  # RFC 9864 prefers another name for the same algorithm.
        warnings.simplefilter("ignore")
        token = jwt.decode(receipt, KeySet.import_key_set(keys), algorithms=["EdDSA"])
    return token.header, token.claims
