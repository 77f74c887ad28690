"""What a backtest counts: starts by what became of them, what that saved, and what it cost in approvals."""

from array import array
from collections import Counter, defaultdict
from datetime import UTC, datetime
from typing import Any, NamedTuple

import msgspec

from verify_service.backtest.runner import Decided, Followed
from verify_service.policy.sections import Policy


class RuleTally(msgspec.Struct):
    """What one limit or rule refused, or would have: `spend_saved` in US dollars."""

    refused: int = 0
    approved_lost: int = 0
    spend_saved: float = 0.0


class Whom(msgspec.Struct):
    """The starts of one country, prefix or hour that a change refuses: those whose verification was approved in the
    record, and with those that might have been after its end; `spend_saved` and `spend_added` in US dollars, of those
    that it refuses and of those that it admits."""

    refused: int = 0
    approved_lost: int = 0
    approved_lost_at_most: int = 0
    spend_saved: float = 0.0
    admitted: int = 0
    spend_added: float = 0.0


class _Refused(NamedTuple):
    recorded: str
    place: int
    price: float
    at: float


class Tally:
    """The counts of one run. Complete once every line was added.

    A start is lost to its verification where that was approved in the record, now or later, by whichever start; so
    `approved_lost` is known at the end only.
    """

    def __init__(self, name: str, policy: Policy) -> None:
        self.name = name
        self.starts = 0
        self.pseudonymous = self.without_address = self.without_outcome = self.missed = self.otherwise_priced = 0
        self.thinned_out = 0
        self.rules: list[str | None] = [None]
        self.decisions = array("H")
        """What became of each start, in order: the place of its rule in `rules`, 0 where it was admitted."""
        self._places: dict[str | None, int] = {None: 0}
        # By mode, each limit and rule from the start: one that never fired is a finding, too.
        self._named: dict[str, list[str]] = {"enforce": [], "observe": [], "off": []}
        for limit in policy.limit:
            self._named[limit.mode].append(limit.name)
        for rule in policy.rule:
            self._named[rule.mode].append(rule.name)
        self._whose: list[tuple[str, str, int]] = []
        self._whom: dict[tuple[str, str, int], int] = {}
        self._who = array("I")
        self.policy = policy
        self.until = 0.0
        """When the record ends, in seconds since the epoch; by itself, with its last line."""
        self._refused: list[_Refused] = []
        self._observed: list[_Refused] = []
        self._approved: set[str] = set()

    def add(self, item: Decided | Followed) -> None:
        """Counts one line."""
        event = item.event
        self.until = event.at
        if isinstance(item, Followed):
            if event.event == "approved":
                self._approved.add(event.id)
                self.missed += item.fed and not item.taken
            return
        self.starts += 1
        price = self.policy.price(item.country)
        self.otherwise_priced += event.price is not None and abs(event.price - price) > 1e-9
        self.pseudonymous += event.pseudonymous
        self.without_address += event.ip is None
        self.thinned_out += max(0, event.repeats - 1)
        cost = price if event.price is None else event.price
        place = self._place(item.rule)
        self.decisions.append(place)
        self._who.append(self._group(item))
        if item.rule is not None:
            self._refused.append(_Refused(event.id, place, cost, event.at))
            return
        self._observed += [_Refused(event.id, self._place(name), cost, event.at) for name in item.observed]
        self.without_outcome += bool(event.refused)

    def _place(self, rule: str | None) -> int:
        place = self._places.get(rule)
        if place is None:
            place = self._places[rule] = len(self.rules)
            self.rules.append(rule)
        return place

    def _group(self, item: Decided) -> int:
        """The place of a start's country, prefix and hour in `_whose`."""
        whose = (item.country, item.prefix, int(item.event.at) // 3600)
        place = self._whom.get(whose)
        if place is None:
            place = self._whom[whose] = len(self._whose)
            self._whose.append(whose)
        return place

    def whom(self, old: "Tally") -> dict[str, dict[str, dict[str, Any]]]:
        """Whom this policy refuses and the old one admits, and the other way round, by country, prefix and hour (UTC),
        most first."""
        found: dict[str, dict[str, Whom]] = {by: defaultdict(Whom) for by in ("country", "prefix", "hour")}
        refused, before = iter(self._refused), iter(old._refused)
        for was, now, who in zip(old.decisions, self.decisions, self._who, strict=True):
            start, admitted = next(refused) if now else None, next(before) if was else None
            if bool(was) == bool(now):
                continue
            country, prefix, hour = self._whose[who]
            at = datetime.fromtimestamp(hour * 3600, UTC).strftime("%Y-%m-%dT%H:00Z")
            for by, name in (("country", country or "none"), ("prefix", prefix or "none"), ("hour", at)):
                group = found[by][name]
                if start:
                    group.refused += 1
                    group.approved_lost += start.recorded in self._approved
                    group.approved_lost_at_most += self._may_be_approved(start)
                    group.spend_saved += start.price
                elif admitted:
                    group.admitted += 1
                    group.spend_added += admitted.price
        return {by: dict(map(_shown, sorted(groups.items(), key=_most))) for by, groups in found.items()}

    def _may_be_approved(self, start: _Refused) -> bool:
        """Whether it was, or might have been after the record's end."""
        return start.recorded in self._approved or start.at + self.policy.code.life.seconds > self.until

    def by_rule(self) -> dict[str, RuleTally]:
        """What each limit and rule refused, most first; those that enforce and never did, last."""
        return self._by_rule(self._refused, self._named["enforce"])

    def observed(self) -> dict[str, RuleTally]:
        """What each limit and rule that only observes would have refused of what was admitted, most first."""
        return self._by_rule(self._observed, self._named["observe"])

    def _by_rule(self, starts: list[_Refused], named: list[str]) -> dict[str, RuleTally]:
        found: dict[str, RuleTally] = defaultdict(RuleTally)
        for name in named:
            found[name] = RuleTally()
        for recorded, place, price, _ in starts:
            rule = found[self.rules[place] or ""]
            rule.refused += 1
            rule.approved_lost += recorded in self._approved
            rule.spend_saved += price
        return dict(sorted(found.items(), key=lambda pair: (-pair[1].refused, pair[0])))

    def summary(self) -> dict[str, Any]:
        """The figures as `--json` prints them."""
        by_rule = self.by_rule()
        return {
            "starts": self.starts,
            "admitted": self.starts - len(self._refused),
            "refused": len(self._refused),
            "by_rule": {
                name: {
                    "refused": rule.refused,
                    "approved_lost": rule.approved_lost,
                    "spend_saved": round(rule.spend_saved, 4),
                }
                for name, rule in by_rule.items()
            },
            "approved_lost": sum(rule.approved_lost for rule in by_rule.values()),
            "spend_saved": round(sum((rule.spend_saved for rule in by_rule.values()), 0.0), 4),
            "observed": {
                name: {
                    "would_refuse": rule.refused,
                    "approved_lost": rule.approved_lost,
                    "spend_saved": round(rule.spend_saved, 4),
                }
                for name, rule in self.observed().items()
            },
            "policy": self.name,
        }

    def unknown(self) -> list[str]:
        """What this record cannot tell, a sentence each."""
        told = []
        if self.pseudonymous:
            told.append(
                f"{self.pseudonymous:,} starts have pseudonyms in place of numbers and addresses: lists of numbers and "
                "networks did not apply to them, and which numbers were neighbours is known by the thousand only."
            )
        if self.thinned_out:
            told.append(
                f"{self.thinned_out:,} more starts were refused when they were live, and have no event of their own: "
                "what one that stands for them is judged, they would be, but they are not counted."
            )
        if self.without_outcome:
            told.append(
                f"{self.without_outcome:,} starts were refused when they were live and are admitted here: whether "
                "their codes would have been entered is not known; they count as not entered."
            )
        open_yet = sum(each.recorded not in self._approved and self._may_be_approved(each) for each in self._refused)
        if open_yet:
            told.append(
                f"{open_yet:,} of the refused starts are of the record's last {self.policy.code.life.text}: up to so "
                "many more of their codes may be entered yet, and be approvals lost."
            )
        if self.without_address:
            told.append(
                f"{self.without_address:,} starts have no address: limits by address or network did not count them."
            )
        if self.missed:
            told.append(
                f"{self.missed:,} approvals of admitted starts would have failed here: too late, or after too many "
                "wrong codes."
            )
        if self.otherwise_priced and any(rule.spends for rule in self.policy.rule):
            told.append(
                f"{self.otherwise_priced:,} starts have another price in the record than in the policy's table: "
                "budgets count the table's, as the live service does; what was saved is counted by the record's."
            )
        if self._refused:
            told.append("What people do after a refusal (wait, try again, go away) is not in a record.")
        return told


def _shown(group: tuple[str, Whom]) -> tuple[str, dict[str, Any]]:
    name, whom = group
    figures = msgspec.structs.asdict(whom)
    return name, {key: round(value, 4) for key, value in figures.items()}


def _most(group: tuple[str, Whom]) -> tuple[int, int, str]:
    name, whom = group
    return -whom.refused, -whom.admitted, name


def changed(new: Tally, old: Tally) -> dict[str, Any]:
    """What `new` does otherwise than `old` with the same starts; approvals and US dollars are differences."""
    moves = Counter((old.rules[was], new.rules[now]) for was, now in zip(old.decisions, new.decisions, strict=True))
    after, before = new.summary(), old.summary()
    return {
        "newly_refused": sum(count for (was, now), count in moves.items() if was is None and now is not None),
        "newly_admitted": sum(count for (was, now), count in moves.items() if was is not None and now is None),
        "by_other_rule": sum(
            count for (was, now), count in moves.items() if was is not None and now is not None and was != now
        ),
        "approved_lost": after["approved_lost"] - before["approved_lost"],
        "spend_saved": round(after["spend_saved"] - before["spend_saved"], 4),
        "whom": new.whom(old),
    }
