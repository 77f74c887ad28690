"""Logs and metrics. Metrics are counted where things happen; logs are JSON lines on standard error.

No code, key, token or full number is ever passed to either: what could carry one is not a label and not a field.
"""

import io
import logging
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import wraps
from typing import Any, ParamSpec, TextIO, TypeAlias, TypeVar, cast

import msgspec
import prometheus_client
from prometheus_client import REGISTRY, CollectorRegistry, Gauge, generate_latest, start_http_server
from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector

from verify_service import tracing
from verify_service.errors import Problem

# structlog looks for rich as it is imported, for output that no role has. Half of a log's import went there.
_RICH: Any = sys.modules.setdefault("rich", cast("Any", None))
import structlog  # noqa: E402

if _RICH is None:
    del sys.modules["rich"]

P = ParamSpec("P")
R = TypeVar("R")


class _Kept:
    """A metric that knows its children by their labels. The library keeps them all as well, but makes texts of the
    labels and takes a lock each time."""

    def __init__(self, *args: Any, **named: Any) -> None:
        self._by_labels: dict[tuple[Any, ...], Any] = {}
        super().__init__(*args, **named)

    def labels(self, *values: Any, **named: Any) -> Any:
        found = None if named else self._by_labels.get(values)
        if found is None:
            found = super().labels(*values, **named)  # type: ignore[misc]
            if values:
                self._by_labels[values] = found
        return found


class Counter(_Kept, prometheus_client.Counter):
    """A counter."""


class Histogram(_Kept, prometheus_client.Histogram):
    """A histogram."""


STARTS = Counter("verify_starts", "Starts by outcome: started, resent, replayed or a problem.", ["outcome"])
CHECKS = Counter(
    "verify_checks", "Checks by outcome: approved, pending, exhausted, replayed or a problem.", ["outcome"]
)
FACTOR_CHECKS = Counter(
    "verify_factor_checks",
    "Checks of a user's factors by outcome: approved, wrong, used, replayed or a problem.",
    ["outcome"],
)
REFUSED = Counter(
    "verify_refused",
    "Starts and checks refused, by what decided: a limit, a rule, or a circumstance such as cooldown.",
    ["by"],
)
OBSERVED = Counter("verify_observed", "Starts that a limit or rule in observe mode would have refused.", ["rule"])
UNJUDGED = Counter("verify_unjudged", "Starts and checks that an observed limit or rule could not judge.", ["rule"])
BLOCKS = Counter("verify_blocks", "Blocks that were made (blocked) or lifted.", ["event", "rule", "mode"])
SENDS = Counter("verify_sends", "Tries to send, by provider and outcome.", ["provider", "outcome"])
SETTLED = Counter("verify_settled", "Outbox entries settled, by outcome: sent or failed.", ["outcome"])
RECEIPTS = Counter(
    "verify_receipts",
    "Receipts by what they say: delivered, failed, repeated (nothing new), unknown (of no message that is known).",
    ["provider", "status", "country", "carrier", "channel", "text"],
)
STRAYS = Counter(
    "verify_strays",
    "What a vendor told and nobody could use: word (a receipt's is not known), nameless (it names no message), "
    "unmatched (its id matches none, or not yet), text (in no alphabet that can be read), "
    "entry (of a list, in no form that is known).",
    ["provider", "why"],
)
SHIFTS = Counter("verify_shifts", "Shifts of a provider's weight, down or up.", ["provider", "channel", "way"])
WEIGHTS = Gauge(
    "verify_provider_weight_percent",
    "How much of its weight in the routes a provider has now.",
    ["provider", "channel"],
    multiprocess_mode="mostrecent",
)
SEND_SECONDS = Histogram("verify_send_seconds", "Time a provider took to answer.", ["provider"])
QUEUE_SECONDS = Histogram("verify_queue_seconds", "Time from a start to the first try to send.")
SENDER_FULL = Counter("verify_sender_full", "Messages that a sender had no room for in time.", ["sender"])
WEBHOOKS = Counter(
    "verify_webhooks",
    "Events for a tenant's endpoint: delivered, failed (comes again), dead, gone, lost (trimmed before handed over).",
    ["tenant", "outcome"],
)
ALERT_MESSAGES = Counter(
    "verify_alert_messages",
    "Messages to the team: sent, failed (is tried again), given-up, lost (too many were waiting).",
    ["channel", "outcome"],
)
COUNTED = Counter(
    "verify_counted",
    "Events folded into counts over time: counted, or lost (trimmed before they were).",
    ["outcome"],
)
UNREADABLE = Counter(
    "verify_unreadable",
    "What stood in the store and could not be read, by kind: message, event, webhook, receipt, waiting, record, "
    "alert, count.",
    ["what"],
)
CALLBACKS = Counter(
    "verify_callbacks", "Calls of vendors, by outcome: taken, forged, unreadable, unchecked.", ["provider", "outcome"]
)
INBOUND = Counter(
    "verify_inbound",
    "Texts from phones, by keyword: stop, start, help, unclear (it holds a stop and is none), unread (its sender "
    "cannot be read), other.",
    ["provider", "keyword"],
)
PROBLEMS = Counter("verify_problems", "Problems answered, by slug.", ["slug"])


_CARRIER = re.compile("[0-9]{5,6}")
_MOST_CARRIERS = 500
OTHER = "other"
_carriers: set[str] = set()


def carrier_label(carrier: str | None) -> str:
    """A carrier as a label: its MCC and MNC, "" where a vendor names none. What is no such number, and what comes after
    the first 500 of a process, is `other`: whatever a vendor writes, a metric has a bounded number of series."""
    if not carrier or carrier in _carriers:
        return carrier or ""
    if len(_carriers) >= _MOST_CARRIERS or not _CARRIER.fullmatch(carrier):
        return OTHER
    _carriers.add(carrier)
    return carrier


def counting_problems(outcomes: Counter) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Counts a problem that a function raises under its slug."""

    def decorate(call: Callable[P, R]) -> Callable[P, R]:
        @wraps(call)
        def counted(*args: P.args, **named: P.kwargs) -> R:
            try:
                return call(*args, **named)
            except Problem as problem:
                outcomes.labels(problem.slug).inc()
                raise

        return counted

    return decorate


Gauges: TypeAlias = Mapping[str, tuple[str, float | Mapping[str, float]]]
LABELS = {"verify_budget_spent_ratio": "rule"}
"""The label of each gauge that is looked up and has one."""


class _Gauges:
    """Values that are looked up when they are asked for, as a collector."""

    def __init__(self, gauges: Gauges) -> None:
        self._gauges = gauges

    def collect(self) -> Iterator[GaugeMetricFamily]:
        for name, (words, found) in self._gauges.items():
            if isinstance(found, float):
                yield GaugeMetricFamily(name, words, value=found)
                continue
            family = GaugeMetricFamily(name, words, labels=[LABELS[name]])
            for label, value in found.items():
                family.add_metric([label], value)
            yield family


def exposition(multiprocess: bool, gauges: Gauges) -> bytes:
    """All metrics in the Prometheus text format, those of every process of this host where `multiprocess`; and
    `gauges`, as name: (help, value), or a value for each of its label's."""
    looked_up = CollectorRegistry()
    looked_up.register(_Gauges(gauges))
    counted = REGISTRY
    if multiprocess:
        counted = CollectorRegistry()
        MultiProcessCollector(counted)  # type: ignore[no-untyped-call]
    return generate_latest(counted) + generate_latest(looked_up)


def serve_metrics(host: str, port: int) -> None:
    """Serves what this process counts, in a thread, to whoever reaches the port: a dispatcher knows no API keys.

    Raises OSError.
    """
    start_http_server(port, host)


def _traced(_logger: Any, _method: str, event: Any) -> Any:
    """The trace of what this thread works on, where there is one: of the caller's, if the caller has one."""
    if trace := tracing.trace_id():
        event["trace_id"] = trace
    return event


_COMMON: list[Any] = [
    _traced,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True, key="at"),
]


class _Lossy(io.TextIOBase):
    """A stream whose lines are lost where nobody takes them: a full disk under the log must fail no request."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def configure_logs() -> None:
    """JSON lines with time, level and event, for structlog and for the standard library's loggers alike."""
    structlog.configure(
        processors=[*_COMMON, structlog.processors.format_exc_info, _render],
        logger_factory=structlog.WriteLoggerFactory(cast(TextIO, _Lossy(sys.stderr))),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(json_formatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)


def json_formatter() -> logging.Formatter:
    """The same lines for the standard library's loggers."""
    return structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=_COMMON,
        processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _render],
    )


def _render(_logger: Any, _method: str, event: Any) -> str:
    return msgspec.json.encode(event, enc_hook=str).decode()


def log(name: str) -> Any:
    """A logger for one part."""
    return structlog.get_logger(part=name)
