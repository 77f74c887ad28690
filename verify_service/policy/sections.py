"""The policy file as it is written: one struct per table. What they promise together is held by `check`."""

from typing import TYPE_CHECKING, Annotated, Literal, Union, get_args

import limits
import msgspec
from msgspec import Meta

from verify_service.duration import Duration, lasting
from verify_service.policy.base import DAY_MS, Mode, Name, Section
from verify_service.policy.bounds import (
    MOST_ALLOW,
    MOST_COUNTRIES,
    MOST_LIMITS,
    MOST_LISTED,
    MOST_PREFIXES,
    MOST_RULES,
)
from verify_service.policy.kinds import KINDS
from verify_service.policy.rule import Rule

Dimension = Literal[
    "number",
    "mailbox",
    "mail_domain",
    "ip",
    "network",
    "device",
    "user",
    "prefix",
    "country",
    "line_type",
    "tenant",
    "purpose",
]
OWN = r"^key:[a-z0-9_]{1,32}\Z"
"""How a dimension of the caller's own is written: a name in the `keys` of its starts."""
Counted = Annotated[str, Meta(extra_json_schema={"anyOf": [{"enum": sorted(get_args(Dimension))}, {"pattern": OWN}]})]
"""A dimension of either sort, as `check` has it."""
Counts = Literal["starts", "wrong-codes", "notices"]
DEFAULT_PRICE = 0.05
FACTOR_DIGITS = 6
"""The fewest that a factor's code has."""
RECOVERY = 10 / 32**10
"""The chance that one guess is one of ten recovery codes, each of ten signs out of 32."""
if TYPE_CHECKING:
    AnyRule = Rule
else:
    AnyRule = Union[tuple(KINDS.values())]  # noqa: UP007


class CodeSettings(Section, frozen=True):
    """How codes are made and how often they may be sent and tried."""

    digits: Annotated[int, Meta(ge=6, le=8, description="Digits of a code.")] = 6
    life: Annotated[Duration, Meta(description="How long a code is good for, 10 days at most.")] = lasting("10 minutes")
    checks: Annotated[int, Meta(ge=1, le=10, description="Wrong codes compared per verification.")] = 5
    sends: Annotated[int, Meta(ge=1, le=20, description="Messages per verification, the first included.")] = 5
    cooldown: Annotated[
        tuple[Duration, ...],
        Meta(
            min_length=1,
            max_length=20,
            description="Wait after the 1st, 2nd, … message, 10 days at most; the last one repeats.",
        ),
    ] = lasting("30 seconds", "1 minute", "2 minutes")
    resend: Annotated[Literal["same", "new"], Meta(description="Which code a resend carries.")] = "same"
    check_by_number: Annotated[bool, Meta(description="Whether a check may name the number in place of the id.")] = True
    guess_ceiling: Annotated[
        float, Meta(gt=0, le=1, description="Chance per number and day to guess a code above which it is refused.")
    ] = 1e-4


class LineTypes(Section, frozen=True):
    """Which kinds of numbers are refused."""

    deny: Annotated[frozenset[str], Meta(description="Line types that codes are never sent to.")] = frozenset()


class Countries(Section, frozen=True):
    """Where codes are sent: ISO 3166 codes."""

    default: Annotated[Literal["allow", "observe", "deny"], Meta(description="For a country in no list.")] = "allow"
    allow: Annotated[frozenset[str], Meta(max_length=MOST_COUNTRIES, description="Sent to.")] = frozenset()
    observe: Annotated[
        frozenset[str], Meta(max_length=MOST_COUNTRIES, description="Sent to, and noted as what `deny` would refuse.")
    ] = frozenset()
    deny: Annotated[frozenset[str], Meta(max_length=MOST_COUNTRIES, description="Refused.")] = frozenset()


class Entries(Section, frozen=True):
    """An allow- or block-list."""

    numbers: Annotated[
        frozenset[str],
        Meta(max_length=MOST_LISTED, description="Numbers in E.164, email addresses, or an @ and a domain."),
    ] = frozenset()
    prefixes: Annotated[
        frozenset[str], Meta(max_length=MOST_PREFIXES, description="Beginnings of numbers in E.164, such as +4477.")
    ] = frozenset()
    networks: Annotated[
        frozenset[str], Meta(max_length=MOST_LISTED, description="Addresses or networks (CIDR) of the end user.")
    ] = frozenset()


class FactorSettings(Section, frozen=True):
    """Second factors: authenticator apps and tokens."""

    per_user: Annotated[int, Meta(ge=1, le=20, description="How many factors a user may have.")] = 5
    drift: Annotated[
        int, Meta(ge=0, le=10, description="How many time steps a device's clock may be learnt to be off.")
    ] = 2
    look_ahead: Annotated[
        int, Meta(ge=1, le=20, description="How many codes of a counter (HOTP) are looked for at once.")
    ] = 3
    texts: Annotated[
        Literal["allow", "observe", "deny"],
        Meta(description="Whether a start that says its `user` may send a code where that user has a verified factor."),
    ] = "allow"
    guess_ceiling: Annotated[
        float,
        Meta(gt=0, le=1, description="Chance per user and day to guess a factor's code above which it is refused."),
    ] = 1e-3

    @property
    def codes_at_once(self) -> int:
        """How many codes of one factor are right at the same time, at most. Of TOTP that of now, one step around it,
        and as many steps as its device's clock was learnt to be off; of HOTP those that are looked for, and the one
        that must follow a code far ahead."""
        return max(3 + self.drift, self.look_ahead + 1)


class LimitConfig(Section, frozen=True):
    """One limit."""

    name: Name
    of: Annotated[tuple[Counted, ...], Meta(min_length=1, max_length=9, description="What is counted together.")]
    allow: Annotated[
        str,
        Meta(
            max_length=MOST_ALLOW,
            description='The grammar of `limits`, up to 8 windows with ;, such as "5/10 minutes; 10/day".',
        ),
    ]
    counts: Counts = "starts"
    net_of_approved: Annotated[bool, Meta(description="Whether an approval gives its starts back.")] = False
    mode: Mode = "enforce"

    @property
    def windows(self) -> tuple[tuple[int, int], ...]:
        """(hits, milliseconds) of each window. Raises ValueError where `limits` cannot read `allow`."""
        parsed = limits.parse_many(self.allow)
        return tuple((item.amount, item.get_expiry() * 1000) for item in parsed)


USER_LIMIT = LimitConfig(name="user-wrong-codes", of=("user",), allow="10/hour; 20/day", counts="wrong-codes")
"""What bounds the guessing of a user's factors where a policy has no limit of its own on that."""
NOTICE_LIMIT = LimitConfig(name="number-notices", of=("number",), allow="5/day", counts="notices")
"""What bounds the notices to a number where a policy has no limit of its own on them."""


class Policy(Section, frozen=True):
    """A policy; `file.parse` makes only those that may be used."""

    code: CodeSettings = msgspec.field(default_factory=CodeSettings)
    line_types: LineTypes = msgspec.field(default_factory=LineTypes)
    countries: Countries = msgspec.field(default_factory=Countries)
    allow: Annotated[Entries, Meta(description="Who passes every rule and every limit but the number's own.")] = (
        msgspec.field(default_factory=Entries)
    )
    block: Annotated[Entries, Meta(description="Who is refused.")] = msgspec.field(default_factory=Entries)
    prices: Annotated[
        dict[str, Annotated[float, Meta(ge=0, le=1000)]],
        Meta(max_length=MOST_COUNTRIES, description="US dollars per message by country; `default` for the others."),
    ] = msgspec.field(default_factory=dict)
    limit: Annotated[tuple[LimitConfig, ...], Meta(max_length=MOST_LIMITS)] = ()
    rule: Annotated[tuple[AnyRule, ...], Meta(max_length=MOST_RULES)] = ()
    factors: FactorSettings = msgspec.field(default_factory=FactorSettings)

    @property
    def limits(self) -> tuple[LimitConfig, ...]:
        """Its limits; one on the wrong codes of a user and one on notices are always among them."""
        users = any(each.counts == "wrong-codes" and "user" in each.of for each in self.limit)
        notices = any(each.counts == "notices" for each in self.limit)
        return (*self.limit, *(() if users else (USER_LIMIT,)), *(() if notices else (NOTICE_LIMIT,)))

    def price(self, country: str) -> float:
        """What a message to the country costs, in US dollars; to none, as an email is, nothing."""
        return self.prices.get(country, self.default_price) if country else 0.0

    @property
    def default_price(self) -> float:
        """What a message costs to a country that has no price of its own, in US dollars."""
        return self.prices.get("default", DEFAULT_PRICE)

    def guess_chance(self) -> float:
        """The chance that an attacker who starts and checks all day guesses one code of one number, as a union bound.

        Tries per day are bounded by an enforced limit on wrong codes per number, and by verifications per day (from an
        enforced limit on starts per number) times `checks`; each try is right with 10^-digits.
        """
        tries = min(self._per_day("wrong-codes"), self._per_day("starts") * self.code.checks)
        return float(min(1.0, tries / 10**self.code.digits))

    def factor_guess_chance(self) -> float:
        """The chance that an attacker who types codes all day guesses one of a user who has as many factors as the
        policy allows, all of them of 6 digits, and all recovery codes: a union bound.

        Tries per day are bounded by an enforced limit on wrong codes per user.
        """
        right = self.factors.per_user * self.factors.codes_at_once / 10**FACTOR_DIGITS + RECOVERY
        return float(min(1.0, self._per_day("wrong-codes", "user") * right))

    def _per_day(self, counts: Counts, of: Dimension = "number") -> float:
        alone = {(of,)} if of == "number" else {("user",), ("user", "tenant"), ("tenant", "user")}
        bounds = [
            hits * max(1, DAY_MS / ms)
            for limit in self.limits
            if limit.counts == counts and limit.of in alone and limit.mode == "enforce"
            if not limit.net_of_approved
            for hits, ms in limit.windows
        ]
        return min(bounds, default=float("inf"))
