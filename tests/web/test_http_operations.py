"""What a load balancer and a monitoring system are told: alive, ready, and how much was done, over all processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import urllib3

from tests.support.bench import wrong
from tests.support.contract import Contract, ContractClient, a_number, contract
from tests.support.live import PATIENCE_S, clean, until
from tests.support.roles import children
from verify_service import codes
from verify_service.embedded import EmbeddedValkey, free_port
from verify_service.testing import VerifyServer

pytestmark = pytest.mark.slow

API_KEY = "vk_default_for-the-operations-tests"


@pytest.fixture(scope="module")
def live(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Contract]:
    with contract(tmp_path_factory.mktemp("operations")) as found:
        yield found


def figures(client: ContractClient) -> Mapping[str, float]:
    """The samples of /metrics by name and labels."""
    status, headers, text = client.request("GET", "/metrics")
    assert status == 200
    assert headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


def grown(after: Mapping[str, float], before: Mapping[str, float], name: str) -> float:
    return after.get(name, 0.0) - before.get(name, 0.0)


def test_a_live_process_says_so_without_a_key(live: Contract) -> None:
    """`/healthz` and `/readyz` need no API key and no body."""
    stranger = live.client("")
    assert stranger.request("GET", "/healthz")[::2] == (200, {"status": "alive"})
    until(lambda: stranger.request("GET", "/readyz")[::2] == (200, {"status": "ready"}))


def test_counts_are_true_over_all_processes_and_outlive_a_killed_worker(live: Contract) -> None:
    """Starts and checks on both workers and sends by the dispatcher add up exactly, before and after a `kill -9`."""
    before = figures(live.default)

    def cycle(to: str) -> None:
        client = live.client(live.running.server.api_key)  # Its own connections, so that both workers get some.
        started = client.start(to)
        code = live.inbox.code(to)
        client.check(id=started["id"], code=wrong(code))
        client.check(id=started["id"], code=code)
        client.refused("POST", "/start", {"to": "nobody"})
        client.close()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(cycle, [a_number() for _ in range(24)]))
    expected = {
        'verify_starts_total{outcome="started"}': 24,
        'verify_checks_total{outcome="pending"}': 24,
        'verify_checks_total{outcome="approved"}': 24,
        'verify_sends_total{outcome="accepted",provider="fake-a"}': 24,
        'verify_settled_total{outcome="sent"}': 24,
        'verify_problems_total{slug="invalid-number"}': 24,
    }
    until(lambda: figures(live.default)["verify_outbox_entries"] == 0)
    after = figures(live.default)
    assert {name: grown(after, before, name) for name in expected} == expected

    web = next(pid for pid, words in children(live.running.process.pid).items() if " web " in words)
    workers = children(web)
    serving = [pid for pid, words in workers.items() if "resource_tracker" not in words]
    assert len(serving) == 2
    os.kill(serving[0], signal.SIGKILL)
    until(lambda: len(set(children(web)) - set(workers)) == 1)
    again = figures(live.default)
    assert {name: grown(again, before, name) for name in expected} == expected
    started = live.default.start(a_number())
    assert started["status"] == "pending"
    assert grown(figures(live.default), before, 'verify_starts_total{outcome="started"}') == 25


def test_metrics_name_no_number_and_no_key(live: Contract) -> None:
    """Labels are outcomes, providers and slugs: nothing of a person is in them."""
    to = a_number()
    live.default.start(to)
    _, _, text = live.default.request("GET", "/metrics")
    assert to[1:] not in text
    assert live.running.server.api_key not in text


def test_the_roles_say_what_they_lack(tmp_path: Path) -> None:
    """`web` alone is alive and not ready; with `dispatch` it is ready; without the store it is alive, says 503 to
    callers with the seconds to wait, tells its metrics but for what it looks up, and works again when the store is
    back."""
    port = free_port()
    valkey = EmbeddedValkey(tmp_path / "valkey")
    valkey.start()
    env = clean()
    env |= {
        "VERIFY_REDIS_URL": valkey.url,
        "VERIFY_KEYS": f"k1:{codes.new_key()}",
        "VERIFY_TAG_KEY": codes.new_key(),
        "VERIFY_API_KEY": API_KEY,
    }
    verify_service = [sys.executable, "-m", "verify_service"]
    roles = [
        subprocess.Popen(
            [*verify_service, "web", "--port", str(port), "--workers", "1"], env=env, stderr=subprocess.DEVNULL
        )
    ]
    client = ContractClient(VerifyServer(f"http://127.0.0.1:{port}", API_KEY, tmp_path, roles[0].pid))

    def readyz() -> tuple[int, Any]:
        try:
            status, _, body = client.request("GET", "/readyz")
        except urllib3.exceptions.HTTPError:
            return 0, None
        return status, body

    try:
        until(lambda: readyz()[0] != 0)
        no_dispatcher = "no dispatcher is alive: messages wait in the outbox"
        assert readyz() == (503, {"status": "unready", "reasons": [no_dispatcher]})
        assert client.request("GET", "/healthz")[0] == 200
        to = a_number()
        started = client.start(to)
        assert client.status(started["id"])["timeline"][-1]["event"] == "queued"

        roles.append(subprocess.Popen([*verify_service, "dispatch"], env=env, stderr=subprocess.DEVNULL))
        until(lambda: readyz() == (200, {"status": "ready"}))
        until(lambda: client.status(started["id"])["timeline"][-1]["event"] == "delivered")

        valkey.kill()
        until(lambda: readyz()[0] == 503)
        status, body = readyz()
        assert (status, body["status"]) == (503, "unready")
        assert "the store does not answer" in body["reasons"][0]
        assert client.request("GET", "/healthz")[0] == 200
        for method, path, sent in (
            ("POST", "/start", {"to": a_number()}),
            ("POST", "/check", {"id": started["id"], "code": "000000"}),
            ("GET", f"/verifications/{started['id']}", None),
            ("DELETE", f"/verifications/{started['id']}", None),
            ("GET", f"/fake/inbox/{to}", None),
        ):
            status, headers, problem = client.request(method, path, sent)
            assert (status, problem["type"]) == (503, "/problems/store-unavailable"), path
            assert headers["retry-after"] == "1"
        told = figures(client)
        assert told["verify_store_up"] == 0
        assert told['verify_problems_total{slug="store-unavailable"}'] >= 5
        assert told['verify_starts_total{outcome="started"}'] == told["verify_policy_revision"] == 1
        assert told.keys() & {"verify_outbox_entries", "verify_dispatchers", "verify_live_blocks"} == set()
        valkey.start()
        until(lambda: readyz() == (200, {"status": "ready"}))
        assert client.status(started["id"])["status"] == "pending"

        roles[1].kill()
        until(lambda: readyz() == (503, {"status": "unready", "reasons": [no_dispatcher]}))
    finally:
        for role in roles:
            role.terminate()
            role.wait(PATIENCE_S)
        valkey.stop()
        client.close()
