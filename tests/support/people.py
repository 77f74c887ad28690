"""Users who enrol and sign in, one after the other, while the store may be killed at any moment."""

import itertools
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NamedTuple, TypeVar

from tests.support.authenticator import TENANT, App
from tests.support.bench import Bench
from tests.support.live import PATIENCE_S
from verify_service.errors import StoreUnavailable
from verify_service.factors import NewFactor

Answer = TypeVar("Answer")


class Told(NamedTuple):
    """What a user was told: a factor is verified, and a recovery code is spent."""

    user: str
    app: App
    recovery: str


class People:
    """Lives until `stop` is set; `told` has what was answered."""

    def __init__(self, bench: Bench, stop: threading.Event) -> None:
        self.told: list[Told] = []
        self._bench = bench
        self._stop = stop
        self._thread = threading.Thread(target=self._live)
        self._thread.start()

    def _live(self) -> None:
        for user in map("user-{}".format, itertools.takewhile(lambda _: not self._stop.is_set(), range(1000))):
            with suppress(StoreUnavailable):
                self._one(user)

    def _one(self, user: str) -> None:
        factors = self._bench.factors
        app = App(self._bench, factors.enrol(TENANT, user, NewFactor()))
        recovery, *_ = factors.verify(TENANT, user, app.id, app.at()).recovery_codes or ()
        assert factors.check(TENANT, user, recovery).approved
        self.told.append(Told(user, app, recovery))

    def judge(self) -> None:
        """Ends it. Every factor that was verified is there, and no code that was taken is good again."""
        self._stop.set()
        self._thread.join()
        factors = self._bench.factors
        for user, app, recovery in self.told:
            found = answered(partial(factors.look, TENANT, user))
            assert [(each.id, each.status) for each in found.factors] == [(app.id, "verified")]
            assert found.recovery_codes_left == 9
            again = [answered(partial(factors.check, TENANT, user, code)).status for code in (app.at(), recovery)]
            assert again == ["used", "wrong"]


def answered(ask: Callable[[], Answer]) -> Answer:
    """The answer, once there is one."""
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return ask()
        except StoreUnavailable:
            assert time.monotonic() < deadline
            time.sleep(0.05)
