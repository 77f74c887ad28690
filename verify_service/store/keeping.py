"""Users for many at a time, and what each master key seals of them."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import msgspec

from verify_service.errors import StoreUnavailable
from verify_service.packing import text
from verify_service.store import partitions
from verify_service.store.connection import ERRORS, Argument, Call, Link, prefix, reason
from verify_service.store.unreadable import passed_over
from verify_service.store.user_layouts import Resealed, User

Word = Literal["taken", "known", "full"]
AT_ONCE = 100
"""Users in a call: a script of a few milliseconds, which checks wait for."""
_PAGE = 1000


class Keeping:
    """The users of a store, as imports, exports and a change of keys work on them. Users are tags; all methods raise
    StoreUnavailable."""

    def __init__(self, link: Link, keep_events: int) -> None:
        self._link = link
        self._keep_events = str(keep_events // link.partitions)

    @property
    def at_once(self) -> int:
        """How many users go to the store in one trip."""
        return AT_ONCE * self._link.partitions

    def sealed(self, *, of_who_answers: bool = False) -> Counter[str]:
        """How many pieces each kid seals in records that last. With `of_who_answers`, silent partitions are passed
        over."""
        counts: Counter[str] = Counter()
        for home in range(self._link.partitions):
            try:
                counts.update(self._sealed(home))
            except StoreUnavailable:
                if not of_who_answers:
                    raise
        return +counts

    def _sealed(self, home: int) -> dict[str, int]:
        found: Any = self._link.command(home, ["HGETALL", f"{prefix(home)}sealed"])
        pairs = found.items() if isinstance(found, dict) else zip(found[::2], found[1::2], strict=True)
        return {kid.decode(): int(count) for kid, count in pairs}

    def pages(self) -> Iterator[list[tuple[str, User]]]:
        """All users, some at a time, by their tags. One that comes or goes meanwhile may be missing, and one may come
        twice."""
        place, page = self.page("", _PAGE)
        yield page
        while place:
            place, page = self.page(place, _PAGE)
            yield page

    def page(self, place: str, keys: int) -> tuple[str, list[tuple[str, User]]]:
        """Those among so many keys of the store, from a place on, '' for the first; and where the next begin, '' behind
        the last. A place is digits, a dot and digits: a primary, and where to look on from there."""
        number, _, cursor = place.partition(".")
        primary = int(number or 0)
        try:
            nodes = sorted(self._link.nodes(), key=_address)
            if primary >= len(nodes):
                return "", []
            after, found = nodes[primary].scan(int(cursor or 0), match="vs:{*}:user:*", count=keys)
            page = list(_users(nodes[primary], found))
        except ERRORS as error:
            raise StoreUnavailable(reason(error)) from None
        if after:
            return f"{primary}.{after}", page
        return f"{primary + 1}.0" if primary + 1 < len(nodes) else "", page

    def take(self, most: int, users: Sequence[tuple[str, User]]) -> list[Word]:
        """Adds each user's one factor, where the user has fewer than `most`; what became of each. What is here stays
        as it is."""
        words: dict[int, Word] = {}
        for places, answer in self._many("take_users", [most], users, User.pack):
            words |= {place: word.decode() for place, word in zip(places, answer, strict=True)}
        return [words[place] for place in range(len(users))]

    def reseal(self, users: Sequence[tuple[str, dict[bytes, bytes]]]) -> int:
        """Puts each piece that was sealed anew in the place of the one that was read; how many were still there."""

        def packed(anew: dict[bytes, bytes]) -> bytes:
            return Resealed(was=[text(each) for each in anew], now=[text(each) for each in anew.values()]).pack()

        return sum(answer for _, answer in self._many("reseal", [], users, packed))

    def moved(self, now: int, event: str, tenant: str, by: str, why: str, count: int = 0) -> None:
        """Tells that so many factors of a tenant were imported, or all exported."""
        args: list[Argument] = [now, self._keep_events, event, partitions.new_id("mv", 0, self._link.partitions)]
        self._link.call(Call(0, "moved", [f"{prefix(0)}events"], [*args, tenant, by, why, count or ""]))

    def _many(
        self, function: str, head: list[Argument], users: Sequence[tuple[str, Any]], pack: Callable[[Any], bytes]
    ) -> Iterator[tuple[list[int], Any]]:
        """Calls for all of them in one trip: the places of each call's users, and its answer."""
        homes: dict[int, list[int]] = defaultdict(list)
        for place, (tag, _) in enumerate(users):
            homes[partitions.of_tag(tag, self._link.partitions)].append(place)
        asked = [
            (home, places[start : start + AT_ONCE])
            for home, places in homes.items()
            for start in range(0, len(places), AT_ONCE)
        ]
        calls = [
            Call(
                home,
                function,
                [f"{prefix(home)}user:{users[place][0]}" for place in places],
                [*head, *(pack(users[place][1]) for place in places)],
            )
            for home, places in asked
        ]
        answers = self._link.pipeline(calls) if calls else []
        return zip((places for _, places in asked), answers, strict=True)


def _address(node: Any) -> str:
    """By what each process has the primaries in one order."""
    said = node.connection_pool.connection_kwargs
    return f"{said.get('host')}:{said.get('port')}"


def _users(node: Any, keys: Sequence[Any]) -> Iterator[tuple[str, User]]:
    """The users of a node under these keys, by their tags. Raises what redis raises."""
    pipe = node.pipeline(transaction=False)
    for key in keys:
        pipe.get(key)
    for key, packed in zip(keys, pipe.execute(), strict=True):
        if packed is not None and (user := _opened(packed)):
            yield key.decode().rpartition(":")[2], user


def _opened(packed: bytes) -> User | None:
    try:
        return User.open(packed)
    except msgspec.DecodeError as error:
        passed_over("user", type(error).__name__)
        return None
