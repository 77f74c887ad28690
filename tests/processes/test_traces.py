"""Traces, as a real OTLP receiver gets them from the two roles: one from the caller's span to the receipt."""

import base64
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import urllib3
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.dispatching import Post, environment
from tests.support.live import PATIENCE_S, until
from tests.support.vendor import Vendor, vendor_at_work
from verify_service import settings, tracing
from verify_service.embedded import free_port
from verify_service.errors import ConfigError
from verify_service.signing import Signer

KEY = "vk_default_0123456789"
SECRET = "whsec_" + base64.b64encode(b"0" * 32).decode()
TO = "+14155550129"
PARENT = "00f067aa0ba902b7"
TRACED, UNSAMPLED, STRANGER = ("a" * 32, "b" * 32, "c" * 32)


def traceparent(trace: str, flags: str = "01") -> dict[str, str]:
    return {"traceparent": f"00-{trace}-{PARENT}-{flags}", "tracestate": "vendor=words"}


@dataclass
class Roles:
    """A web role and a dispatcher whose traces go to `collector`."""

    url: str
    vendor: Vendor
    collector: Vendor
    folder: Path
    running: list["subprocess.Popen[bytes]"] = field(default_factory=list)

    def ask(self, path: str, body: Any = None, headers: dict[str, str] | None = None, key: str = KEY) -> Any:
        sent = {"Authorization": f"Bearer {key}", "Content-Type": "application/json", **(headers or {})}
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return urllib3.request("POST", self.url + path, body=data, headers=sent, retries=False, timeout=PATIENCE_S)

    def stop(self) -> None:
        for role in self.running:
            role.terminate()
        assert [role.wait(PATIENCE_S) for role in self.running] == [0, 0]

    def said(self, role: str) -> list[dict[str, Any]]:
        lines = (self.folder / f"{role}.log").read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    def spans(self) -> list[tuple[str, Any]]:
        """Each with the service that it is of, in the order in which they began."""
        found = []
        for _, body in self.collector.requests:
            for of_role in ExportTraceServiceRequest.FromString(body).resource_spans:
                service = {each.key: each.value.string_value for each in of_role.resource.attributes}["service.name"]
                found += [(service, span) for scope in of_role.scope_spans for span in scope.spans]
        return sorted(found, key=lambda pair: pair[1].start_time_unix_nano)


@contextmanager
def roles(post: Post, **otel: str) -> Iterator[Roles]:
    toml, port = post.folder / "verify.toml", free_port()
    with vendor_at_work() as vendor, vendor_at_work() as collector:
        toml.write_text(f'[providers.hook]\nkind = "webhook"\nurl = "{vendor.url}"\nsecret = "env:HOOK_SECRET"\n')
        env = environment(post) | {"VERIFY_API_KEY": KEY, "VERIFY_CONFIG": str(toml), "HOOK_SECRET": SECRET}
        env |= {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url.removesuffix("/sms")}
        env |= dict.fromkeys(("NO_PROXY", "no_proxy"), "127.0.0.1")
        made = Roles(f"http://127.0.0.1:{port}", vendor, collector, post.folder)
        try:
            for name, *words in (["web", "--port", str(port), "--workers", "1", "--access-log"], ["dispatch"]):
                with (post.folder / f"{name}.log").open("wb") as log:
                    argv = [sys.executable, "-m", "verify_service", name, *words]
                    made.running.append(subprocess.Popen(argv, env=env | otel, stderr=log))
            until(lambda: "dispatching" in (post.folder / "dispatch.log").read_text(), "the dispatcher")
            until(lambda: "started" in (post.folder / "web.log").read_text() and up(made.url), "the web role")
            yield made
        finally:
            for role in made.running:
                role.kill()
                role.wait()


def up(url: str) -> bool:
    try:
        return urllib3.request("GET", f"{url}/readyz", retries=False, timeout=PATIENCE_S).status == 200
    except urllib3.exceptions.HTTPError:
        return False


def attributes(span: Any) -> dict[str, str | int]:
    return {each.key: each.value.string_value or each.value.int_value for each in span.attributes}


@pytest.mark.slow
def test_a_start_is_one_trace_from_the_caller_to_the_receipt(post: Post) -> None:
    """By the caller's `traceparent`: the request, the script, a try that fails, the one that is taken, the receipt;
    each under what it follows from, exported when the roles end at the latest. The lines of both logs name the trace.
    A caller who does not sample is not exported, and a stranger's trace is not taken up. No number, no code and none
    of the caller's further words is in what is exported."""
    with roles(post, OTEL_BSP_SCHEDULE_DELAY="60000") as live:
        live.vendor.answer = iter([(503, {}, b""), (200, {}, b'{"id": "m1"}'), (200, {}, b"{}")]).__next__
        started = live.ask("/start", {"to": TO}, traceparent(TRACED))
        assert started.status == 201
        until(lambda: post.bench.store.link.command(0, ["KEYS", "vs:{0}:delivery:*"]), "what was sent to be known")
        told = json.dumps([{"id": "m1", "status": "delivered"}]).encode()
        signed = Signer(SECRET).headers("r1", told) | traceparent(STRANGER)
        assert live.ask("/providers/hook/receipts", told, signed).status == 200
        assert live.ask("/start", {"to": "+14155550130"}, traceparent(UNSAMPLED, "00")).status == 201
        assert live.ask("/start", {"to": TO}, traceparent(STRANGER), key="vk_default_a-wrong-one").status == 401
        assert live.ask("/start", {"to": TO}, {"traceparent": f"00-{STRANGER}-{PARENT}-01-more"}).status == 429
        until(lambda: len(live.vendor.requests) == 3, "the message that is not sampled")
        live.stop()
        spans = live.spans()
    id = json.loads(started.data)["id"]
    ours = [(service, span) for service, span in spans if span.trace_id.hex() == TRACED]
    request, sent = ours[0][1], ours[3][1]
    told_of = {"verify.verification": id, "verify.provider": "hook"}
    assert [(service, span.name, attributes(span)) for service, span in ours] == [
        (
            "verify-web",
            "POST /start",
            {
                "http.request.method": "POST",
                "http.route": "/start",
                "http.response.status_code": 201,
                "verify.tenant": "default",
                "verify.verification": id,
                "verify.outcome": "started",
            },
        ),
        ("verify-web", "FCALL start", {"db.system.name": "redis", "verify.calls": 1}),
        ("verify-dispatch", "send hook", {**told_of, "verify.channel": "sms", "error.type": "unavailable"}),
        ("verify-dispatch", "send hook", {**told_of, "verify.channel": "sms"}),
        ("verify-web", "receipt", {**told_of, "verify.receipt": "delivered"}),
    ]
    parents = [span.parent_span_id.hex() for _, span in ours]
    assert parents == [PARENT, *[request.span_id.hex()] * 3, sent.span_id.hex()]
    assert [span.status.code for _, span in ours] == [0, 0, 2, 0, 0]
    refused = [
        (span.name, attributes(span).get("verify.problem")) for _, span in spans if span.trace_id.hex() != TRACED
    ]
    assert refused == [("POST /start", "rate-limited"), ("FCALL start", None)]
    traces = {span.trace_id.hex() for _, span in spans}
    assert traces & {UNSAMPLED, STRANGER} == set()
    exported = b"".join(body for _, body in live.collector.requests)
    codes = re.findall(r"\b\d{6}\b", " ".join(json.loads(body)["body"] for _, body in live.vendor.requests))
    assert len(codes) == 3
    for word in (TO, TO[1:], KEY, "words", *codes):
        assert word.encode() not in exported
    access = [line.get("trace_id") for line in live.said("web") if line.get("route") == "/start"]
    assert access[:2] == [TRACED, UNSAMPLED]
    assert access[2] is None
    assert access[3] in traces - {TRACED}
    assert {line.get("trace_id") for line in live.said("dispatch") if line["event"] == "a try failed"} == {TRACED}


@pytest.mark.parametrize(
    "header",
    [
        *("", "00", f"00-{TRACED}-{PARENT}", f"00-{TRACED}-{PARENT}-01-more", f"00-{TRACED}-{PARENT}-01\n"),
        *(f"ff-{TRACED}-{PARENT}-01", f"00-{'0' * 32}-{PARENT}-01", f"00-{TRACED}-{'0' * 16}-01"),
        *(f"00-{TRACED.upper()}-{PARENT}-01", f"00-{TRACED}-{PARENT}-0g", f"01-{TRACED}-{PARENT}-01-{'x' * 300}"),
        f"00-{TRACED}-{PARENT}-01, 00-{UNSAMPLED}-{PARENT}-01",
    ],
)
def test_what_is_no_traceparent_is_none(header: str) -> None:
    """By the form of W3C Trace Context, to the letter: two of them, or a long one, are none."""
    assert tracing.parsed(header) is None


def test_a_traceparent_of_a_later_version_is_read_by_what_is_known() -> None:
    """With more behind its flags; of version 00 there is no more."""
    assert tracing.parsed(f"00-{TRACED}-{PARENT}-01") == (int(TRACED, 16), int(PARENT, 16), 1)
    assert tracing.parsed(f"01-{TRACED}-{PARENT}-03-more") == (int(TRACED, 16), int(PARENT, 16), 3)


def test_who_samples_by_a_ratio_of_its_own_does_not_heed_the_callers(monkeypatch: pytest.MonkeyPatch) -> None:
    """`OTEL_TRACES_SAMPLER=traceidratio`: a caller's flag makes nothing exported, and nothing is handed on; the log has
    the trace all the same. What is shut is shut within two seconds, though no collector is there."""
    for name in ("_tracer", "_provider"):
        monkeypatch.setattr(tracing, name, None)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    tracing.configure("web")
    request = tracing.Request()
    tracing.begin("POST", "/start", f"00-{TRACED}-{PARENT}-01", 0.0)
    assert (tracing.is_recorded(), tracing.traceparent(), tracing.trace_id()) == (False, "", TRACED)
    with tracing.span("inside"):
        assert tracing.trace_id() == TRACED
    request.end(201)
    request.leave()
    assert tracing.trace_id() == ""
    tracing.close()


def test_traces_are_off_unless_they_are_switched_on_and_say_what_they_cannot_do() -> None:
    """An address of a collector alone switches nothing on; another exporter or protocol stops the start."""
    assert settings.traces({}) is False
    assert settings.traces({"OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector:4318"}) is False
    assert settings.traces({"OTEL_TRACES_EXPORTER": "otlp"}) is True
    assert settings.traces({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "true"}) is False
    with pytest.raises(ConfigError, match=r"OTEL_TRACES_EXPORTER is 'zipkin'; it can be otlp or none"):
        settings.traces({"OTEL_TRACES_EXPORTER": "zipkin"})
    with pytest.raises(ConfigError, match=r"OTEL_EXPORTER_OTLP_PROTOCOL is 'grpc'; .* http/protobuf alone"):
        settings.traces({"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"})


@pytest.mark.slow
def test_the_roles_need_nothing_of_opentelemetry() -> None:
    """Where the extra is not installed, both can be imported, and say what is missing where traces are asked for."""
    program = (
        "import sys\nsys.modules['opentelemetry'] = None\n"
        "import verify_service.app, verify_service.dispatching, verify_service.serve\n"
        "verify_service.tracing.judge()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.stderr.splitlines()[-1] == (
        "verify_service.errors.ConfigError: OTEL_TRACES_EXPORTER is otlp, which needs the extra `otel`: "
        "pip install verify-service[otel]"
    )
