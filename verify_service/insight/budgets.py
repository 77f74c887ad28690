"""What the money budgets have spent, sum by sum, and when they have room again."""

from collections.abc import Iterator, Sequence
from itertools import islice, product

from verify_service.model import Frozen
from verify_service.phone import REGIONS
from verify_service.policy import kinds
from verify_service.policy.hits import Hit
from verify_service.policy.kinds.budget import Budget as Rule
from verify_service.policy.rulebook import Rulebook, Rules
from verify_service.policy.verdicts import Judged
from verify_service.store import Store
from verify_service.store.decisions import unpack

MOST = 5_000
"""Sums that are looked for in one budget: of countries times tenants there may be more, and those are not seen."""
_AT_ONCE = 50
_COUNTRIES = tuple(sorted(REGIONS))


class Budget(Frozen, frozen=True, kw_only=True):
    """One sum of a budget in the window that is nearest to its bound, in US dollars. `country` and `tenant` are ''
    where the budget does not go by them; `window` is milliseconds, `frees_at` when the dearest message of it fits again
    (milliseconds since the epoch), 0 where it does now."""

    name: str
    mode: str
    country: str
    tenant: str
    used: float
    most: float
    window: int
    frees_at: int

    @property
    def share(self) -> float:
        """How much of it is spent, 1 where nothing more fits."""
        return 1.0 if self.frees_at else self.used / self.most


def budgets(store: Store, rules: Rules, tenants: Sequence[str], now: int) -> list[Budget]:
    """All sums that have counted anything, the fullest first: by the functions that judge a start, and nothing is
    written. `tenants` are those of verify.toml. Raises StoreUnavailable."""
    book, decisions = rules(), store.verifications.decisions
    found = []
    for rule in book.policy.rule:
        if not isinstance(rule, Rule) or rule.mode == "off":
            continue
        sums = {hit.key: (hit, country, tenant) for hit, country, tenant in islice(_sums(book, rule, tenants), MOST)}
        counted = decisions.counted([hit for hit, _, _ in sums.values()])
        for begin in range(0, len(counted), _AT_ONCE):
            for packed in decisions.explain(now, counted[begin : begin + _AT_ONCE]):
                for judged in unpack(packed):
                    _, country, tenant = sums[f"limit:{rule.name}:{judged.key}"]
                    found.append(_shown(rule, country, tenant, kinds.shown(judged), now))
    return sorted(found, key=lambda each: -each.share)


def _sums(book: Rulebook, rule: Rule, tenants: Sequence[str]) -> Iterator[tuple[Hit, str, str]]:
    """What a message of each country and tenant that it goes by would count."""
    policy = book.policy
    dearest = max((*policy.prices, "default"), key=policy.price)
    countries = _COUNTRIES if "country" in rule.of else [""]
    for tenant, country in product(tenants if "tenant" in rule.of else [""], countries):
        for hit in book.spending(rule.name, {"tenant": tenant or None, "country": country or dearest}):
            yield hit, country, tenant


def _shown(rule: Rule, country: str, tenant: str, judged: Judged, now: int) -> Budget:
    return Budget(
        name=rule.name,
        mode=rule.mode,
        country=country,
        tenant=tenant,
        used=judged.count or 0.0,
        most=judged.bound or 0.0,
        window=int(judged.window or 0),
        frees_at=now + int(judged.wait) if judged.wait else 0,
    )
