"""Plays a scenario against a live server: its starts and checks on the virtual clock, its messages as the fake provider
is told. Between two steps passes the time of the record, and never less."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from verify_service.testing import VerifyClient, VerifyClock, VerifyInbox, VerifyProblem

_A_DAY_S = 86_400
_PATIENCE_S = 60.0
_SAID = ("channel", "purpose", "ip", "device", "keys", "user")


class Played(NamedTuple):
    """One step, and what came of it in the record and here: `admitted`, `approved`, `wrong`, `canceled`, or the name of
    what refused. `at` is seconds since the first step; a check whose start was refused here is `not played`."""

    at: float
    event: str
    id: str
    recorded: str
    played: str


@dataclass(frozen=True)
class Replay:
    """All that was played, in its order."""

    steps: tuple[Played, ...]

    @property
    def differences(self) -> list[Played]:
        """The steps that went otherwise than in the record."""
        return [step for step in self.steps if step.played != step.recorded]


class _Step(msgspec.Struct, frozen=True):
    """A line of the scenario, as far as it is played."""

    at: float
    event: str
    id: str
    to: str = ""
    purpose: str | None = None
    channel: str | None = None
    ip: str | None = None
    device: str | None = None
    keys: dict[str, str] | None = None
    user: str | None = None
    refused: str = ""
    state: str = ""
    carried: tuple[dict[str, Any], ...] = ()


class Player:
    """Plays scenarios on one server. Each begins a day after what came before, so that what limits counted by address
    or key is over; numbers are forgotten by the client's own end."""

    def __init__(self, client: VerifyClient, inbox: VerifyInbox, clock: VerifyClock) -> None:
        self._client = client
        self._inbox = inbox
        self._clock = clock
        self._begun: dict[str, tuple[str, str]] = {}
        """Of each id in the record: the one here, and its number."""

    def play(self, path: Path | str) -> Replay:
        """Plays a file that `verify-service record` has written. Raises ValueError for one that cannot be played."""
        steps = [_read(path, place, line) for place, line in enumerate(Path(path).read_bytes().splitlines(), 1)]
        self._begun.clear()
        self._clock.advance(_A_DAY_S)
        played, after, ended = list[Played](), 0.0, time.monotonic()
        for step in steps:
            at = round(step.at - steps[0].at, 3)
            if (left := at - after - (time.monotonic() - ended)) > 0:
                self._clock.advance(left)
            outcome = self._outcome(step)
            after, ended = at, time.monotonic()
            if outcome == "admitted":
                self._settled(self._begun[step.id][0])
            recorded = step.refused or ("admitted" if step.event == "start" else step.event)
            played.append(Played(at, step.event, step.id, recorded, outcome))
        return Replay(tuple(played))

    def _outcome(self, step: _Step) -> str:
        try:
            match step.event:
                case "start":
                    return self._start(step)
                case "approved" | "wrong":
                    return self._check(step)
                case "canceled" if step.id in self._begun:
                    self._client.cancel(self._begun[step.id][0])
                case "consent":
                    self._told("PUT", f"/consents/{step.to}", {"state": step.state})
                case "unlocked":
                    self._told("POST", "/admin/unlock", {"to": step.to, "reason": "played again"})
                case _:
                    return "not played"
        except VerifyProblem as problem:
            return _refused(problem.body)
        return step.event

    def _start(self, step: _Step) -> str:
        self._inbox.behave(*({"to": step.to, "times": 1, **rule} for rule in step.carried))
        said = {name: value for name in _SAID if (value := getattr(step, name)) is not None}
        self._begun[step.id] = self._client.start(step.to, **said)["id"], step.to
        return "admitted"

    def _check(self, step: _Step) -> str:
        id, to = self._begun.get(step.id, ("", ""))
        codes = [each["code"] for each in self._inbox.messages(to) if each["verification_id"] == id] if id else []
        if not id or not (codes or step.event == "wrong"):
            return "not played"
        code = codes[0] if codes else "000000"
        if step.event == "wrong":
            code = f"{(int(code) + 1) % 10 ** len(code):0{len(code)}d}"
        return "approved" if self._client.check(id=id, code=code)["approved"] else "wrong"

    def _settled(self, id: str) -> None:
        """Waits until the newest message is on its way, or lost: the clock must not move before."""
        deadline = time.monotonic() + _PATIENCE_S
        while time.monotonic() < deadline:
            names = [line["event"] for line in self._client.status(id)["timeline"]]
            if "queued" not in names or {"sent", "failed"} & {*names[len(names) - names[::-1].index("queued") :]}:
                return
            time.sleep(0.01)

    def _told(self, method: str, path: str, body: Mapping[str, str]) -> None:
        status, _, answer = self._client.request(method, path, body)
        if status >= 400:
            raise VerifyProblem(status, answer)


def _read(path: Path | str, place: int, line: bytes) -> _Step:
    try:
        step = msgspec.json.decode(line, type=_Step)
    except msgspec.MsgspecError as error:
        raise ValueError(f"{path}, line {place}: {error}") from None
    if step.event == "start" and not step.to:
        raise ValueError(
            f"{path}, line {place}: a start without `to`; `verify-service record` writes what can be played"
        )
    return step


def _refused(problem: Mapping[str, Any]) -> str:
    """The name of what refused, as events have it."""
    named = problem.get("limit") or problem.get("rule")
    slug = str(problem["type"]).rpartition("/")[2]
    return str(named or ("line-types" if problem.get("reason") == "line-type" else slug))
