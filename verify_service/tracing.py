"""Traces by OpenTelemetry, where they are switched on: what one start does in both roles, in one trace.

OpenTelemetry is imported by `configure`, and by nothing before: where that was not called, all that is here returns at
once. A trace has names of ours, ids of verifications and outcomes; no number, no code and no word of a caller's or a
vendor's. The one text of a stranger's that it takes is `traceparent` (W3C Trace Context, level 1), and that by its
form alone: two numbers and a flag. `tracestate` and baggage are not read.
"""

import re
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar, Token
from typing import Any, Literal

from verify_service import __version__
from verify_service.errors import ConfigError

CLOSE_S = 2.0
"""What is not exported by then, when a role ends, is lost: nothing waits longer for a collector that is away."""
Kind = Literal["SERVER", "CLIENT", "CONSUMER"]

# Version 00 has nothing behind its flags; a later one may, behind a dash.
_TRACEPARENT = re.compile(
    "(?:00(?=.{53}$)|(?!00|ff)[0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(?:-.{0,200})?"
)
_off: AbstractContextManager[None] = nullcontext()
_tracer: Any = None
_provider: Any = None
_here: ContextVar[Any] = ContextVar("span", default=None)


def judge() -> None:
    """Raises ConfigError where the libraries of the extra are missing."""
    try:
        import opentelemetry.exporter.otlp.proto.http
        import opentelemetry.sdk  # noqa: F401
    except ImportError:
        words = "OTEL_TRACES_EXPORTER is otlp, which needs the extra `otel`: pip install verify-service[otel]"
        raise ConfigError(words) from None


def configure(role: str) -> None:
    """Switches traces on in this process. Where to and how many, its SDK reads from the `OTEL_*` variables; a role that
    they do not name is called `verify-web` or `verify-dispatch`."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    global _tracer, _provider
    named = OTELResourceDetector().detect().attributes.get("service.name", f"verify-{role}")
    resource = Resource.create({"service.name": named, "service.version": __version__})
    _provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    _provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    _tracer = _provider.get_tracer("verify_service", __version__)


def close() -> None:
    """Exports what is left, within `CLOSE_S`."""
    if _provider is not None:
        last = threading.Thread(target=_provider.shutdown, name="traces", daemon=True)
        last.start()
        last.join(CLOSE_S)


def is_on() -> bool:
    return _tracer is not None


def is_recorded() -> bool:
    """Whether this thread works on something whose trace is exported."""
    here = _here.get()
    return here is not None and here.is_recording()


def trace_id() -> str:
    """The trace that this thread works on, whether or not it is exported; '' where there is none."""
    here = _here.get()
    return "" if here is None else f"{here.get_span_context().trace_id:032x}"


def traceparent() -> str:
    """What hands the span on to whoever goes on with its work; '' where nothing is recorded."""
    if not is_recorded():
        return ""
    context = _here.get().get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def note(**attributes: str | int) -> None:
    """Writes onto the span that this thread works in, where there is one; `_` stands for `.` in the names."""
    if is_recorded():
        _here.get().set_attributes(_named(attributes))


def fail(kind: str) -> None:
    """Says that the span has failed, and by what kind of error."""
    if is_recorded():
        note(error_type=kind)
        _fail(_here.get())


def span(name: str, kind: Kind = "CLIENT", **attributes: str | int) -> AbstractContextManager[None]:
    """A span within the one that this thread works in; none where nothing is recorded."""
    return _working(_started(name, kind, None, attributes)) if is_recorded() else _off


def continued(
    name: str, header: str, kind: Kind = "CLIENT", since: int | None = None, **attributes: str | int
) -> AbstractContextManager[None]:
    """A span that goes on with what `traceparent` handed on, '' where that was nothing; `since`, in nanoseconds of the
    epoch, where it has begun before."""
    if _tracer is None or not header:
        return _off
    return _working(_started(name, kind, header, attributes, since))


class Request:
    """What a request does, in the thread that does it: `begin` may be called within, once it is known who calls."""

    def __init__(self) -> None:
        self._token: Token[Any] = _here.set(None)

    def end(self, status: int) -> None:
        """`status` is what was answered; a request that is not ended is not exported."""
        if (here := _here.get()) is not None:
            here.set_attributes({"http.response.status_code": status})
            if status >= 500:
                _fail(here)
            here.end()

    def leave(self) -> None:
        _here.reset(self._token)


def begin(method: str, route: str, header: str, began: float, **attributes: str | int) -> None:
    """Begins the span of a request, of the caller's trace where `header` is a traceparent; `began` is when its head
    came, in seconds of the monotonic clock."""
    since = time.time_ns() - int(1e9 * (time.monotonic() - began))
    said = {"http.request.method": method, "http.route": route, **_named(attributes)}
    _here.set(_started(f"{method} {route}", "SERVER", header, said, since))


def parsed(header: str) -> tuple[int, int, int] | None:
    """The trace, the span and the flags of a traceparent; None of anything else."""
    found = _TRACEPARENT.fullmatch(header) if len(header) < 300 else None
    if found is None:
        return None
    trace, parent, flags = (int(part, 16) for part in found.groups())
    return trace, parent, flags


def _named(attributes: Mapping[str, str | int]) -> dict[str, str | int]:
    return {name.replace("_", "."): value for name, value in attributes.items()}


def _started(
    name: str, kind: Kind, header: str | None, attributes: Mapping[str, str | int], since: int | None = None
) -> Any:
    """`header` is None where it goes on in this thread; one that is no traceparent begins a trace."""
    from opentelemetry import trace
    from opentelemetry.context import Context

    context = trace.set_span_in_context(_here.get()) if header is None else Context()
    if header is not None and (told := parsed(header)):
        remote = trace.SpanContext(told[0], told[1], is_remote=True, trace_flags=trace.TraceFlags(told[2] & 1))
        context = trace.set_span_in_context(trace.NonRecordingSpan(remote), context)
    return _tracer.start_span(
        name, context, trace.SpanKind[kind], _named(attributes), start_time=since, record_exception=False
    )


@contextmanager
def _working(started: Any) -> Iterator[None]:
    token = _here.set(started)
    try:
        yield
    except BaseException:
        _fail(started)
        raise
    finally:
        _here.reset(token)
        started.end()


def _fail(span: Any) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_status(Status(StatusCode.ERROR))
