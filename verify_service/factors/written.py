"""A code as a person typed it, and what is answered to it."""

from collections.abc import Mapping
from typing import NamedTuple

from verify_service import authenticators, typed
from verify_service.errors import InvalidRequest
from verify_service.factors.nouns import FactorCheck
from verify_service.store.user_layouts import FactorAnswer


class Written(NamedTuple):
    """A code as it was typed, of an app or token or a recovery code, and what came with it."""

    code: str
    recovery: str
    factor: str | None
    binding: Mapping[str, str] | None = None
    receipt: bool = False
    idempotency_key: str | None = None
    verifying: bool = False
    recovery_codes: bool = False


def read(written: str) -> tuple[str, str]:
    """(code, '') of an app's or a token's, ('', code) of a recovery code. Raises InvalidRequest."""
    digits = typed.code(written)
    if digits.isascii() and digits.isdigit() and authenticators.DIGITS[0] <= len(digits) <= authenticators.DIGITS[1]:
        return digits, ""
    if recovery := authenticators.recovery_code(written):
        return "", recovery
    raise InvalidRequest("code", "is 6 to 8 digits, or a recovery code of 10 letters and digits")


def counted(left: int) -> int | None:
    """How many wrong codes are left, as a caller is told it."""
    return None if left < 0 else left


def shown_id(factor: str) -> str | None:
    """A factor's id as a caller knows it; None of no factor."""
    return f"fa_{factor}" if factor else None


def outcome(told: FactorAnswer, fresh: tuple[str, ...] | None, receipt: str | None) -> FactorCheck:
    """What a caller is told, with the recovery codes and the receipt that it brought."""
    return FactorCheck(
        id=told.id,
        status=told.kind,
        factor=shown_id(told.factor),
        kind=told.of_kind or None,
        checks_left=counted(told.left),
        at=told.at,
        recovery_codes_left=told.codes_left,
        recovery_codes=fresh,
        receipt=receipt,
    )
