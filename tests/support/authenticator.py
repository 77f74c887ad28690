"""An authenticator app in a test: a person's device with a clock of its own, and their enrolment."""

from dataclasses import dataclass, field

import pyotp

from tests.support.bench import Bench
from verify_service.factors import Enrolled, FactorCheck, NewFactor

TENANT = "default"


@dataclass
class App:
    """What scanned the QR code. `off` is by how many seconds its clock is wrong; `counter` is HOTP's next."""

    bench: Bench
    enrolled: Enrolled
    off: int = 0
    counter: int = 0
    recovery_codes: tuple[str, ...] = field(default=())

    @property
    def id(self) -> str:
        return self.enrolled.factor.id

    def at(self, steps: int = 0) -> str:
        """The code of the app's own time step, or of one so many steps later."""
        read = pyotp.parse_uri(self.enrolled.uri)
        assert isinstance(read, pyotp.TOTP)
        return read.at(self.bench.clock.now() // 1000 + self.off + steps * read.interval)

    def pressed(self, ahead: int = 0) -> str:
        """HOTP's next code, after a number of presses that went nowhere."""
        read = pyotp.parse_uri(self.enrolled.uri)
        assert isinstance(read, pyotp.HOTP)
        self.counter += ahead + 1
        return read.at(self.counter - 1)


def enrolled(bench: Bench, user: str, new: NewFactor | None = None, *, codes: bool = False) -> App:
    """A user with a verified factor; for TOTP the next time step has begun. With recovery codes where a test wants
    `codes`: their hashes are slow."""
    app = App(bench, bench.factors.enrol(TENANT, user, new or NewFactor()))
    first = verify(bench, user, app, codes=codes)
    assert first.approved
    app.recovery_codes = first.recovery_codes or ()
    bench.clock.advance(app.enrolled.factor.period)
    return app


def verify(bench: Bench, user: str, app: App, *, codes: bool = True) -> FactorCheck:
    """The first code."""
    code = app.at() if app.enrolled.factor.kind == "totp" else app.pressed()
    return bench.factors.verify(TENANT, user, app.id, code, recovery_codes=codes)
