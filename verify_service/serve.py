"""The web role's server: Granian around the WSGI app, a few worker processes."""

import ipaddress
import signal
import socket
import time
from contextlib import closing
from typing import Any

from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server.mp import MPServer

from verify_service.errors import ConfigError
from verify_service.process import ENDS_WITHIN, hearing_signals

# A view holds its thread for one or two round trips to the store; more threads than this only pass the
# interpreter's lock around. The fake inbox's long polls hold a thread for seconds, so test lanes get more.
THREADS = 16
THREADS_WITH_LONG_POLLS = 256

_LOGS = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"json": {"()": "verify_service.telemetry.json_formatter"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "json"}},
    "loggers": {"_granian": {"handlers": ["console"], "propagate": False}},
}

_EVERYWHERE = (str(ipaddress.IPv4Address(0)), str(ipaddress.IPv6Address(0)))


def address(host: str, port: int) -> str:
    """Where a browser on this machine finds it."""
    name = "localhost" if host in _EVERYWHERE else host
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"


def check_free(host: str, port: int, option: str = "--port") -> None:
    """Raises ConfigError where something listens there, naming the `option` that chose the port: two Granians would
    share it in silence."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {host}:{port} ({error.strerror}); choose another with {option}"
            ) from None


class _Server(MPServer):
    """Granian, which gives up where a worker dies twice within seconds: one that was killed twice is no crash loop;
    and whose handler of signals takes a lock in the main thread, which may wait for it already."""

    _MOST_A_MINUTE = 20

    def signal_handler_interrupt(self, *args: Any, **named: Any) -> None:
        """Leaves it to `stop`."""

    def stop(self, _number: signal.Signals) -> None:
        self.interrupt_signal = True
        self.main_loop_interrupt.set()

    def _respawn_workers(self, workers: Any, spawn_target: Any, target_loader: Any, delay: float = 0) -> None:
        super()._respawn_workers(workers, spawn_target, target_loader, delay)
        now = time.monotonic()
        self._deaths = [at for at in getattr(self, "_deaths", []) if now - at < 60] + [now]
        if len(self._deaths) < self._MOST_A_MINUTE:
            self.respawned_wrks.clear()


def serve(host: str, port: int, workers: int, *, long_polls: bool) -> None:
    """Serves until SIGINT or SIGTERM. A worker that dies is started again at once."""
    server = _Server(
        "verify_service.app:wsgi",
        factory=True,
        address=host,
        port=port,
        workers=workers,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        websockets=False,
        blocking_threads=THREADS_WITH_LONG_POLLS if long_polls else THREADS,
        backpressure=1024,
        respawn_failed_workers=True,
        respawn_interval=0.1,
        # The views are done in a second or two; only a long poll, which may be cut, would hold up the end for longer.
        workers_kill_timeout=2 if long_polls else 10,
        log_level=LogLevels.error,
        log_dictconfig=_LOGS,
    )
    with hearing_signals(server.stop, [signal.SIGINT, signal.SIGTERM], ENDS_WITHIN):
        server.serve()
