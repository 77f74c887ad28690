"""The web role by itself, with one worker of sixteen threads, and the bytes of requests and answers."""

import json
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.dispatching import Post, environment
from tests.support.live import PATIENCE_S, until
from verify_service.embedded import free_port

KEY = "vk_default_0123456789"
TOML = """
[providers.told]
kind = "twilio"
account = "AC00000000000000000000000000000000"
auth_token = "env:TOLD_TOKEN"
"""
AUTHORIZED = f"Authorization: Bearer {KEY}"
JSON = "Content-Type: application/json"
BODY = b'{"to": "+14155550129"}'


@dataclass
class Web:
    """A web role: its process, port and log."""

    process: "subprocess.Popen[bytes]"
    port: int
    log: Path
    valkey: int

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S)

    def ask(self, data: bytes) -> tuple[int, dict[str, str], bytes]:
        with self.connect() as connection:
            connection.sendall(data)
            return answer(connection)

    def healthz(self) -> int:
        return self.ask(request("GET /healthz"))[0]

    def said(self, words: str) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if words in line]


def request(line: str, *headers: str, body: bytes = b"") -> bytes:
    return "\r\n".join((f"{line} HTTP/1.1", "Host: localhost", *headers, "", "")).encode() + body


def answer(connection: socket.socket) -> tuple[int, dict[str, str], bytes]:
    """The status, headers and body of the next answer; (0, {}, b"") where the connection ended."""
    got = b""
    while b"\r\n\r\n" not in got:
        more = connection.recv(65_536)
        if not more:
            return 0, {}, b""
        got += more
    head, _, body = got.partition(b"\r\n\r\n")
    first, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        body += connection.recv(65_536)
    return int(first.split()[1]), headers, body


@contextmanager
def web_role(post: Post, *options: str, files: int | None = None) -> Iterator[Web]:
    toml, log, port = post.folder / "verify.toml", post.folder / "web.log", free_port()
    toml.write_text(TOML)
    env = environment(post) | {"VERIFY_API_KEY": KEY, "VERIFY_CONFIG": str(toml), "TOLD_TOKEN": "a-token"}
    argv = [sys.executable, "-m", "verify_service", "web", "--workers", "1", "--port", str(port), *options]

    def few_files() -> None:
        if files is not None:
            resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

    with log.open("wb") as output, ExitStack() as stack:
        process = subprocess.Popen(argv, env=env, stderr=output, preexec_fn=few_files)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        role = Web(process, port, log, post.server.pid)

        def up() -> bool:
            try:
                return role.healthz() == 200
            except OSError:
                assert process.poll() is None, log.read_text()
                return False

        until(up, "the web role")
        yield role
