"""What tests of the webhooks out stand on: a service, endpoints of its tenants, and what these were told."""

import base64
import json
import secrets
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import msgspec

from tests.support.bench import Bench, a_start, make_bench, wrong
from tests.support.live import PATIENCE_S, patient
from tests.support.vendor import Vendor
from verify_service.dispatch.webhooks import Webhooks
from verify_service.embedded import EmbeddedValkey
from verify_service.store import Store
from verify_service.tenants import WebhookConfig

TO = "+14155550181"
SECRETS = {
    name: "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode() for name in ("env:A", "env:B", "file:/c")
}
ALL = ("started", "refused", "sent", "delivered", "failed", "failed-over", "wrong", "approved", "canceled")


class WebhookBench:
    """A service on a Valkey of its own, and the endpoints of its tenants."""

    def __init__(self, server: EmbeddedValkey, keys: str | None = None) -> None:
        self.url = patient(server.url)
        store = Store(patient(server.url))
        store.prepare()
        self.bench: Bench = make_bench(store, keys=keys)
        store.webhooks.due(self.bench.clock.now(), [])  # The events begin here.

    @contextmanager
    def telling(self, endpoints: Mapping[str, WebhookConfig]) -> Iterator[None]:
        stop = threading.Event()
        made = Webhooks(Store(self.url).webhooks, endpoints, SECRETS.__getitem__, self.bench.clock)
        thread = threading.Thread(target=made.run, args=(stop,))
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(PATIENCE_S)
            assert not thread.is_alive()

    def life(self, tenant: str = "default", to: str = TO) -> str:
        """A start, a wrong code and the right one; the id."""
        found = self.bench.service.start(tenant, a_start(to)).id
        code = self.bench.code(found)
        self.bench.service.check(tenant, found, wrong(code))
        assert self.bench.service.check(tenant, found, code).approved
        return found

    def held(self) -> list[bytes]:
        client: Any = self.bench.store.link.client()
        return [key for key in client.scan_iter(count=1000) if b":hooks" in key]


def to(vendor: Vendor, *events: str, secret: Any = "env:A") -> WebhookConfig:  # noqa: S107
    return WebhookConfig(url=vendor.url, secret=secret, events=events or ALL)  # type: ignore[arg-type]


def told(vendor: Vendor) -> list[str]:
    """The kinds of what came, in the order in which it came."""
    return [json.loads(body)["type"].removeprefix("verification.") for _, body in vendor.requests]


def answering(*statuses: int) -> Callable[[], tuple[int, dict[str, str], bytes]]:
    """One status after the other, and 200 from then on."""
    left = list(statuses)
    return lambda: (left.pop(0) if left else 200, {}, b"")


def tries(webhook_bench: WebhookBench) -> list[int]:
    """How often the head of each lane has failed."""
    client: Any = webhook_bench.bench.store.link.client()
    lanes = client.keys("vs:{0}:hooks:*:lane:*")
    return [msgspec.msgpack.decode(client.lindex(lane, 0))[2] for lane in lanes]
