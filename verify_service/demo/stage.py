"""The service of the demonstration: a `run` in a folder of its own, which goes when it ends, on a clock that begins
days ago."""

import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from verify_service.codes import api_key_digest, new_api_key
from verify_service.demo.front import Front
from verify_service.embedded import EmbeddedValkey
from verify_service.policy import file as policy_file
from verify_service.process import Child, cause_of_end, kill_group, last_lines, spawn
from verify_service.serve import address, check_free
from verify_service.store.clock import VirtualClock
from verify_service.store.connection import Link

THREADS = 6
TENANTS = ("shop", "bank")
_PATIENCE_S, _ENDS_WITHIN_S = 120.0, 60.0
_TOML = """
[console]
idle = "12 hours"    # of the clock that runs fast
life = "7 days"
[[operators]]
name = "demo"
digest = "{operator}"
scopes = ["admin"]
[tenants.shop]
brand = "Shop"
api_keys = [{{ digest = "{shop}", scopes = ["verify", "admin"] }}]
[tenants.bank]
brand = "Bank"
api_keys = [{{ digest = "{bank}", scopes = ["verify"] }}]
[providers.north]
kind = "fake"
[providers.south]
kind = "fake"
[[routes]]
via = [{{ provider = "north", weight = 80 }}, {{ provider = "south", weight = 20 }}]
"""


class Stage(NamedTuple):
    """A service that is up: where, how its tenants call it, and the key of an operator."""

    url: str
    front: Front
    operator_key: str
    pulse: "Pulse"


class Pulse:
    """The clock of the service, as it is moved here; seconds of the epoch."""

    def __init__(self, front: Front, offset: float) -> None:
        self._front = front
        self._offset = offset

    @property
    def now(self) -> float:
        return time.time() + self._offset

    def to(self, at: float) -> None:
        """Moves it forward; a moment that has passed moves nothing."""
        if (seconds := at - self.now) > 0.001:
            self._front.advance(seconds)
            self._offset += seconds


@contextmanager
def stage(environ: Mapping[str, str], port: int, days: float) -> Iterator[Stage]:
    """Every limit and rule of the shipped policy is enforced there. Raises ConfigError where the port is taken,
    RuntimeError where it does not come up or has ended."""
    check_free("127.0.0.1", port)
    with TemporaryDirectory(prefix="verify-demo-") as folder:
        state = Path(folder)
        keys = {name: new_api_key(name) for name in (*TENANTS, "operator")}
        (state / "verify.toml").write_text(_TOML.format(**{name: api_key_digest(key) for name, key in keys.items()}))
        (state / "policy.toml").write_text(policy_file.default_text(enforce=True))
        with EmbeddedValkey(state / "valkey") as store:
            VirtualClock(Link(store.url)).advance(-round(days * 86_400_000))
        env = {name: value for name, value in environ.items() if not name.startswith("VERIFY_")}
        env |= {
            "VERIFY_STATE_DIR": folder,
            "VERIFY_CONFIG": str(state / "verify.toml"),
            "VERIFY_POLICY": str(state / "policy.toml"),
            "VERIFY_CLOCK": "virtual",
        }
        argv = [sys.executable, "-m", "verify_service", "run", "--port", str(port)]
        log = state / "run.log"
        process = spawn(Child(name="run", argv=argv, env=env, output=log))
        front = Front(address("127.0.0.1", port), {name: keys[name] for name in TENANTS}, THREADS)
        try:
            deadline = time.monotonic() + _PATIENCE_S
            while not front.ready():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the service did not come up:{last_lines(log)}")
                time.sleep(0.05)
            yield Stage(address("127.0.0.1", port), front, keys["operator"], Pulse(front, -days * 86_400))
            if process.poll() is not None:
                raise RuntimeError(f"the service ended with {cause_of_end(process.returncode)}:{last_lines(log)}")
        finally:
            front.close()
            process.terminate()
            process.wait(_ENDS_WITHIN_S)
            kill_group(process)
