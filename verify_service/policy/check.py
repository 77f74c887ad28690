"""What a policy promises beyond the form of its keys: each check names the key at fault and the fix."""

import ipaddress
import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from verify_service import phone, recipient
from verify_service.errors import ConfigError, Problem
from verify_service.hints import nearest
from verify_service.policy import bounds
from verify_service.policy.base import DAY_MS
from verify_service.policy.sections import OWN, Dimension, Policy

CHECK_DIMENSIONS = frozenset({"number", "ip", "network", "tenant", "user"})
NOTICE_DIMENSIONS = frozenset({"number", "mailbox", "mail_domain", "prefix", "country", "line_type", "tenant"})
# What refuses without being written as a limit or a rule, under the name that answers and events carry.
RESERVED = frozenset(
    {"cooldown", "countries", "block-list", "allow-list", "line-types", "failed-authentications", "factors"}
)
_PREFIX = re.compile(r"\+[1-9][0-9]{0,13}")
# ISO 3166 leaves these to their users, so they are never a slip of the pen.
_USERS_OWN = re.compile(r"AA|Q[M-Z]|X[A-Z]|ZZ")


def check(policy: Policy, plain: Mapping[str, Any]) -> None:
    """Returns where the policy may be used; `plain` is its file as it was written, which says where in a list an entry
    stands. Raises ConfigError, without the source in front."""
    for fault in (
        *_names(policy),
        *_lengths(policy),
        *_limits(policy),
        *_rules(policy),
        *_statics(policy, plain),
    ):
        raise ConfigError(fault)
    chance = policy.guess_chance()
    if chance > policy.code.guess_ceiling:
        raise ConfigError(
            f"code.guess_ceiling: a code of one number can be guessed with a chance of {chance:.1e} a day, above "
            f"{policy.code.guess_ceiling:.1e}; allow fewer wrong codes per number, or more digits"
        )
    chance = policy.factor_guess_chance()
    if chance > policy.factors.guess_ceiling:
        raise ConfigError(
            f"factors.guess_ceiling: a code of one user's factors can be guessed with a chance of {chance:.1e} a day, "
            f"above {policy.factors.guess_ceiling:.1e}; allow fewer wrong codes per user, or less of per_user, drift "
            "and look_ahead"
        )


def _names(policy: Policy) -> Iterator[str]:
    named = [(f"limit[{i}] ({each.name})", each.name) for i, each in enumerate(policy.limit)]
    named += [(f"rule[{i}] ({each.name})", each.name) for i, each in enumerate(policy.rule)]
    names = [name for _, name in named]
    for at, name in named:
        if names.count(name) > 1:
            yield f"{at}: the name stands twice; each limit and rule keeps its own count under its name"
        if name in RESERVED:
            yield f"{at}: the name {name!r} is the service's own; choose another"


def _lengths(policy: Policy) -> Iterator[str]:
    """Lengths of time that the store could not keep."""
    code = policy.code
    waits = [("code.life", code.life), *((f"code.cooldown[{i}]", wait) for i, wait in enumerate(code.cooldown))]
    yield from bounds.lengths((at, wait, bounds.MOST_WAIT_MS, bounds.WAITS) for at, wait in waits)


def _limits(policy: Policy) -> Iterator[str]:
    for index, limit in enumerate(policy.limit):
        at = f"limit[{index}] ({limit.name})"
        try:
            windows = limit.windows
        except (ValueError, OverflowError):
            yield f'{at}.allow: {limit.allow!r} is not in the grammar of `limits`, such as "5/hour"'
            return
        if not windows or any(hits < 1 or ms > 31 * DAY_MS for hits, ms in windows):
            yield f"{at}.allow: each window allows at least 1 hit and lasts at most 31 days"
        if any(hits > bounds.MOST_HITS for hits, _ in windows):
            yield f"{at}.allow: {bounds.MOST_HITS} hits in a window are the most: {bounds.HITS}"
        yield from bounds.windows(at, windows)
        for place, word in enumerate(limit.of):
            if word not in get_args(Dimension) and not re.match(OWN, word):
                yield f"{at}.of[{place}]: {word[:64]!r} is no dimension{_meant(word)}"
        if len(set(limit.of)) != len(limit.of):
            yield f"{at}.of: a dimension stands twice"
        if limit.counts == "wrong-codes" and (extra := set(limit.of) - CHECK_DIMENSIONS):
            yield (
                f"{at}.of: wrong codes can be counted by {', '.join(sorted(CHECK_DIMENSIONS))}, not by {extra.pop()}: "
                "a check does not say it"
            )
        if limit.counts == "wrong-codes" and "user" in limit.of and (extra := set(limit.of) - {"user", "tenant"}):
            yield f"{at}.of: the wrong codes of a user are counted by user alone, not by {extra.pop()} as well"
        if limit.counts == "notices" and (extra := set(limit.of) - NOTICE_DIMENSIONS):
            yield (
                f"{at}.of: notices can be counted by {', '.join(sorted(NOTICE_DIMENSIONS))}, not by {extra.pop()}: "
                "nobody asks for one, so there is none"
            )
        if limit.counts != "starts" and limit.net_of_approved:
            yield f"{at}.net_of_approved: only starts are given back by an approval"


def _meant(word: str) -> str:
    """A clause on what is probably meant by a dimension that is none."""
    before, _, name = word.partition(":")
    if before.strip().lower() not in ("key", "keys"):
        return f"{nearest(word, get_args(Dimension))}; a key that callers send is written 'key:' and its name"
    own = re.sub("[^a-z0-9_]+", "_", name.strip().lower()).strip("_")[:32]
    meant = f"; did you mean 'key:{own}'?" if own else ", such as 'key:account'"
    return f": behind 'key:' comes a name of 1 to 32 of a-z, 0-9 and _{meant}"


def _rules(policy: Policy) -> Iterator[str]:
    for index, rule in enumerate(policy.rule):
        yield from rule.problems(f"rule[{index}] ({rule.name})", policy)


def _statics(policy: Policy, plain: Mapping[str, Any]) -> Iterator[str]:
    for at, line_type in _entries(plain, "line_types", "deny"):
        if line_type not in phone.LINE_TYPES:
            yield f"{at}: {line_type!r} is none of {', '.join(sorted(phone.LINE_TYPES))}"
    lists = {name: getattr(policy.countries, name) for name in ("allow", "observe", "deny")}
    for name in lists:
        for at, country in _entries(plain, "countries", name):
            yield from _country(at, country)
            for other in lists:
                if other != name and country in lists[other]:
                    yield f"{at}: {country!r} stands in `{other}` as well; keep one"
    for country in sorted(policy.prices.keys() - {"default"}):
        yield from _country("prices", country)
    for name in ("allow", "block"):
        yield from _named(plain, name)


def _entries(plain: Mapping[str, Any], table: str, key: str) -> Iterator[tuple[str, str]]:
    """Each entry of a list, after where it stands."""
    for index, entry in enumerate(plain.get(table, {}).get(key, ())):
        yield f"{table}.{key}[{index}]", entry


def _country(at: str, country: str) -> Iterator[str]:
    if country not in phone.REGIONS and not _USERS_OWN.fullmatch(country):
        meant = "; did you mean 'GB'?" if country == "UK" else nearest(country.upper(), phone.REGIONS)
        yield f"{at}: {country!r} is no ISO 3166 code of a country with a numbering plan, such as US{meant}"


def _named(plain: Mapping[str, Any], name: str) -> Iterator[str]:
    for at, number in _entries(plain, name, "numbers"):
        try:
            # A domain alone stands for all of its mailboxes.
            found = recipient.parse(f"any{number}" if number.startswith("@") else number, None)
            written = found.range if number.startswith("@") else found.e164.lower()
            if written != number:
                form = f"in lower case and ASCII, as {written}" if found.is_email else "in E.164"
                yield f"{at}: {number!r} is not written {form}"
        except Problem as error:
            yield f"{at}: {number!r}: {error}"
    for at, prefix in _entries(plain, name, "prefixes"):
        if not _PREFIX.fullmatch(prefix):
            yield f"{at}: {prefix!r} is not the beginning of a number in E.164, such as +4477"
    for at, network in _entries(plain, name, "networks"):
        try:
            ipaddress.ip_network(network)
        except ValueError as error:
            yield f"{at}: {network!r} is no address or network such as 203.0.113.0/24: {error}"
