"""A policy in a few lines, for whoever is about to push it."""

from collections.abc import Iterator

from verify_service.policy.base import Mode
from verify_service.policy.sections import Entries, Policy


def lines(policy: Policy) -> Iterator[str]:
    """How many limits and rules there are, then each of them, what is listed, and the chance to guess a code."""
    yield f"{len(policy.limit)} limits, {len(policy.rule)} rules"
    for name, what, mode in named(policy):
        yield f"  {name}: {what} ({mode})"
    countries = policy.countries
    if countries.default != "allow" or countries.deny or countries.observe:
        listed = [
            f"{word} {' '.join(sorted(found))}"
            for word, found in (("allow", countries.allow), ("observe", countries.observe), ("deny", countries.deny))
            if found
        ]
        yield f"  countries: {', '.join([*listed, f'{countries.default} the rest'])}"
    if policy.factors.texts != "allow":
        yield f"  codes by message for who has a verified factor: {policy.factors.texts}"
    for name, entries in (("allow", policy.allow), ("block", policy.block)):
        if counted := _counted(entries):
            yield f"  {name}: {counted}"
    ceiling = f"(ceiling {policy.code.guess_ceiling:.1e})"
    yield f"  chance to guess a code of one number in a day: {policy.guess_chance():.1e} {ceiling}"
    ceiling = f"(ceiling {policy.factors.guess_ceiling:.1e})"
    yield f"  chance to guess a code of one user's factors in a day: {policy.factor_guess_chance():.1e} {ceiling}"


def named(policy: Policy) -> Iterator[tuple[str, str, Mode]]:
    """Each limit and rule: its name, what it does, its mode."""
    for limit in policy.limit:
        net = ", net of approved" if limit.net_of_approved else ""
        yield limit.name, f"{limit.counts} of {', '.join(limit.of)}: {limit.allow}{net}", limit.mode
    for rule in policy.rule:
        yield rule.name, f"{rule.__struct_config__.tag}{rule.summary()}", rule.mode


def _counted(entries: Entries) -> str:
    kinds = {"numbers": entries.numbers, "prefixes": entries.prefixes, "networks": entries.networks}
    return ", ".join(f"{len(found)} {name}" for name, found in kinds.items() if found)
