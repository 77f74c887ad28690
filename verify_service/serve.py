"""The web role's server: Granian around the WSGI app, a few worker processes."""

from granian.constants import HTTPModes, Interfaces
from granian.log import LogLevels
from granian.server import Server

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


def serve(host: str, port: int, workers: int, *, long_polls: bool) -> None:
    """Serves until SIGINT or SIGTERM. A worker that dies is started again at once."""
    Server(
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
    ).serve()
