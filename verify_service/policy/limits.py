"""Limits, ready for the scripts: which key counts a start or a wrong code, and under which windows."""

from collections.abc import Mapping
from typing import get_args

from verify_service import addresses, mailbox
from verify_service.codes import Tagger
from verify_service.model import Number, StartOptions
from verify_service.policy.file import Counts, LimitConfig, Policy
from verify_service.policy.hits import Hit, values
from verify_service.policy.sections import Dimension
from verify_service.policy.specs import LimitSpec, NumberLimit, NumberLimits, Window

# Given the number, these say nothing more, so they do not take part in its key.
_FOLLOW_FROM_NUMBER = frozenset({"prefix", "country", "line_type", "mailbox", "mail_domain"})

# A user is the tenant's own: two tenants' users of one name are two people.
_OF_A_USER = frozenset({"tenant", "user"})

AS_SAID = tuple(name for name in get_args(Dimension) if name in StartOptions.__struct_fields__ and name != "ip")
"""The dimensions that are as the caller says them: those that a start has an option for, by their names."""


class Limits:
    """The limits of a policy that are not off."""

    def __init__(self, policy: Policy, tagger: Tagger) -> None:
        self._tagger = tagger
        self._limits = [_Limit(entry) for entry in policy.limits if entry.mode != "off"]

    def of_start(
        self, number: str, facts: Mapping[str, str | None], *, allowed: bool = False, own: bool = False
    ) -> list[Hit]:
        """What a start counts, and the number's limits on wrong codes, which it looks at: a code that may not be tried
        any more is not worth a message. Those of other keys it does not look at: wrong codes of one stranger would
        keep everybody behind the same address from getting theirs. `number` is the number's tag; a limit whose
        dimensions the start lacks is left out. Of a start that the allow-list names, only the number's own limits
        count. `own` ones are counted apart from everybody else's."""
        return [
            hit
            for limit in self._limits
            if limit.counts != "notices"
            if limit.by_number or not (allowed or limit.counts == "wrong-codes")
            if (hit := limit.hit(self._tagger, number, facts, peek=limit.counts == "wrong-codes", own=own))
        ]

    def of_notice(self, number: str, facts: Mapping[str, str | None], *, allowed: bool = False) -> list[Hit]:
        """What a notice counts, which neither starts nor wrong codes do; `number` and `allowed` as of a start."""
        return [
            hit
            for limit in self._limits
            if limit.counts == "notices" and (limit.by_number or not allowed)
            if (hit := limit.hit(self._tagger, number, facts, peek=False))
        ]

    def of_mailbox(self, number: Number) -> list[Hit]:
        """What counts the starts of an email address by its mailbox alone, and so is the owner's as `number` is."""
        facts: dict[str, str | None] = {"mailbox": mailbox.counted(number.e164) if number.is_email else None}
        mine = [limit for limit in self._limits if limit.dimensions == ("mailbox",)]
        return [hit for limit in mine if (hit := limit.hit(self._tagger, "", facts, peek=False))]

    def of_check(self, facts: Mapping[str, str | None]) -> list[Hit]:
        """The limits on wrong codes by other keys than the number; they never refuse the first code of a
        verification."""
        return [
            hit
            for limit in self._limits
            if limit.counts == "wrong-codes"
            and not limit.by_number
            and (hit := limit.hit(self._tagger, "", facts, peek=False))
        ]

    def of_address(self, facts: Mapping[str, str | None]) -> list[Hit]:
        """What counts the starts and wrong codes of an internet address, or of its network, whatever the number."""
        return [
            hit
            for limit in self._limits
            if limit.counts != "notices" and not limit.by_number and {"ip", "network"} & set(limit.dimensions)
            if (hit := limit.hit(self._tagger, "", facts, peek=limit.counts == "wrong-codes"))
        ]

    def of_user(self, user: str) -> list[Hit]:
        """The limits on the wrong codes of a user's factors, all in the partition of the user's tag."""
        return [limit.of_user(user) for limit in self._limits if limit.counts == "wrong-codes" and limit.by_user]

    def of_check_by_number(self, facts: Mapping[str, str | None]) -> NumberLimits:
        """The limits that hang on the number: the check script learns the number from the record."""
        wrong_codes, starts = list[NumberLimit](), list[NumberLimit]()
        for limit in self._limits:
            if limit.counts == "notices":
                continue
            if limit.by_number and (suffix := limit.suffix(self._tagger, facts)) is not None:
                (wrong_codes if limit.counts == "wrong-codes" else starts).append(NumberLimit(limit.spec, suffix))
        return NumberLimits(wrong_codes, starts)


class _Limit:
    def __init__(self, entry: LimitConfig) -> None:
        self.name = entry.name
        self.counts: Counts = entry.counts
        self.by_number = "number" in entry.of
        # One by number and user lies where the number does: the start script knows that place.
        self.by_user = "user" in entry.of and not self.by_number
        said = set(entry.of) | (_OF_A_USER if "user" in entry.of else frozenset())
        if self.by_number:
            said -= {"number"} | _FOLLOW_FROM_NUMBER
        self.dimensions = tuple(sorted(said - _OF_A_USER if self.by_user else said))
        windows = [Window(*window) for window in entry.windows]
        self.spec = LimitSpec(entry.name, entry.mode == "enforce", windows, entry.net_of_approved)
        self._packed = self.spec.pack()

    def suffix(self, tagger: Tagger, facts: Mapping[str, str | None], kind: str = "limit") -> str | None:
        """What follows the number's tag in the key, or the user's; None where the request lacks a dimension."""
        if not self.dimensions and kind == "limit":
            return ""
        found = values(self.dimensions, facts)
        return None if found is None else "." + tagger.tag(kind, *found)

    def hit(
        self, tagger: Tagger, number: str, facts: Mapping[str, str | None], *, peek: bool, own: bool = False
    ) -> Hit | None:
        counting = "own-limit" if own else "limit"
        if self.by_number or self.by_user:
            owner = number if self.by_number else user_tag(tagger, facts)
            suffix = self.suffix(tagger, facts, "limit" if self.by_number else counting)
            if owner is None or suffix is None:
                return None
            counted = owner + suffix
        else:
            found = values(self.dimensions, facts)
            if found is None:
                return None
            owner = counted = tagger.tag(counting, *found)
        return self._counted("limit?" if peek else "limit", owner, counted)

    def of_user(self, user: str) -> Hit:
        return self._counted("limit", user, user)

    def _counted(self, kind: str, owner: str, counted: str) -> Hit:
        return Hit(kind, self.name, owner, f"limit:{self.name}:{counted}", self._packed, 1, self.spec.enforced)


def user_tag(tagger: Tagger, facts: Mapping[str, str | None]) -> str | None:
    """The pseudonym of the tenant's user that a request names, whose partition has what is counted of them; None where
    it names none."""
    found = values(("tenant", "user"), facts)
    return None if found is None else tagger.user(*found[1::2])


def facts_of(
    tenant: str, said: StartOptions, number: Number | None = None, purpose: str | None = None
) -> dict[str, str | None]:
    """The dimensions of a request, in clear; they leave this process only as tags.

    `ip` and `network` are what `addresses.counted` makes of the address.
    """
    counted, network = addresses.counted(said.ip) if said.ip is not None else (None, None)
    email = number.e164 if number and number.is_email else None
    own: dict[str, str | None] = {f"key:{name}": value for name, value in (said.keys or {}).items()}
    return (
        own
        | {name: getattr(said, name) for name in AS_SAID}
        | {
            "tenant": tenant,
            "purpose": purpose,
            "mailbox": mailbox.counted(email) if email else None,
            "mail_domain": mailbox.shared_domain(email) if email else None,
            "ip": counted,
            "network": network,
            "prefix": (number.prefix or None) if number else None,
            "country": (number.country or None) if number else None,
            "line_type": number.line_type if number else None,
        }
    )
