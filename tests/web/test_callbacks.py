"""What vendors call: signed receipts and texts are taken, anything else is refused, and no adapter brings us down."""

import base64
import json
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.support.bench import ManualClock
from tests.support.callbacks import SECRET, signed
from tests.support.commands import fails
from tests.support.contract import LocalClient, contract, judge
from tests.support.live import until
from tests.support.vendor import vendor_at_work
from verify_service.adapters import Callbacks
from verify_service.codes import new_key
from verify_service.dispatch.acknowledging import straying
from verify_service.embedded import EmbeddedValkey
from verify_service.errors import StoreUnavailable
from verify_service.model import Callback, InboundText, Receipt
from verify_service.providers.webhook import WebhookCallbacks
from verify_service.signing import Signer
from verify_service.store import Store

pytestmark = pytest.mark.slow

OTHER = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
TO = "+14155550171"
STOP = {"id": "in-1", "from": TO, "to": "43721", "body": "STOP"}


class Heard:
    """Callbacks that keep what they are called with, and tell what they are told to."""

    def __init__(self, *told: Receipt, error: Exception | None = None) -> None:
        self.calls: list[Callback] = []
        self.told = told
        self.error = error

    def receipts(self, call: Callback) -> Sequence[Receipt]:
        self.calls.append(call)
        if self.error:
            raise self.error
        return self.told

    def inbound(self, call: Callback) -> Sequence[InboundText]:
        self.receipts(call)
        return ()


def called(
    store: Store,
    callbacks: Callbacks,
    body: bytes = b"",
    headers: dict[str, str] | None = None,
    path: str = "/providers/hook/receipts",
    method: str = "POST",
) -> tuple[int, str, LocalClient]:
    """Status and body of one call of a vendor's, held against the document; and the app's client."""
    client = LocalClient(store, ManualClock(), callbacks={"hook": callbacks})
    answer = client.app.test_client().open(path, method=method, data=body, headers=headers or {})
    got = {name.lower(): value for name, value in answer.headers.items()}
    shown = json.loads(answer.data) if answer.status_code >= 400 else answer.text
    judge(method, path, answer.status_code, got, shown)
    return answer.status_code, answer.text, client


def test_a_signed_text_changes_consent_and_the_answer_is_empty(store: Store) -> None:
    """STOP, then START, by the webhook provider; the body of the answer is empty, since some vendors text it on."""
    body, headers = signed([STOP])
    status, text, client = called(store, WebhookCallbacks(SECRET), body, headers, "/providers/hook/inbound")
    assert (status, text) == (200, "")
    status, _, shown = client.request("GET", f"/consents/{TO}")
    assert (status, shown["state"], shown["source"]) == (200, "out", "sms")
    [entry] = shown["trail"]
    assert (entry["words"], entry["sender"], entry["provider"]) == ("STOP", "43721", "hook")
    assert client.refused("POST", "/start", {"to": TO})["type"] == "/problems/opted-out"


@pytest.mark.parametrize("what", ["no signature", "another secret", "another body", "an old one", "nonsense"])
def test_what_is_not_signed_is_unauthorized(store: Store, what: str) -> None:
    """401, and nothing has changed."""
    body, headers = signed([STOP], OTHER if what == "another secret" else SECRET)
    if what == "no signature":
        headers = {}
    elif what == "another body":
        body = body.replace(b"STOP", b"QUIT")
    elif what == "an old one":
        headers["webhook-timestamp"] = str(int(headers["webhook-timestamp"]) - 600)
    elif what == "nonsense":
        headers["webhook-signature"] = "v1"
    status, _, client = called(store, WebhookCallbacks(SECRET), body, headers, "/providers/hook/inbound")
    assert status == 401
    assert client.request("GET", f"/consents/{TO}")[2]["state"] == "unknown"


@pytest.mark.parametrize("told", [None, {}, "x", [1], [{}], [{"id": 1, "status": "delivered"}], [{"id": "a"}]])
@pytest.mark.parametrize("what", ["receipts", "inbound"])
def test_what_is_signed_and_cannot_be_read_is_a_bad_request(store: Store, what: str, told: object) -> None:
    """400, whichever call it came to."""
    body, headers = signed(told)
    assert called(store, WebhookCallbacks(SECRET), body, headers, f"/providers/hook/{what}")[0] == 400


@pytest.mark.parametrize("price", [-0.01, 1e308])
def test_a_price_that_no_message_has_is_a_bad_request(store: Store, price: float) -> None:
    """It would be added to the day's costs."""
    body, headers = signed([{"id": "m1", "status": "delivered", "price": price}])
    assert called(store, WebhookCallbacks(SECRET), body, headers)[0] == 400


@pytest.mark.parametrize("unread", [None, {"id": "7"}, STOP | {"body": None}])
def test_an_entry_that_cannot_be_read_takes_no_other_with_it(store: Store, unread: object) -> None:
    """The STOP beside it is recorded and the next start refused; what is not read is counted, all of it at once."""
    name = secrets.token_hex(4)
    callbacks = WebhookCallbacks(SECRET, straying(store.deliveries.strays, ManualClock(), name))
    body, headers = signed([unread, STOP, unread])
    status, _, client = called(store, callbacks, body, headers, "/providers/hook/inbound")
    assert status == 200
    assert client.refused("POST", "/start", {"to": TO})["type"] == "/problems/opted-out"
    body, headers = signed([unread, {"id": "m1", "status": "vanished"}, {"id": "m1", "status": "delivered"}])
    assert called(store, callbacks, body, headers)[0] == 200
    assert store.deliveries.strays.today(ManualClock().now())[name] == {"entry": 4}


def test_an_empty_list_is_nothing_new(store: Store) -> None:
    """A vendor that has nothing to tell may say so."""
    body, headers = signed([])
    for what in ("receipts", "inbound"):
        assert called(store, WebhookCallbacks(SECRET), body, headers, f"/providers/hook/{what}")[0] == 200


def test_an_adapter_that_stumbles_is_a_bad_request(store: Store) -> None:
    """Strangers' bytes are nobody's 500, whatever an adapter makes of them."""
    for error in (KeyError("x"), ValueError("x"), TypeError("x"), RecursionError()):
        assert called(store, Heard(error=error))[0] == 400


@pytest.mark.parametrize("name", ["nobody", "fake-a", "..", "HOOK"])
def test_a_provider_that_does_not_call_back_is_not_found(store: Store, name: str) -> None:
    """404, for an unknown name and for a kind without callbacks alike."""
    assert called(store, Heard(), path=f"/providers/{name}/receipts")[0] == 404


def test_a_vendor_is_asked_to_repeat_where_the_store_is_silent(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """503 with Retry-After: a receipt that is not written down must come again."""

    def silent(*_: object) -> None:
        raise StoreUnavailable("gone")

    monkeypatch.setattr("verify_service.store.deliveries.Deliveries.all_received", silent)
    assert called(store, Heard(Receipt(provider_id="a", status="delivered")))[0] == 503


def test_a_body_may_be_as_large_as_a_megabyte_and_no_larger(store: Store) -> None:
    """Vendors tell of many messages at once."""
    assert called(store, Heard(), b"x" * 1_048_576)[0] == 200
    assert called(store, Heard(), b"x" * 1_048_577)[0] == 413


def test_an_adapter_sees_the_public_url_and_not_what_the_caller_claims(store: Store) -> None:
    """Method, URL with its query as it was sent, headers in lower case, the bytes; the Host header changes nothing."""
    heard = Heard()
    client = LocalClient(store, ManualClock(), callbacks={"hook": heard}, public_url="https://sms.example/v")
    for method in ("GET", "POST"):
        client.app.test_client().open(
            "/providers/hook/receipts?id=%41b&x=a+b",
            method=method,
            data=b"a=b",
            headers={"Host": "evil.example", "X-Signature": "s", "X-Forwarded-Host": "evil.example"},
        )
    for method, call in zip(("GET", "POST"), heard.calls, strict=True):
        assert (call.method, call.body) == (method, b"a=b")
        assert call.url == "https://sms.example/v/providers/hook/receipts?id=%41b&x=a+b"
        assert call.headers["x-signature"] == "s"


def test_receipts_of_one_call_are_all_taken(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each goes to its message, with the provider that told it and the service's own time."""
    taken: list[tuple[object, ...]] = []
    monkeypatch.setattr("verify_service.store.deliveries.Deliveries.all_received", lambda _, *told: taken.append(told))
    body, headers = signed(
        [{"id": "a", "status": "delivered", "price": 0.01}, {"id": "b", "status": "failed", "permanent": True}]
    )
    assert called(store, WebhookCallbacks(SECRET), body, headers)[0] == 200
    told = [
        Receipt(provider_id="a", status="delivered", price=0.01),
        Receipt(provider_id="b", status="failed", permanent=True),
    ]
    assert taken == [(ManualClock().now(), "hook", told)]


@pytest.fixture
def vendor_told(tmp_path: Path) -> Iterator[Any]:
    """A live server whose only provider is a webhook: (contract, vendor)."""
    with vendor_at_work() as vendor:
        vendor.answer = lambda: (200, {}, b'{"id": "m-%d"}' % len(vendor.requests))
        file = (
            f'[providers.hook]\nkind = "webhook"\nurl = "{vendor.url}"\nsecret = "env:HOOK_SECRET"\n'
            '[senders.short]\ntype = "short-code"\naddress = "43721"\ntenants = ["default"]\n'
            '[[routes]]\nvia = [{ provider = "hook", sender = "short" }]\n'
        )
        with contract(tmp_path, file, {"HOOK_SECRET": SECRET}, fake=False) as live:
            yield live, vendor


def test_a_receipt_and_a_stop_reach_a_live_service(vendor_told: Any) -> None:
    """The timeline says delivered, and the metric what was not read. STOP refuses the next start and is answered once,
    START admits it again."""
    live, vendor = vendor_told
    started = live.default.start(TO)
    until(lambda: [e["event"] for e in live.default.status(started["id"])["timeline"]][-1:] == ["sent"])
    _tell(live.url, "receipts", [None, {"id": "m-1", "status": "delivered"}])
    until(lambda: [e["event"] for e in live.default.status(started["id"])["timeline"]][-1:] == ["delivered"])
    assert 'verify_strays_total{provider="hook",why="entry"} 1.0' in live.default.request("GET", "/metrics")[2]
    for _ in range(2):
        _tell(live.url, "inbound", [STOP])
    assert live.default.refused("POST", "/start", {"to": TO, "purpose": "pay"})["type"] == "/problems/opted-out"
    until(lambda: len(vendor.requests) == 2)
    answer = json.loads(vendor.requests[1][1])
    assert (answer["to"], answer["from"], answer["channel"]) == (TO, "43721", "sms")
    assert "Verify" in answer["body"]
    _tell(live.url, "inbound", [{**STOP, "id": "in-2", "body": "START"}])
    assert live.default.start(TO, purpose="pay")["status"] == "pending"
    states = [entry["state"] for entry in live.default.request("GET", f"/consents/{TO}")[2]["trail"]]
    assert states == ["out", "in"]
    until(lambda: len(vendor.requests) == 4)
    told = [json.loads(body) for _, body in vendor.requests[2:]]
    assert sorted(each["verification_id"][:3] for each in told) == ["re_", "ve_"]


def test_a_vendor_that_tells_of_an_opt_out_by_a_receipt_is_heeded(vendor_told: Any) -> None:
    """The message has failed, the consent says who knew of it, and the next start is refused."""
    live, _ = vendor_told
    started = live.default.start(TO)
    until(lambda: [e["event"] for e in live.default.status(started["id"])["timeline"]][-1:] == ["sent"])
    for _ in range(2):
        _tell(live.url, "receipts", [{"id": "m-1", "status": "failed", "reason": "STOP", "opted_out": True}])
    assert [e["event"] for e in live.default.status(started["id"])["timeline"]][-1] == "failed"
    trail = live.default.request("GET", f"/consents/{TO}")[2]["trail"]
    assert [(e["state"], e["source"], e["provider"], e["note"]) for e in trail] == [("out", "carrier", "hook", "STOP")]
    assert live.default.refused("POST", "/start", {"to": TO, "purpose": "pay"})["type"] == "/problems/opted-out"


def _tell(url: str, what: str, told: list[Any]) -> None:
    body = json.dumps(told).encode()
    headers = Signer(SECRET).headers("c", body)
    answer = urllib3.request("POST", f"{url}/providers/hook/{what}", body=body, headers=headers, retries=False)
    assert (answer.status, answer.data) == (200, b"")


def test_a_web_role_without_a_vendors_secret_says_so_in_one_line(tmp_path: Path) -> None:
    """It could believe no callback, so it does not start: exit status 2, and which provider and secret."""
    file = tmp_path / "verify.toml"
    file.write_text('[providers.hook]\nkind = "webhook"\nurl = "https://x.example"\nsecret = "env:HOOK_SECRET"\n')
    keys = {"VERIFY_KEYS": f"k1:{new_key()}", "VERIFY_TAG_KEY": new_key(), "VERIFY_API_KEY": new_key()}
    env = {"VERIFY_CONFIG": str(file), **keys}
    with EmbeddedValkey(tmp_path / "valkey", append_fsync="no") as server:
        said = fails("web", env={**env, "VERIFY_REDIS_URL": server.url})
    assert said == "providers.hook: secret env:HOOK_SECRET: the environment has no HOOK_SECRET"
