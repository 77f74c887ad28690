"""The pytest plugin: a live server, a client, the inbox and the clock, for tests of whatever signs people in by text.

    def test_login(verify_client, verify_inbox):
        started = verify_client.start("+14155550123")
        code = verify_inbox.code("+14155550123")
        assert verify_client.check(id=started["id"], code=code)["approved"]

The server is the real one (`verify-service run`: Valkey, web, dispatcher, fake provider) on a free port, with a virtual
clock, started once per session. Override the fixture `verify_server_env` to give it settings of your own.
"""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import urllib3

from verify_service.embedded import free_port
from verify_service.settings import inherited

if TYPE_CHECKING:
    from verify_service.testing.replay import Replay

START_PATIENCE_S = 180.0
_READY = "Ctrl-C stops it all."


@dataclass(frozen=True)
class VerifyServer:
    """A running service. `url` has no slash at its end; `state_dir` holds its store, its keys and its log."""

    url: str
    api_key: str
    state_dir: Path
    pid: int


class VerifyProblem(Exception):
    """The service refused: `status`, and the members of its problem answer in `body`."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(f"{status} {body.get('type')}: {body.get('detail')}")
        self.status = status
        self.body = body


class VerifyClient:
    """Calls the service as a login flow does. `forget` makes it as if a number had never been seen."""

    def __init__(self, server: VerifyServer) -> None:
        self._server = server
        self._pool = urllib3.PoolManager(maxsize=16, retries=False)
        self._numbers: set[str] = set()

    def start(self, to: str, *, idempotency_key: str | None = None, **fields: Any) -> dict[str, Any]:
        """POST /start. Raises VerifyProblem for anything but 201."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        answer: dict[str, Any] = self._answer("POST", "/start", {"to": to, **fields}, headers)
        self._numbers.add(answer["to"])
        return answer

    def check(self, *, idempotency_key: str | None = None, **fields: Any) -> dict[str, Any]:
        """POST /check with `id` or `to`, and `code`. Raises VerifyProblem for anything but 200."""
        headers = {"Idempotency-Key": idempotency_key} if idempotency_key else {}
        answer: dict[str, Any] = self._answer("POST", "/check", fields, headers)
        return answer

    def status(self, verification_id: str) -> dict[str, Any]:
        """GET /verifications/{id}."""
        found: dict[str, Any] = self._answer("GET", f"/verifications/{verification_id}")
        return found

    def cancel(self, verification_id: str) -> None:
        """DELETE /verifications/{id}."""
        self._answer("DELETE", f"/verifications/{verification_id}")

    def forget(self, to: str) -> None:
        """Forgets a number's verifications, limits and consent."""
        self._answer("DELETE", f"/fake/state/{to}")

    def forget_all(self) -> None:
        """Forgets every number that this client has started."""
        while self._numbers:
            self.forget(self._numbers.pop())

    def request(
        self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None, timeout: float = 40.0
    ) -> tuple[int, dict[str, str], Any]:
        """Any call: status, headers (names in lower case) and the decoded JSON, or the text where it is no JSON."""
        sent = {"authorization": f"Bearer {self._server.api_key}"}
        data = None
        if body is not None:
            sent["content-type"] = "application/json"
            data = msgspec.json.encode(body)
        sent |= {name.lower(): value for name, value in (headers or {}).items()}
        answer = self._pool.request(method, self._server.url + path, body=data, headers=sent, timeout=timeout)
        got = {name.lower(): value for name, value in answer.headers.items()}
        text = answer.data
        return answer.status, got, msgspec.json.decode(text) if "json" in got.get("content-type", "") else text.decode()

    def close(self) -> None:
        self._pool.clear()

    def _answer(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
        status, _, answer = self.request(method, path, body, headers)
        if status >= 400:
            raise VerifyProblem(status, answer)
        return answer


class VerifyInbox:
    """What the fake provider sent, and how it is to behave."""

    def __init__(self, client: VerifyClient) -> None:
        self._client = client
        self._told: dict[str, str] = {}

    def messages(self, to: str, *, wait: float = 0.0, after: str | None = None) -> list[dict[str, Any]]:
        """Messages to a number, newest first; waits up to `wait` seconds for one newer than the message id `after`."""
        query = f"?wait={wait}" + (f"&after={after}" if after else "")
        _, _, body = self._client.request("GET", f"/fake/inbox/{to}{query}")
        found: list[dict[str, Any]] = body["messages"]
        return found

    def code(self, to: str, *, wait: float = 30.0, after: str | None = None) -> str:
        """The code in the newest message to a number. Raises AssertionError where none comes in time.

        After a first call it waits for a newer message than the one it has told of, and tells of that one again only
        where none comes in time: so the second login in a test never gets the first one's code. An answer to STOP,
        START or HELP has no code, and is passed over.
        """
        deadline = time.monotonic() + wait
        seen = after or self._told.get(to)
        found: list[dict[str, Any]] = []
        while not found and (new := self.messages(to, wait=max(0.0, deadline - time.monotonic()), after=seen)):
            seen, found = new[0]["id"], [message for message in new if message["code"]]
        found = found or [message for message in self.messages(to, after=after) if message["code"]]
        if not found:
            raise AssertionError(f"no message to {to} within {wait:g} s")
        self._told[to] = found[0]["id"]
        code: str = found[0]["code"]
        return code

    def behave(self, *rules: Mapping[str, Any]) -> None:
        """Scripts the provider: `behave({"to": "*", "do": "error", "times": 2})`; no rule: all is well again."""
        self._client._answer("PUT", "/fake/behaviour", {"rules": list(rules)})

    def text(self, sender: str, to: str, body: str) -> None:
        """A text from a phone, such as STOP."""
        self._client._answer("POST", "/fake/inbound", {"from": sender, "to": to, "body": body})

    def empty(self) -> None:
        """Forgets all messages."""
        self._client._answer("DELETE", "/fake/inbox")


class VerifyClock:
    """The service's clock, which goes on by itself and can be moved forward."""

    def __init__(self, client: VerifyClient) -> None:
        self._client = client

    def advance(self, seconds: float) -> str:
        """Moves the clock forward for every process of the service; the new time, RFC 3339."""
        now: str = self._client._answer("POST", "/fake/clock", {"advance": seconds})["now"]
        return now


def start_server(
    state_dir: Path, env: Mapping[str, str] | None = None, workers: int = 2, port: int | None = None
) -> "RunningServer":
    """Starts `verify-service run` on a port, a free one where none is given, and waits until it serves. Raises
    RuntimeError with its output."""
    return RunningServer(state_dir, env or {}, workers, port)


class RunningServer:
    """A `verify-service run` of ours; `stop` ends it as Ctrl-C would."""

    def __init__(self, state_dir: Path, env: Mapping[str, str], workers: int, port: int | None) -> None:
        state_dir.mkdir(parents=True, exist_ok=True)
        port = port or free_port()
        clean = {name: value for name, value in inherited().items() if not name.startswith("VERIFY_")}
        clean |= {"VERIFY_STATE_DIR": str(state_dir), "VERIFY_CLOCK": "virtual", **env}
        self.log = state_dir / "run.log"
        command = [sys.executable, "-m", "verify_service", "run", "--port", str(port), "--workers", str(workers)]
        with self.log.open("wb") as output:
            self.process = subprocess.Popen(
                command, env=clean, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
            )
        deadline = time.monotonic() + START_PATIENCE_S
        while _READY not in self.log.read_text("utf-8", "replace"):
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.process.kill()
                self.process.wait()
                raise RuntimeError(f"verify-service did not start:\n{self.log.read_text('utf-8', 'replace')}")
            time.sleep(0.02)
        key = env.get("VERIFY_API_KEY") or (state_dir / "api-key").read_text().strip()
        self.server = VerifyServer(f"http://127.0.0.1:{port}", key, state_dir, self.process.pid)

    def stop(self) -> int:
        """SIGTERM, and its exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(60)


@pytest.fixture(scope="session")
def verify_server_env() -> dict[str, str]:
    """Settings for the server (`VERIFY_POLICY`, `VERIFY_CONFIG`, …); override it in your conftest."""
    return {}


@pytest.fixture(scope="session")
def verify_server(
    tmp_path_factory: pytest.TempPathFactory, verify_server_env: dict[str, str]
) -> Iterator[VerifyServer]:
    """A live server on a free port, for the session."""
    running = start_server(tmp_path_factory.mktemp("verify"), verify_server_env)
    try:
        yield running.server
    finally:
        running.stop()


@pytest.fixture
def verify_client(verify_server: VerifyServer) -> Iterator[VerifyClient]:
    """A client of the server; afterwards every number that it started is forgotten."""
    client = VerifyClient(verify_server)
    yield client
    client.forget_all()
    client.close()


@pytest.fixture
def verify_inbox(verify_server: VerifyServer) -> Iterator[VerifyInbox]:
    """The inbox: empty at first, and the provider well behaved again afterwards."""
    client = VerifyClient(verify_server)
    inbox = VerifyInbox(client)
    inbox.empty()
    yield inbox
    inbox.behave()
    client.close()


@pytest.fixture
def verify_clock(verify_server: VerifyServer) -> Iterator[VerifyClock]:
    """The server's virtual clock."""
    client = VerifyClient(verify_server)
    yield VerifyClock(client)
    client.close()


@pytest.fixture
def verify_replay(
    verify_client: VerifyClient, verify_inbox: VerifyInbox, verify_clock: VerifyClock
) -> "Callable[[Path | str], Replay]":
    """Plays what `verify-service record` has written: `assert verify_replay("incident.jsonl").differences == []`."""
    from verify_service.testing.replay import Player

    return Player(verify_client, verify_inbox, verify_clock).play
