"""The canary: known codes, numbers and secrets go through a live service on every path, and then everything that it has
kept, logged or answered is searched for them."""

import base64
import json
import re
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyotp
import pytest
import redis
import urllib3

from tests.support.bench import wrong
from tests.support.commands import run
from tests.support.live import PATIENCE_S, until
from verify_service.testing import RunningServer, VerifyServer, start_server

pytestmark = pytest.mark.slow

ALICE, BOB, CAROL = "+14155550123", "+447400123456", "+14155550199"
IP, DEVICE, PAYEE = "203.0.113.77", "alices-own-phone", "the-payee-of-alice"
USER, LABEL, IMPORTED = (
    "alice-the-user",
    "alices-own-app",
    base64.b32encode(b"a secret of an old one").decode().strip("="),
)
HOOK_SECRET = "whsec_" + base64.b64encode(b"a canary of thirty-two bytes ...").decode()
# Eight digits: that many stand by themselves in no timestamp, so a find is a find.
POLICY = '[code]\ndigits = 8\ncheck_by_number = true\n[[limit]]\nname = "number"\nof = ["number"]\nallow = "20/hour"\n'


class Hook(BaseHTTPRequestHandler):
    """A vendor that says back all that it was told, as an error, or hangs up."""

    told: list[bytes]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.told.append(body)
        if len(self.told) % 3:
            self.send_response(500 if len(self.told) % 3 == 1 else 503, body.decode())
            self.end_headers()
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@dataclass
class Canary:
    """A live service, every answer it gave, every command its store was given, and every code it sent."""

    running: RunningServer
    wire: list[bytes]
    codes: set[str] = field(default_factory=set)
    answers: list[bytes] = field(default_factory=list)
    secrets: list[bytes] = field(default_factory=lambda: [IMPORTED.encode(), b"a secret of an old one"])
    token: bytes = b""
    http: urllib3.PoolManager = field(default_factory=lambda: urllib3.PoolManager(retries=False))

    @property
    def server(self) -> VerifyServer:
        return self.running.server

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Any call; the answer is kept, head and all, without the `to` (`from`, `body`) that the caller had sent."""
        sent = {"authorization": f"Bearer {self.server.api_key}", "content-type": "application/json", **headers}
        data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        answer = self.http.request(method, self.server.url + path, body=data, headers=sent, timeout=PATIENCE_S)
        assert answer.status < 500, f"{method} {path.partition('?')[0]}"
        kept = re.sub(rb'"(to|from)":"\+[0-9]+"|"(body|user|label)":"[^"]*"', b"", answer.data)
        self.answers.append(repr(dict(answer.headers)).encode() + kept)
        is_json = "json" in answer.headers.get("content-type", "")
        return answer.status, json.loads(answer.data) if is_json else answer.data

    def start(self, to: str, **fields: Any) -> dict[str, Any]:
        status, started = self.ask("POST", "/start", {"to": to, **fields})
        assert status == 201, started
        return dict(started)

    def code(self, to: str, verification: str) -> str:
        """The code that arrived for the verification; an inbox is where it may be read, so its answer is not kept."""
        headers = {"authorization": f"Bearer {self.server.api_key}"}
        seen: str | None = None
        while True:
            query = f"?wait=30&after={seen}" if seen else "?wait=30"
            answer = self.http.request(
                "GET", f"{self.server.url}/fake/inbox/{to}{query}", headers=headers, timeout=PATIENCE_S
            )
            messages = answer.json()["messages"]
            assert messages, f"no message to {to}"
            found = [message["code"] for message in messages if message["verification_id"] == verification]
            if found:
                self.codes.update(found)
                return str(found[0])
            seen = messages[0]["id"]

    def told_once(self, path: str, body: Any) -> Any:
        """The answer to a call that tells its caller secrets, which is not kept."""
        sent = {"authorization": f"Bearer {self.server.api_key}", "content-type": "application/json"}
        data = json.dumps(body).encode()
        answer = self.http.request("POST", self.server.url + path, body=data, headers=sent, timeout=PATIENCE_S)
        assert answer.status in (200, 201), answer.data
        return answer.json()

    def settled(self, verification: str) -> None:
        """Waits until the timeline says what became of the message."""

        def events() -> set[str]:
            return {line["event"] for line in self.ask("GET", f"/verifications/{verification}")[1]["timeline"]}

        until(lambda: events() & {"sent", "failed"}, "the message to end")


@pytest.fixture(scope="module")
def canary(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Canary]:
    """A service after a life full of mishaps."""
    folder = tmp_path_factory.mktemp("canary")
    Hook.told = []
    vendor = ThreadingHTTPServer(("127.0.0.1", 0), Hook)
    threading.Thread(target=vendor.serve_forever, daemon=True).start()
    (folder / "policy.toml").write_text(POLICY)
    (folder / "verify.toml").write_text(
        "allow_fake = true\n[providers.fake-a]\nkind = 'fake'\n"
        "[tenants.default]\nreturn_urls = ['https://app.example.com/back']\n"
        f"[providers.hook]\nkind = 'webhook'\nurl = 'http://127.0.0.1:{vendor.server_port}/sms'\n"
        "secret = 'env:HOOK_SECRET'\ntimeout = '1 second'\n"
        "[[routes]]\nvia = [{ provider = 'hook' }, { provider = 'fake-a', weight = 0 }]\n"
    )
    env = {"VERIFY_POLICY": str(folder / "policy.toml"), "VERIFY_CONFIG": str(folder / "verify.toml")}
    running = start_server(folder / "state", {**env, "HOOK_SECRET": HOOK_SECRET})
    try:
        url = (running.server.state_dir / "store-url").read_text().strip()
        with redis.Redis.from_url(url, protocol=2) as client:
            made = Canary(running, [])
            monitor = client.connection_pool.get_connection()
            monitor.send_command("MONITOR")
            listener = threading.Thread(target=_listen, args=(monitor, made.wire), daemon=True)
            listener.start()
            _live(made)
            client.echo("the end")
            listener.join(PATIENCE_S)
            assert not listener.is_alive()
            monitor.disconnect()
        assert any(code.encode() in body for code in made.codes for body in Hook.told)
        yield made
    finally:
        running.stop()
        vendor.shutdown()
        vendor.server_close()


def _listen(monitor: Any, wire: list[bytes]) -> None:
    """Everything that the store is told, until it is told the end."""
    while not wire or b"the end" not in wire[-1]:
        wire.append(monitor.read_response())


def _live(canary: Canary) -> None:
    """Starts, resends, wrong and right checks, failures of vendors, and nonsense."""
    ask = canary.ask
    first = canary.start(ALICE, ip=IP, device=DEVICE, binding={"payee": PAYEE})
    code = canary.code(ALICE, first["id"])
    bound = {"binding": {"payee": PAYEE}, "ip": IP}
    ask("POST", "/start", {"to": ALICE})
    ask("POST", "/start", {"to": ALICE, "ip": IP, "binding": {"payee": PAYEE}}, **{"idempotency-key": "once"})
    ask("POST", "/fake/clock", {"advance": 121})
    again = canary.start(ALICE, ip=IP, binding={"payee": PAYEE})
    canary.code(ALICE, again["id"])
    for one in (first, again):
        ask("POST", "/check", {"id": one["id"], "code": wrong(code), **bound})
    ask("POST", "/check", {"to": ALICE, "code": wrong(code), **bound}, **{"idempotency-key": "try"})
    for answered in (
        {"id": again["id"], "code": canary.code(ALICE, again["id"]), **bound, "receipt": True},
        {"to": ALICE, "code": code},
    ):
        ask("POST", "/check", answered, **{"idempotency-key": f"by-{next(iter(answered))}"})
    assert any(b'"receipt":"' in answer for answer in canary.answers)
    ask("GET", "/.well-known/jwks.json")
    ask("GET", f"/verifications/{first['id']}")

    exhausted = canary.start("07400 123456", region="GB", purpose="payment")
    code = canary.code(BOB, exhausted["id"])
    for _ in range(6):
        ask("POST", "/check", {"to": BOB, "purpose": "payment", "code": wrong(code)})
    ask("POST", "/check", {"id": exhausted["id"], "code": code})
    canceled = canary.start(BOB, purpose="login")
    canary.code(BOB, canceled["id"])
    ask("DELETE", f"/verifications/{canceled['id']}")

    hosted = canary.start(
        BOB, purpose="page", ip=IP, device=DEVICE, page={"return_url": "https://app.example.com/back"}
    )
    code, path = canary.code(BOB, hosted["id"]), urlsplit(hosted["page"]).path
    canary.token = path.rpartition("/")[2].encode()
    ask("GET", path)
    for typed in (wrong(code), code):
        led, _ = ask("POST", path, f"code={typed}".encode(), **{"content-type": "application/x-www-form-urlencoded"})
        assert led == 303
    ask("GET", path)

    _factors(canary)
    for deed in ("reject", "error", "timeout", "slow", "duplicate", "lose"):
        rule = {"to": CAROL, "do": deed, "times": 1, "delay_ms": 10, "receipt": "late"}
        ask("PUT", "/fake/behaviour", {"rules": [rule]})
        found = canary.start(CAROL, purpose=deed)
        if deed not in ("reject", "lose"):
            canary.code(CAROL, found["id"])
        canary.settled(found["id"])
    ask("POST", "/fake/inbound", {"from": CAROL, "to": "+14155550100", "body": f"STOP {CAROL}"})
    ask("POST", "/fake/inbound", {"from": CAROL, "to": "+14155550100", "body": "STOP"})
    ask("POST", "/start", {"to": CAROL})
    ask("GET", f"/consents/{CAROL}")
    ask("PUT", f"/consents/{CAROL}", {"state": "out", "source": "call-centre", "note": "asked by phone"})
    ask("DELETE", f"/consents/{CAROL}")
    _nonsense(ask, code)


def _factors(canary: Canary) -> None:
    """An app is enrolled and used, recovery codes are spent and renewed, a user comes from a file and goes again."""
    ask, user = canary.ask, f"/users/{USER}"
    made = canary.told_once(f"{user}/factors", {"kind": "totp", "label": LABEL, "digits": 8})
    raw = pyotp.TOTP(made["secret"]).byte_secret()
    canary.secrets += [made["secret"].encode(), raw, raw.hex().encode(), base64.b64encode(raw)]
    app = pyotp.parse_uri(made["uri"])
    assert isinstance(app, pyotp.TOTP)
    code = app.at(datetime.fromisoformat(made["created_at"]))
    first = canary.told_once(f"{user}/factors/{made['id']}/verify", {"code": code})
    renewed = canary.told_once(f"{user}/recovery-codes", {})
    for recovery in (*first["recovery_codes"], *renewed["recovery_codes"]):
        canary.secrets += [recovery.encode(), recovery.replace("-", "").encode()]
    canary.codes.add(code)
    for typed in (code, wrong(code), renewed["recovery_codes"][0], first["recovery_codes"][0], made["secret"], "1"):
        ask("POST", f"{user}/check", {"code": typed, "binding": {"payee": PAYEE}, "receipt": True})
    ask("POST", f"{user}/check", {"code": code, "factor": made["secret"]}, **{"idempotency-key": "factor"})
    ask("POST", f"{user}/factors", {"kind": "totp", "secret": made["secret"]})
    ask("GET", user)
    lines = (
        {"user": USER, "uri": f"otpauth://totp/{LABEL}?secret={IMPORTED}"},
        {"user": USER, "uri": f"otpauth://totp/{LABEL}?secret={IMPORTED}1"},
    )
    state = canary.server.state_dir
    file = state.parent / "users.jsonl"
    file.write_text("\n".join(map(json.dumps, lines)))
    done = run("factors", "import", str(file), env={"VERIFY_STATE_DIR": str(state), "VERIFY_CLOCK": "virtual"})
    assert done.returncode == 2, done.stderr
    canary.answers.append((done.stdout + done.stderr).encode())
    ask("DELETE", f"{user}/factors/{made['id']}")


def _nonsense(ask: Callable[..., tuple[int, Any]], code: str) -> None:
    """What clients send by mistake, with a number or a code in it."""
    for to in (ALICE[1:], f"{ALICE}0000000", f"tel:{ALICE}", int(ALICE), [ALICE], {"number": ALICE}, f"{ALICE}\0"):
        ask("POST", "/start", {"to": to})
    ask("POST", "/start", {"to": ALICE, "phone": BOB, "code": code})
    ask("POST", "/start", {"to": ALICE, "purpose": BOB, "channel": BOB, "region": BOB, "ip": BOB, "locale": BOB})
    ask("POST", "/start", {"to": ALICE, "ip": BOB})
    ask("POST", "/start", b'{"to": "' + ALICE.encode())
    ask("POST", "/start", ALICE.encode() * 4000)
    ask("POST", "/start", {"to": ALICE}, **{"content-type": "text/plain"})
    ask("POST", "/start", {"to": ALICE}, authorization=f"Bearer {ALICE}")
    ask("POST", "/check", {"id": ALICE, "code": code})
    ask("POST", "/check", {"id": code, "code": int(code)})
    ask("POST", "/check", {"to": ALICE, "code": f"{code}{code}"})
    for path in (
        f"/verifications/{ALICE}",
        f"/start/{ALICE}?code={code}",
        f"/problems/{ALICE}",
        f"/fake/inbox/{ALICE}0000?wait={code}",
        f"/consents/{ALICE}0000",
        f"/providers/fake-a/receipts?to={ALICE}&code={code}",
        f"/providers/{code}/inbound?from={ALICE}",
    ):
        for method in ("GET", "DELETE", "PUT"):
            ask(method, path)


def secrets_of(canary: Canary) -> dict[str, list[bytes]]:
    """What is to be found nowhere, by what it is."""
    numbers = [b"4155550123", b"(415) 555-0123", b"415-555-0123", b"7400123456", b"7400 123456", b"4155550199"]
    folder = canary.server.state_dir
    rings = (folder / name for name in ("keys", "signing-keys"))
    keys = [entry.split(":")[-1] for ring in rings for entry in ring.read_text().strip().split(",")]
    keys.append((folder / "tag-key").read_text().strip())
    return {
        "number": numbers,
        "address, device or binding": [IP.encode(), DEVICE.encode(), PAYEE.encode()],
        "key": [
            form for key in keys for form in (key.encode(), base64.b64decode(key), base64.b64decode(key).hex().encode())
        ],
        "user's name": [USER.encode(), LABEL.encode()],
        "factor's secret or recovery code": canary.secrets,
        "API key": [canary.server.api_key.encode()],
        "provider's secret": [HOOK_SECRET.encode(), HOOK_SECRET.removeprefix("whsec_").encode()],
    }


def assert_clean(canary: Canary, text: bytes, where: str) -> None:
    """Raises AssertionError, without the find, where a code or a secret is in the text."""
    for what, forms in secrets_of(canary).items():
        for form in forms:
            at = text.find(form)
            assert at < 0, f"a {what} is in {where}, after {text[max(0, at - 80) : at]!r}"
    assert len(canary.codes) >= 8
    for code in canary.codes:
        hit = re.search(rb"(?<![0-9])" + code.encode() + rb"(?![0-9])", text)
        assert hit is None, f"a code is in {where}, after {text[max(0, hit.start() - 80) : hit.start()]!r}"


def test_the_store_keeps_neither_codes_nor_numbers_nor_secrets(canary: Canary) -> None:
    """Every key and every value of every type, the streams and the fake provider's inbox among them."""
    url = (canary.server.state_dir / "store-url").read_text().strip()
    with redis.Redis.from_url(url, protocol=2) as client:
        kinds = {key: client.type(key).decode() for key in client.scan_iter(count=1000)}
        assert set(kinds.values()) == {"string", "hash", "list", "stream"}
        for key, kind in kinds.items():
            assert_clean(canary, key + b" " + repr(_value(client, key, kind)).encode(), f"the {kind} {key!r}")
            assert_clean(canary, client.dump(key) or b"", f"the {kind} {key!r}")


def _value(client: redis.Redis, key: bytes, kind: str) -> object:
    readers: dict[str, Callable[[], object]] = {
        "string": lambda: client.get(key),
        "hash": lambda: client.hgetall(key),
        "list": lambda: client.lrange(key, 0, -1),
        "stream": lambda: client.xrange(key),
    }
    return readers[kind]()


def test_the_store_is_told_neither_codes_nor_numbers_nor_secrets(canary: Canary) -> None:
    """Not even for a moment: no command that it was given, and none that its scripts gave, has one among its words."""
    assert len(canary.wire) > 300
    assert_clean(canary, b"\n".join(canary.wire), "the commands")


def test_logs_and_the_append_only_file_have_neither_codes_nor_numbers_nor_secrets(canary: Canary) -> None:
    """The service's own log, the store's log and the bytes of its append-only file."""
    files = [canary.running.log, *(path for path in (canary.server.state_dir / "valkey").rglob("*") if path.is_file())]
    assert {"run.log", "valkey.log"} <= {path.name for path in files}
    assert any(".aof" in path.name for path in files)
    assert b"a try failed" in canary.running.log.read_bytes()
    for path in files:
        assert_clean(canary, path.read_bytes(), path.name)


def test_neither_the_store_nor_a_log_has_the_address_of_a_page(canary: Canary) -> None:
    """It is a key for as long as the verification lives."""
    files = [canary.running.log, *(path for path in (canary.server.state_dir / "valkey").rglob("*") if path.is_file())]
    assert len(canary.token) > 100
    for text in (*canary.wire, *(path.read_bytes() for path in files)):
        assert canary.token not in text


def test_answers_have_no_number_but_the_callers_own(canary: Canary) -> None:
    """Every answer, head and body, but the inbox; a number is only in the `to` of who sent it, a code nowhere."""
    assert len(canary.answers) > 60
    for answer in canary.answers:
        assert_clean(canary, answer, "an answer")


def test_metrics_and_exported_events_have_neither_codes_nor_numbers(canary: Canary, tmp_path: Path) -> None:
    """Events carry the number's range and pseudonyms, metrics not even these."""
    status, metrics = canary.ask("GET", "/metrics")
    assert (status, b"verify_starts_total" in metrics) == (200, True)
    assert b"415555" not in metrics
    assert_clean(canary, metrics, "the metrics")
    state = {"VERIFY_STATE_DIR": str(canary.server.state_dir)}
    done = run("events", "export", "--since", "7d", env=state, cwd=tmp_path)
    assert done.returncode == 0
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert {event["range"] for event in events if event["event"] == "start"} == {ALICE[:-3], BOB[:-3]}
    assert {"start", "sent", "wrong", "approved", "canceled", "failed"} <= {event["event"] for event in events}
    assert_clean(canary, (done.stdout + done.stderr).encode(), "the export")
