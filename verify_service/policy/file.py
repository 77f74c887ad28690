"""The policy file: what the security team owns. Read, validated, and explained where it cannot be used."""

import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import msgspec

from verify_service import decoders
from verify_service.duration import decode_hook
from verify_service.errors import ConfigError
from verify_service.hints import hint, nearest
from verify_service.policy.base import Mode
from verify_service.policy.bounds import MOST_BYTES, MOST_DOTS, has_long_key, too_much
from verify_service.policy.check import CHECK_DIMENSIONS, check
from verify_service.policy.kinds import KINDS
from verify_service.policy.sections import CodeSettings, Counts, Dimension, LimitConfig, LineTypes, Policy

__all__ = [
    "CHECK_DIMENSIONS",
    "CodeSettings",
    "Counts",
    "Dimension",
    "LimitConfig",
    "LineTypes",
    "Mode",
    "Policy",
    "default_text",
    "load",
    "parse",
]


_A_PRICE = "$.prices[...]"


def default_text(*, enforce: bool = False) -> str:
    """The shipped default policy as it is printed by `verify-service policy default`; with `enforce`, every limit and
    rule in that mode."""
    text = files("verify_service.policy").joinpath("default.toml").read_text("utf-8")
    return re.sub(r'^mode = "(off|observe)"', 'mode = "enforce"', text, flags=re.MULTILINE) if enforce else text


def load(path: Path | None) -> Policy:
    """The policy in the file, or the shipped default. Raises ConfigError naming file, key and fix."""
    if path is None:
        return parse(default_text(), "default policy")
    try:
        return parse(path.read_text("utf-8"), str(path))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: cannot be read: it is not UTF-8 text") from None


def parse(text: str, source: str) -> Policy:
    """A usable policy. Raises ConfigError: for what is not TOML, an unknown key, a wrong value, and for a policy whose
    chance to be guessed is above its own ceiling."""
    try:
        if len(text.encode()) > MOST_BYTES:
            raise ConfigError(f"{source}: is longer than {MOST_BYTES} bytes: every process reads and holds all of it")
        if has_long_key(text):
            raise ConfigError(f"{source}: a key has more than {MOST_DOTS} dots; no key of a policy needs that")
        plain = msgspec.toml.decode(text)
        for fault in too_much(plain):
            raise ConfigError(f"{source}: {fault}")
        _say_kinds(plain, source)
        decoders.json(Policy)  # Looked at whole, whoever else parses one.
        policy = msgspec.convert(plain, Policy, dec_hook=decode_hook)
    except msgspec.ValidationError as error:
        said = str(error)
        if _A_PRICE in said:
            said = said.replace(_A_PRICE, f"$.prices.{_bad_price(plain['prices'])}")
        raise ConfigError(f"{source}: {said}{hint(error, Policy, plain)}") from None
    except msgspec.DecodeError as error:
        raise ConfigError(f"{source}: is not TOML: {error}") from None
    except (ValueError, OverflowError) as error:  # A lone surrogate, or a number of thousands of digits.
        raise ConfigError(f"{source}: is not TOML: {str(error)[:200]}") from None
    except RecursionError:
        raise ConfigError(f"{source}: tables or lists are nested too deeply; no key of a policy needs that") from None
    try:
        check(policy, plain)
    except ConfigError as error:
        raise ConfigError(f"{source}: {error}") from None
    return policy


def _bad_price(prices: Any) -> str:
    """The first country whose price is none: msgspec does not say which value of a table it means."""
    for country in prices:
        try:
            msgspec.convert({"prices": {country: prices[country]}}, Policy)
        except msgspec.ValidationError:
            return str(country)
    return "…"


def _say_kinds(plain: dict[str, Any], source: str) -> None:
    """A rule without a kind is of the kind that its name says. Raises ConfigError where no kind is called so."""
    rules = plain.get("rule")
    for index, rule in enumerate(rules if isinstance(rules, list) else ()):
        if isinstance(rule, dict) and "kind" not in rule and isinstance(name := rule.get("name"), str):
            if name not in KINDS:
                raise ConfigError(
                    f"{source}: rule[{index}] ({name}): a rule with a name of its own says its kind: kind = "
                    f'"{next(iter(KINDS))}"{nearest(name, KINDS)}'
                )
            rule["kind"] = name
