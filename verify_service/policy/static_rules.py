"""What is judged before any count: line types, countries, lists. Pure, and the same for a backtest."""

import ipaddress
from typing import NamedTuple

import msgspec

from verify_service import addresses, phone, recipient
from verify_service.model import Number
from verify_service.policy.sections import Entries, Policy
from verify_service.policy.verdicts import Word

_HIDDEN_DIGITS = 3


class StaticVerdict(msgspec.Struct, array_like=True, frozen=True):
    """One static rule on one start. `evidence` never holds a whole number: it goes into records."""

    name: str
    kind: str
    mode: str
    verdict: Word
    evidence: dict[str, str]


class Judgment(NamedTuple):
    """All static rules on one start: `refused` is the one that decides, `observed` are those that would have.

    `allowed`: the allow-list names the number or its user's network, so that neither rules nor limits of other keys
    than the number's apply. `text` are the verdicts as JSON, as decision records keep them.
    """

    verdicts: tuple[StaticVerdict, ...]
    refused: StaticVerdict | None
    observed: tuple[str, ...]
    allowed: bool
    text: str


class StaticRules:
    """The static rules of a policy."""

    def __init__(self, policy: Policy) -> None:
        self._line_types = policy.line_types.deny
        self._countries = policy.countries
        self._allow = _List(policy.allow)
        self._block = _List(policy.block)
        # Most starts are on no list; of them there are as many judgments as countries times line types.
        self._unlisted: dict[tuple[str, str], Judgment] = {}

    def judge(self, number: Number, ip: str | None) -> Judgment:
        """The verdicts on a start to the number for a user at the address."""
        allowed = self._allow.match(number.e164, ip)
        blocked = self._block.match(number.e164, ip)
        if allowed or blocked:
            return self._judge(number, allowed, blocked)
        key = (number.country, number.line_type)
        found = self._unlisted.get(key)
        if found is None:
            found = self._unlisted[key] = self._judge(number, None, None)
        return found

    def _judge(self, number: Number, allowed: str | None, blocked: str | None) -> Judgment:
        verdicts = [self._line_type(number)]
        if allowed:
            verdicts.append(StaticVerdict("allow-list", "allow-list", "enforce", "pass", {"entry": allowed}))
        else:
            if number.country:
                verdicts.append(self._country(number))
            if self._block:
                evidence = {"entry": blocked} if blocked else {}
                verdicts.append(
                    StaticVerdict("block-list", "block-list", "enforce", "refuse" if blocked else "pass", evidence)
                )
        refused = next((verdict for verdict in verdicts if verdict.verdict == "refuse"), None)
        observed = tuple(verdict.name for verdict in verdicts if verdict.verdict == "observe")
        text = msgspec.json.encode(verdicts).decode()
        return Judgment(tuple(verdicts), refused, observed, bool(allowed), text)

    def _line_type(self, number: Number) -> StaticVerdict:
        word: Word = "refuse" if number.line_type in self._line_types else "pass"
        return StaticVerdict("line-types", "line-types", "enforce", word, {"line_type": number.line_type})

    def _country(self, number: Number) -> StaticVerdict:
        countries, country = self._countries, number.country
        found = (
            "deny"
            if country in countries.deny
            else "observe"
            if country in countries.observe
            else "allow"
            if country in countries.allow
            else countries.default
        )
        words: dict[str, Word] = {"allow": "pass", "observe": "observe", "deny": "refuse"}
        mode = "observe" if found == "observe" else "enforce"
        return StaticVerdict("countries", "countries", mode, words[found], {"country": country})


class _List:
    """An allow- or block-list, ready to be asked."""

    def __init__(self, entries: Entries) -> None:
        self._numbers = frozenset(map(_known_by, entries.numbers))
        self._prefixes = tuple(sorted(entries.prefixes))
        # By length, so that a look-up costs as many steps as there are lengths, however long the list.
        self._networks: dict[tuple[int, int], dict[int, str]] = {}
        for text in entries.networks:
            network = ipaddress.ip_network(text)
            shift = network.max_prefixlen - network.prefixlen
            start = int(network.network_address) >> shift
            self._networks.setdefault((network.version, shift), {})[start] = text

    def __bool__(self) -> bool:
        return bool(self._numbers or self._prefixes or self._networks)

    def match(self, e164: str, ip: str | None) -> str | None:
        """Which entry names the start: what of it may stand in a record."""
        if self._numbers and "@" in e164:
            entry = self._email(e164)
        else:
            entry = "the number" if phone.identity(e164) in self._numbers else None
        if entry:
            return entry
        for each in phone.spellings(e164) if self._prefixes else ():
            if each.startswith(self._prefixes):
                prefix = next(prefix for prefix in self._prefixes if each.startswith(prefix))
                return prefix if len(prefix) <= len(each) - _HIDDEN_DIGITS else "the number"
        if ip is None or not self._networks:
            return None
        # A list may name the IPv4 address that an IPv6 one stands for, or the prefix of all that stand for one.
        return next(filter(None, map(self._network, addresses.spellings(ip))), None)

    def _email(self, address: str) -> str | None:
        domain = address[address.rindex("@") :]
        if domain in self._numbers:
            return domain
        return "the email address" if recipient.identity(address) in self._numbers else None

    def _network(self, address: addresses.Address) -> str | None:
        for (version, shift), starts in self._networks.items():
            if version == address.version and (found := starts.get(int(address) >> shift)):
                return found if shift else "the address"
        return None


def _known_by(entry: str) -> str:
    """A domain alone stands for all of its addresses, as it is written."""
    return entry if entry.startswith("@") else recipient.identity(entry)


def sentence(name: str, verdict: Word, evidence: dict[str, str]) -> str:
    """What a static rule says of a start, in English."""
    would = {"refuse": "is refused", "observe": "would be refused", "pass": "may be sent to"}[verdict]
    match name:
        case "line-types" if evidence["line_type"] == "email":
            return f"An email address {would}."
        case "line-types":
            return f"A {evidence['line_type']} number {would}."
        case "countries":
            return f"The country {evidence['country']} {would}."
        case "allow-list":
            return (
                f"The allow-list names the start ({evidence['entry']}): neither rules nor limits of other keys apply."
            )
    entry = evidence.get("entry")
    return f"The block-list names the start ({entry})." if entry else "The block-list does not name the start."
