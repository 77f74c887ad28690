"""The front door of the service, as the backends of its tenants use it: start, read the text, check."""

import json
import threading
from collections import Counter
from collections.abc import Mapping
from typing import Any

import urllib3

from verify_service.simulate import Event

PATIENCE_S = 10.0
_WRONG = "000000"


class Front:
    """Calls a service at `url`; `keys` are the tenants' API keys, the first of which may also look around. Its methods
    may be called by many threads, and raise urllib3's HTTPError."""

    def __init__(self, url: str, keys: Mapping[str, str], threads: int) -> None:
        self._url = url
        self._keys = keys
        self._tenants = list(keys)
        self._pool = urllib3.PoolManager(maxsize=threads, retries=False, timeout=PATIENCE_S)
        self._started: dict[str, tuple[str, str, str]] = {}
        self._lock = threading.Lock()
        self.counts: Counter[str] = Counter()
        """How many starts were admitted and refused, and how many codes approved."""

    def play(self, event: Event) -> None:
        """Does what somebody does; what was refused before has no code to enter."""
        if event.event == "start":
            self._start(event)
        elif event.id in self._started:
            tenant, id, to = self._started[event.id]
            code = self._code(tenant, id, to) if event.event == "approved" else _WRONG
            if code and self._call("POST", "/check", tenant, {"id": id, "code": code})[1].get("approved"):
                self._count("approved")

    def advance(self, seconds: float) -> None:
        """Moves the clock of the service forward."""
        self._call("POST", "/fake/clock", self._tenants[0], {"advance": seconds})

    def ready(self) -> bool:
        try:
            return self._call("GET", "/readyz", self._tenants[0])[0] == 200
        except urllib3.exceptions.HTTPError:
            return False

    def blocks(self) -> list[dict[str, Any]]:
        """The blocks that are live."""
        found: list[dict[str, Any]] = self._call("GET", "/admin/blocks", self._tenants[0])[1]["blocks"]
        return found

    def close(self) -> None:
        self._pool.clear()

    def _start(self, event: Event) -> None:
        to = event.to or ""
        tenant = self._tenants[sum(map(int, to[-3:])) % len(self._tenants)]
        who = {"ip": event.ip, "device": event.device}
        status, answer = self._call("POST", "/start", tenant, {"to": to, **{k: v for k, v in who.items() if v}})
        self._count("admitted" if status == 201 else "refused")
        if status == 201:
            self._started[event.id] = (tenant, answer["id"], to)

    def _code(self, tenant: str, id: str, to: str) -> str | None:
        """The code in the text, once it is there."""
        after = ""
        for _ in range(3):
            found = self._call("GET", f"/fake/inbox/{to}?wait=2{after}", tenant)[1].get("messages", [])
            for message in found:
                if message["verification_id"] == id:
                    code: str = message["code"]
                    return code
            after = f"&after={found[0]['id']}" if found else after
        return None

    def _count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1

    def _call(self, method: str, path: str, tenant: str, body: Any = None) -> tuple[int, dict[str, Any]]:
        headers = {"authorization": f"Bearer {self._keys[tenant]}", "content-type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        answer = self._pool.request(method, self._url + path, body=data, headers=headers)
        return answer.status, json.loads(answer.data) if answer.data else {}
