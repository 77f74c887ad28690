"""A small OpenID provider of the tests' own: a real HTTP server that signs with joserfc, and lies as a test says."""

import hashlib
import threading
import time
from base64 import b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote_plus, urlsplit

import msgspec
from joserfc import jws
from joserfc.jwk import ECKey, Key

CLIENT, SECRET = "console", "s e+c:r/et"
SUBJECT, EMAIL = "user-17", "Ada@example.com"


@dataclass
class Provider:
    """`metadata` and `keys` are what it shows, `claims` what its tokens say beside what the flow demands, `userinfo`
    what it tells there. `instead` answers in place of a path: status, headers, body. `heard` is what it was asked."""

    url: str = ""
    metadata: dict[str, Any] = field(default_factory=dict)
    signer: Key = field(default_factory=lambda: ECKey.generate_key("P-256", {"kid": "k1", "use": "sig"}))
    header: dict[str, Any] = field(default_factory=lambda: {"alg": "ES256"})
    keys: list[dict[str, Any]] = field(default_factory=list)
    claims: dict[str, Any] = field(default_factory=lambda: {"sub": SUBJECT, "email": EMAIL, "email_verified": True})
    userinfo: dict[str, Any] = field(default_factory=dict)
    instead: dict[str, Callable[[], tuple[int, dict[str, str], bytes]]] = field(default_factory=dict)
    made: Callable[[dict[str, Any]], str] | None = None
    heard: list[str] = field(default_factory=list)
    codes: dict[str, dict[str, str]] = field(default_factory=dict)

    def show(self, *keys: Key) -> None:
        self.keys = [dict(key.as_dict(private=False)) for key in keys]

    def sign_in(self, at: str) -> dict[str, str]:
        """What a person's browser brings back who signs in at an address of ours: code and state."""
        asked = dict(parse_qsl(urlsplit(at).query))
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        return {"code": code, "state": asked["state"]}

    def token(self, asked: dict[str, str]) -> str:
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": asked["nonce"], **self.claims}
        claims = {name: value for name, value in claims.items() if value is not None}
        return self.made(claims) if self.made else signed({"kid": self.signer.kid, **self.header}, claims, self.signer)

    def answer(self, path: str, form: dict[str, str], authorization: str) -> tuple[int, dict[str, str], bytes]:
        self.heard.append(path)
        if path in self.instead:
            return self.instead[path]()
        if path == "/.well-known/openid-configuration":
            return 200, {}, msgspec.json.encode(self.metadata)
        if path == "/jwks":
            return 200, {}, msgspec.json.encode({"keys": self.keys})
        if path == "/userinfo" and authorization == "Bearer at-1":
            return 200, {}, msgspec.json.encode({"sub": self.claims["sub"], **self.userinfo})
        asked = self.codes.pop(form.get("code", ""), None)
        if path != "/token" or asked is None or not self._is_ours(form, authorization, asked):
            return 400, {}, b'{"error":"invalid_grant"}'
        return (
            200,
            {},
            msgspec.json.encode({"id_token": self.token(asked), "access_token": "at-1", "token_type": "Bearer"}),
        )

    def _is_ours(self, form: dict[str, str], authorization: str, asked: dict[str, str]) -> bool:
        kind, _, pair = authorization.partition(" ")
        if kind == "Basic":
            found = [unquote_plus(part) for part in b64decode(pair).decode().split(":")]
        else:
            found = [form.get("client_id", ""), form.get("client_secret", "")]
        challenge = urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest()).decode().rstrip("=")
        same = form["redirect_uri"] == asked["redirect_uri"] and form["grant_type"] == "authorization_code"
        return same and found == [CLIENT, SECRET] and challenge == asked["code_challenge"]


def signed(header: dict[str, Any], claims: dict[str, Any], key: Any) -> str:
    """A JWT, by whatever algorithm the header says."""
    registry = jws.JWSRegistry(algorithms=[header["alg"]])
    return jws.serialize_compact(header, msgspec.json.encode(claims), key, registry=registry)


@contextmanager
def provider_at_work() -> Iterator[Provider]:
    provider = Provider()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            form = dict(parse_qsl(self.rfile.read(int(self.headers.get("content-length", "0"))).decode()))
            status, headers, body = provider.answer(self.path, form, self.headers.get("authorization", ""))
            self.send_response(status)
            for name, value in {"content-length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """Whoever asked has gone, as it may."""

    with Server(("127.0.0.1", 0), Handler) as server:
        url = provider.url = f"http://127.0.0.1:{server.server_port}"
        provider.metadata = {
            "issuer": url,
            "authorization_endpoint": f"{url}/authorize",
            "token_endpoint": f"{url}/token",
            "jwks_uri": f"{url}/jwks",
            "userinfo_endpoint": f"{url}/userinfo",
        }
        provider.show(provider.signer)
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield provider
        server.shutdown()
