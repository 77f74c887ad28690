"""The web role's server: Granian's HTTP in a few worker processes, the gateway and the WSGI app behind it."""

import ipaddress
import os
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any
from wsgiref.types import WSGIApplication

from granian import _granian, _signals
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.common import WORKERS_METHODS
from granian.server.mp import MPServer, WorkerProcess

from verify_service import tracing
from verify_service.errors import ConfigError
from verify_service.gateway import SPARE_THREADS, Gateway
from verify_service.process import ENDS_WITHIN, hearing_signals, keep_what_is_built
from verify_service.telemetry import log

# A view holds its thread for one or two round trips to the store; more threads than this only pass the
# interpreter's lock around. The fake inbox's long polls hold a thread for seconds, so test lanes get more.
THREADS = 16
THREADS_WITH_LONG_POLLS = 256
_MORE_THREADS = SPARE_THREADS + 2  # for /healthz and /readyz, and to take heads and bodies while all others are busy

IDLE_S = 10
"""A connection ends where no head has come for so long, be it the first or the next. A proxy must give up sooner."""
UNREAD_S = 10
"""A connection ends where its peer has taken nothing of an answer for so long (RFC 5482, TCP_USER_TIMEOUT of Linux)."""
CONNECTIONS = 4096
"""Of each worker. An idle one costs 10 KB, so this many cost 40 MB; a proxy keeps a few hundred at the most."""
_LOOK_S = 5  # half of what an idle one lasts: no full house comes and goes unseen
_OTHER_FILES = 512  # of the files that a process may open: connections to the store, listeners, logs
_MOST_HEAD_BYTES = 65_536

_inside: Any = _granian  # Its annotations are not of this release.
_log = log("web")

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
    drains: Callable[[], object] = staticmethod(lambda: None)
    """Called once, when it begins to end."""

    def signal_handler_interrupt(self, *args: Any, **named: Any) -> None:
        """Leaves it to `stop`."""

    def stop(self, _number: signal.Signals) -> None:
        if not self.interrupt_signal:
            self.drains()
        self.interrupt_signal = True
        self.main_loop_interrupt.set()

    def _respawn_workers(self, workers: Any, spawn_target: Any, target_loader: Any, delay: float = 0) -> None:
        super()._respawn_workers(workers, spawn_target, target_loader, delay)
        now = time.monotonic()
        self._deaths = [at for at in getattr(self, "_deaths", []) if now - at < 60] + [now]
        if len(self._deaths) < self._MOST_A_MINUTE:
            self.respawned_wrks.clear()


class _Now:
    """In place of an event loop: what Granian wants done soon is done at once, in its own thread."""

    def call_soon_threadsafe(self, call: Callable[..., None], *args: Any, context: Any = None) -> None:
        call(*args)

    call_soon = call_soon_threadsafe


@WorkerProcess.wrap_target  # type: ignore[untyped-decorator]
def _work(
    worker: int,
    app: WSGIApplication,
    sock: Any,
    ipc: Any,
    _loop: Any,
    mode: Any,
    rust_threads: int,
    rust_blocking_threads: int,
    threads: int,
    threads_idle_timeout: int,
    connections: int,
    _task: Any,
    http: Any,
    http1: Any,
    http2: Any,
    websockets: bool,
    static: Any,
    _access_log: Any,
    tls: Any,
    _scope: Any,
    metrics: Any,
) -> None:
    """A worker process; the arguments are Granian's.

    Granian's WSGI worker gives a request a thread when its head is there, and lets it wait there for the body, without
    end. Its RSGI worker takes every step through asyncio: three more turns for the interpreter's lock, and two thirds
    more CPU for a small request. This one calls the gateway in the thread that has the head, or the body.
    """
    keep_what_is_built()
    spec, shared = sock  # Where workers can share a port, each makes a listener of its own.
    listener = shared or spec.build()
    _drop_those_who_do_not_read(listener.get_fd())
    gateway = Gateway(app, threads - _MORE_THREADS)
    scheduler = _inside.CallbackScheduler(_Now(), None, None, None, None)
    scheduler._schedule_fn = gateway.arrive
    stopped = threading.Event()
    asked = _signals.set_sync_signals()  # type: ignore[no-untyped-call]
    asked.add_cb(stopped.set)
    granian = _inside.RSGIWorker(
        worker, (None, listener), ipc, rust_threads, rust_blocking_threads, threads, threads_idle_timeout, connections,
        http, http1, http2, websockets, static, *tls, metrics,
    )  # fmt: skip
    threading.Thread(target=_watch, args=(connections,), name="connections", daemon=True).start()
    getattr(granian, WORKERS_METHODS[mode][False])(scheduler, _Now(), asked)
    stopped.wait()
    tracing.close()


def _drop_those_who_do_not_read(listener: int) -> None:
    """What a listener is told holds for the connections that it takes. Only Linux has a word for it."""
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        with socket.socket(fileno=os.dup(listener)) as made:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, 1000 * UNREAD_S)


def _watch(most: int) -> None:
    """Says once a minute that no further connection is taken: they are looked at seldom while there are few."""
    others = len(os.listdir("/dev/fd"))
    while True:
        taken = len(os.listdir("/dev/fd")) - others
        if taken >= most:
            _log.warning("connections are at their limit, others wait", worker=os.getpid(), most=most, idle_s=IDLE_S)
        time.sleep(60 if taken >= most else 1 if taken > most / 4 else _LOOK_S)


def most_connections() -> int:
    """How many connections a worker may have: fewer where the system lets it open fewer files. Lifts the soft limit on
    these to the hard one. Raises ConfigError where that leaves none."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    files = CONNECTIONS + _OTHER_FILES if hard == resource.RLIM_INFINITY else hard
    if files <= _OTHER_FILES:
        raise ConfigError(f"a process may open {files} files here (ulimit -n), and the web role needs more than 512")
    return min(CONNECTIONS, files - _OTHER_FILES)


def serve(
    host: str, port: int, workers: int, load: Callable[[], WSGIApplication], *, long_polls: bool, quiet: bool
) -> None:
    """Serves what `load` makes in each worker, until SIGINT or SIGTERM. A worker that dies is started again at once."""
    threads = THREADS_WITH_LONG_POLLS if long_polls else THREADS
    server = _Server(
        "",
        address=host,
        port=port,
        workers=workers,
        interface=Interfaces.WSGI,
        http=HTTPModes.http1,
        websockets=False,
        http1_settings=HTTP1Settings(header_read_timeout=1000 * IDLE_S, max_buffer_size=_MOST_HEAD_BYTES),
        blocking_threads=threads + _MORE_THREADS,
        backpressure=most_connections(),
        respawn_failed_workers=True,
        respawn_interval=0.1,
        # The views are done in a second or two; only a long poll, which may be cut, would hold up the end for longer.
        workers_kill_timeout=2 if long_polls else 10,
        log_level=LogLevels.error,
        log_dictconfig=_LOGS,
    )
    say = (lambda _words: None) if quiet else _log.info
    server.drains = lambda: say("drains: what is under way is answered, nothing new is taken")
    with hearing_signals(server.stop, [signal.SIGINT, signal.SIGTERM], ENDS_WITHIN):
        server.serve(_work, load, wrap_loader=False)
    say("stopped")
