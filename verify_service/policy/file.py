"""The policy file: what the security team owns. Read, validated, and explained where it cannot be used."""

from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

import limits
import msgspec
from msgspec import Meta

from verify_service.duration import Duration, decode_hook
from verify_service.errors import ConfigError
from verify_service.phone import LINE_TYPES

Mode = Literal["off", "observe", "enforce"]
Dimension = Literal["number", "ip", "network", "device", "prefix", "country", "line_type", "tenant", "purpose"]
Counts = Literal["starts", "wrong-codes"]
CHECK_DIMENSIONS = frozenset({"number", "ip", "network", "tenant"})
DAY_MS = 86_400_000


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class CodeSettings(_Section, frozen=True):
    """How codes are made and how often they may be sent and tried."""

    digits: Annotated[int, Meta(ge=6, le=8)] = 6
    life: Duration = Duration("10 minutes")
    checks: Annotated[int, Meta(ge=1, le=10)] = 5
    sends: Annotated[int, Meta(ge=1, le=20)] = 5
    cooldown: Annotated[tuple[Duration, ...], Meta(min_length=1, max_length=20)] = (
        Duration("30 seconds"),
        Duration("1 minute"),
        Duration("2 minutes"),
    )
    resend: Literal["same", "new"] = "same"
    check_by_number: bool = True
    guess_ceiling: Annotated[float, Meta(gt=0, le=1)] = 1e-4


class LineTypes(_Section, frozen=True):
    deny: frozenset[str] = frozenset()


class LimitConfig(_Section, frozen=True):
    """One limit as it is written."""

    name: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,31}\Z")]
    of: Annotated[tuple[Dimension, ...], Meta(min_length=1)]
    allow: str
    counts: Counts = "starts"
    net_of_approved: bool = False
    mode: Mode = "enforce"

    @property
    def windows(self) -> tuple[tuple[int, int], ...]:
        """(hits, milliseconds) of each window. Raises ValueError where `limits` cannot read `allow`."""
        parsed = limits.parse_many(self.allow)
        return tuple((item.amount, item.get_expiry() * 1000) for item in parsed)


class Policy(_Section, frozen=True):
    """A policy that may be used: `parse` made it."""

    code: CodeSettings = CodeSettings()
    line_types: LineTypes = LineTypes()
    limit: tuple[LimitConfig, ...] = ()

    def guess_chance(self) -> float:
        """The chance that an attacker who starts and checks all day guesses one code of one number, as a union bound.

        Tries per day are bounded by an enforced limit on wrong codes per number, and by verifications per day (from an
        enforced limit on starts per number) times `checks`; each try is right with 10^-digits.
        """

        def per_day(counts: Counts) -> float:
            bounds = [
                hits * max(1, DAY_MS / ms)
                for limit in self.limit
                if limit.counts == counts and limit.of == ("number",) and limit.mode == "enforce"
                if not limit.net_of_approved
                for hits, ms in limit.windows
            ]
            return min(bounds, default=float("inf"))

        tries = min(per_day("wrong-codes"), per_day("starts") * self.code.checks)
        return float(min(1.0, tries / 10**self.code.digits))


def default_text() -> str:
    """The shipped default policy as it is printed by `verify-service policy default`."""
    return files("verify_service.policy").joinpath("default.toml").read_text("utf-8")


def load(path: Path | None) -> Policy:
    """The policy in the file, or the shipped default. Raises ConfigError naming file, key and fix."""
    if path is None:
        return parse(default_text(), "default policy")
    try:
        return parse(path.read_text("utf-8"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read: {error}") from None


def parse(text: str, source: str) -> Policy:
    """A usable policy. Raises ConfigError: for what is not TOML, an unknown key, a wrong value, and for a policy whose
    chance to be guessed is above its own ceiling."""
    try:
        policy = msgspec.toml.decode(text, type=Policy, dec_hook=decode_hook)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{source}: {error}") from None
    except msgspec.DecodeError as error:
        raise ConfigError(f"{source}: is not TOML: {error}") from None
    names = [limit.name for limit in policy.limit]
    for index, limit in enumerate(policy.limit):
        at = f"{source}: limit[{index}] ({limit.name})"
        if names.count(limit.name) > 1:
            raise ConfigError(f"{at}: the name stands twice; each limit keeps its own count under its name")
        try:
            windows = limit.windows
        except ValueError:
            raise ConfigError(
                f'{at}.allow: {limit.allow!r} is not in the grammar of `limits`, such as "5/hour"'
            ) from None
        if not windows or any(hits < 1 or ms > 31 * DAY_MS for hits, ms in windows):
            raise ConfigError(f"{at}.allow: each window allows at least 1 hit and lasts at most 31 days")
        if len({ms for _, ms in windows}) != len(windows):
            raise ConfigError(f"{at}.allow: two windows are of the same length; keep the smaller one")
        if len(set(limit.of)) != len(limit.of):
            raise ConfigError(f"{at}.of: a dimension stands twice")
        if limit.counts == "wrong-codes" and (extra := set(limit.of) - CHECK_DIMENSIONS):
            raise ConfigError(
                f"{at}.of: wrong codes can be counted by {', '.join(sorted(CHECK_DIMENSIONS))}, not by {extra.pop()}: "
                "a check does not say it"
            )
        if limit.counts == "wrong-codes" and limit.net_of_approved:
            raise ConfigError(f"{at}.net_of_approved: only starts are given back by an approval")
    for line_type in policy.line_types.deny - LINE_TYPES:
        raise ConfigError(f"{source}: line_types.deny: {line_type!r} is none of {', '.join(sorted(LINE_TYPES))}")
    chance = policy.guess_chance()
    if chance > policy.code.guess_ceiling:
        raise ConfigError(
            f"{source}: a code of one number can be guessed with a chance of {chance:.1e} a day, above "
            f"code.guess_ceiling {policy.code.guess_ceiling:.1e}; allow fewer wrong codes per number, or more digits"
        )
    return policy
