"""The README's verifier of receipts works as printed, and lets nothing pass but the receipt of exactly this deed."""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
from werkzeug.serving import make_server

from tests.support.bench import code_of
from tests.support.contract import LocalClient, a_number
from tests.support.live import PATIENCE_S
from verify_service.approvals import SigningKeys
from verify_service.codes import new_key, new_ring
from verify_service.store import Store
from verify_service.store.clock import SystemClock

README = (Path(__file__).parents[2] / "README.md").read_text("utf-8")
PAGE = (Path(__file__).parents[2] / "docs" / "receipts.md").read_text("utf-8")
BINDING = {"amount": "12.00", "payee": "Acme"}
WANTED = ("default", "payment", BINDING)


class Issuer:
    """A service by HTTP that has signed one receipt, and the README's function, told where it is."""

    def __init__(self, store: Store, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.ring = new_ring()
        client = LocalClient(store, SystemClock(), public_url=self.url, signing_keys=self.ring)
        self.app = client.app
        started = client.start(a_number(), purpose="payment", binding=BINDING)
        code = code_of(store, client.keys, started["id"])
        self.receipt: str = client.check(id=started["id"], code=code, binding=BINDING, receipt=True)["receipt"]
        self.claims: dict[str, Any] = jwt.decode(self.receipt, options={"verify_signature": False})
        self.kid = self.ring.partition(":")[0]
        printed = next(text for text in re.findall(r"```python\n(.*?)```", README, re.DOTALL) if "PyJWKClient" in text)
        said: dict[str, Any] = {}
        exec(printed.replace("http://127.0.0.1:8080", self.url), said)  # noqa: S102
        self.approval: Callable[..., dict[str, Any]] = said["approval"]

    def signed(self, **claims: Any) -> str:
        """A receipt of other claims, by the very key; None takes one away."""
        said = {name: value for name, value in (self.claims | claims).items() if value is not None}
        return SigningKeys(self.ring).sign(self.kid, said)


@pytest.fixture
def issuer(store: Store) -> Iterator[Issuer]:
    apps: list[Any] = []  # It is made for an address, and so after its server.
    server = make_server("127.0.0.1", 0, lambda *asked: apps[0](*asked))
    made = Issuer(store, server.server_port)
    apps.append(made.app)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        server.shutdown()
        thread.join(PATIENCE_S)
        server.server_close()


def test_the_function_accepts_a_receipt_of_exactly_this(issuer: Issuer) -> None:
    """As printed but for the address."""
    assert issuer.approval(issuer.receipt, *WANTED) == issuer.claims
    assert issuer.claims["jti"].startswith("ve_")


def test_the_function_refuses_whatever_is_anything_else(issuer: Issuer) -> None:
    """Another key, name of a key, algorithm or type; another purpose, tenant, binding, issuer or age; a part of it."""
    now = int(time.time())
    head, said, mark = issuer.receipt.split(".")
    public = jwt.PyJWK(json.loads(SigningKeys(issuer.ring).jwks)["keys"][0]).key.public_bytes_raw()
    hours = {"kid": issuer.kid, "typ": "verification+jwt"}
    secret = SigningKeys(issuer.ring)._keys[issuer.kid]
    fakes = {
        "another key of the same name": SigningKeys(f"{issuer.kid}:{new_key()}").sign(issuer.kid, issuer.claims),
        "a key that is not published": SigningKeys(new_ring()).sign("", issuer.claims),
        "the public key as a secret": jwt.encode(issuer.claims, public, "HS256", hours),
        "no algorithm": jwt.encode(issuer.claims, "", "none", hours),
        "another type": jwt.encode(issuer.claims, secret, "EdDSA", {"kid": issuer.kid, "typ": "JWT"}),
        "no type": jwt.encode(issuer.claims, secret, "EdDSA", {"kid": issuer.kid, "typ": None}),
        "another purpose": issuer.signed(purpose="login"),
        "another tenant": issuer.signed(aud="acme"),
        "another amount": issuer.signed(binding=BINDING | {"amount": "1200.00"}),
        "more in the binding": issuer.signed(binding=BINDING | {"note": "x"}),
        "less in the binding": issuer.signed(binding={"amount": "12.00"}),
        "no binding": issuer.signed(binding=None),
        "another issuer": issuer.signed(iss="https://verify.example.com"),
        "one that is over": issuer.signed(iat=now - 400, exp=now - 60),
        "one of a time to come": issuer.signed(iat=now + 3600, exp=now + 3900),
        **{f"none of {name}": issuer.signed(**{name: None}) for name in ("iss", "aud", "sub", "jti", "iat", "exp")},
        "the signature of another": f"{head}.{said}.{issuer.signed(purpose='login').rpartition('.')[2]}",
        "the claims of another": f"{head}.{issuer.signed(purpose='login').split('.')[1]}.{mark}",
        "a part": f"{head}.{said}.",
        "nothing": "",
    }
    passed = []
    for what, fake in fakes.items():
        try:
            issuer.approval(fake, *WANTED)
        except jwt.PyJWTError:
            continue
        passed.append(what)
    assert passed == []
    for wanted in (("acme", "payment", BINDING), ("default", "login", BINDING), ("default", "payment", {})):
        with pytest.raises(jwt.PyJWTError):
            issuer.approval(issuer.receipt, *wanted)


def test_the_page_has_each_claim(issuer: Issuer) -> None:
    """In its table, and no other."""
    rows = re.findall(r"^\| (`.*?) \|", PAGE, re.MULTILINE)
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == {*issuer.claims, "test"}
