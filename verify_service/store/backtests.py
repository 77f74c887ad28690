"""Backtests that run beside the service: one at a time for all processes, seen and canceled from each of them.

What is kept names countries, ranges and limits. The policy that is judged may name phone numbers, so it is sealed.
"""

import re
import secrets
from collections.abc import Callable, Mapping
from typing import Any, Literal, NamedTuple, get_args

import msgspec

from verify_service.codes import Tagger
from verify_service.model import Actor, Frozen
from verify_service.store.audit import Audit
from verify_service.store.connection import Call, Link, prefix

LEASE_MS = 15_000
"""How long after its last word a backtest counts as dead, and another may begin."""
KEPT_MS = 86_400_000
Hours = Literal[1, 6, 24]
HOURS: tuple[int, ...] = get_args(Hours)
"""How far back one may look."""

_BASE = f"{prefix(0)}backtest:"
_ID = re.compile("bt_[0-9a-f]{32}")
_result = msgspec.json.Decoder(dict[str, Any])

State = Literal["running", "done", "failed", "canceled", "lost"]


class Job(Frozen, frozen=True):
    """What a process needs to run one: the store's address, the texts of the proposed policy and of the one in force,
    and whose events they judge, from `since` until `until` (milliseconds)."""

    url: str
    id: str
    proposed: str
    against: str
    since: int
    until: int


class Backtest(NamedTuple):
    """One as it stands. `lost`: its process ended without a word. `judged` of `events` are done, 0 of 0 while they are
    still read; `why` says how it ended where it is not done; `revision` is what it is compared with."""

    id: str
    state: State
    by: str
    at: int
    since: int
    until: int
    revision: int
    text: str | None
    events: int
    judged: int
    why: str
    result: dict[str, Any] | None


class Backtests:
    """Those of a store; `launch` runs a job in a process of its own. Every method raises StoreUnavailable."""

    def __init__(self, link: Link, tagger: Tagger, launch: Callable[[Job], None]) -> None:
        self._link = link
        self._tagger = tagger
        self._launch = launch
        self._audit = Audit(link, tagger)

    def begin(self, now: int, by: Actor, hours: int, proposed: str, against: tuple[int, str]) -> tuple[str, bool]:
        """Runs one over the last hours, `against` a revision and its text: its id and True, or the id of the one that
        runs already and False."""
        id = f"bt_{secrets.token_hex(16)}"
        job = Job(self._link.url, id, proposed, against[1], now - hours * 3_600_000, now)
        said: dict[str, str | int | bytes] = {
            "by": by.name,
            "at": now,
            "since": job.since,
            "until": now,
            "revision": against[0],
            "text": self._tagger.seal(proposed.encode(), _context(id)),
        }
        call = Call(0, "begin_backtest", [*_keys(id), f"{_BASE}latest"], [id, LEASE_MS, KEPT_MS, *_flat(said)])
        with self._audit.act(now, by, "backtest", f"backtest:{id}", hours=hours) as begun:
            running: str = self._link.call(call).decode()
            if running == id:
                self._launch(job)
            else:
                begun.failed("another one runs")
        return running, running == id

    def latest(self) -> Backtest | None:
        """The one that began last, while it is kept."""
        id = self._link.command(0, ["GET", f"{_BASE}latest"])
        return self.get(id.decode()) if id else None

    def get(self, id: str) -> Backtest | None:
        """One by its id, None where there is none, or none any more."""
        if not _ID.fullmatch(id):
            return None
        # In this order: an end is written before the lease goes, or with it.
        lease = self._link.command(0, ["GET", f"{_BASE}lease"])
        flat: list[bytes] = self._link.command(0, ["HGETALL", f"{_BASE}{id}"])
        if not flat:
            return None
        said = {name.decode(): value for name, value in zip(flat[::2], flat[1::2], strict=True)}
        state = said["state"].decode()
        return Backtest(
            id=id,
            state="lost" if state == "running" and lease != id.encode() else state,  # type: ignore[arg-type]
            by=said["by"].decode(),
            text=self._unsealed(id, said["text"]),
            why=said.get("why", b"").decode(),
            result=_result.decode(said["result"]) if "result" in said else None,
            **{name: int(said.get(name, 0)) for name in ("at", "since", "until", "revision", "events", "judged")},
        )

    def cancel(self, now: int, id: str, by: Actor) -> bool:
        """Has one stop within a second or two; whether it was running."""
        if not _ID.fullmatch(id):
            return False
        with self._audit.act(now, by, "cancel", f"backtest:{id}") as begun:
            canceled = bool(self._link.call(Call(0, "cancel_backtest", _keys(id), [id, by.name])))
            if not canceled:
                begun.failed("it does not run")
        return canceled

    def _unsealed(self, id: str, sealed: bytes) -> str | None:
        try:
            return self._tagger.unseal(sealed, _context(id)).decode()
        except ValueError:
            return None


def tell(link: Link, id: str, **said: str | int | bytes) -> bool:
    """Says that a backtest goes on, or how far it is, or, with `state`, how it ended. Whether it is to go on. Raises
    StoreUnavailable."""
    return bool(link.call(Call(0, "tell_backtest", _keys(id), [id, LEASE_MS, *_flat(said)])))


def _keys(id: str) -> list[str]:
    return [f"{_BASE}lease", f"{_BASE}{id}"]


def _context(id: str) -> str:
    return f"backtest|{id}"


def _flat(said: Mapping[str, str | int | bytes]) -> list[str | int | bytes]:
    return [word for pair in said.items() for word in pair]
