"""The two roles, started as the README does: every metric that the docs name can be scraped from one of them."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path

import pytest
import urllib3

from tests.support.dispatching import Post, environment
from tests.support.live import PATIENCE_S, scraped, until
from verify_service.embedded import free_port

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2]
KEY = "vk_default_0123456789"
TO = "+14155550129"
TOML = """allow_fake = true
[providers.fake-a]
kind = "fake"
[providers.told]
kind = "twilio"
account = "AC00000000000000000000000000000000"
auth_token = "env:TOLD_TOKEN"
[[routes]]
via = [{ provider = "fake-a" }]
"""
POLICY = """
[code]
digits = 6
[[limit]]
name = "watched"
mode = "observe"
of = ["number"]
allow = "1/hour"
[[limit]]
name = "wrong"
of = ["number"]
counts = "wrong-codes"
allow = "10/day"
"""
# They need a storm, a vendor's odd words, bytes that nobody can read, a tenant's endpoint, a team that is told, or a
# cluster: here they are only said to be there.
RARE = {
    *("verify_blocks_total", "verify_sender_full_total", "verify_shifts_total", "verify_unjudged_total"),
    *("verify_strays_total", "verify_unreadable_total", "verify_alert_messages_total"),
    *("verify_webhooks_total", "verify_webhooks_waiting", "verify_webhooks_dead"),
}


def named() -> set[str]:
    """The metrics that the docs name."""
    pages = [*DOCS.glob("docs/**/*.md"), DOCS / "README.md"]
    kinds = "total|seconds|percent|entries|waiting|dead"
    return {name for page in pages for name in re.findall(rf"\bverify_[a-z_]+_(?:{kinds})\b", page.read_text())}


@pytest.fixture
def roles(post: Post) -> Iterator[tuple[str, int]]:
    """The address of `verify-service web`, and the port of a dispatcher's metrics."""
    toml, policy = post.folder / "verify.toml", post.folder / "policy.toml"
    toml.write_text(TOML)
    policy.write_text(POLICY)
    env = environment(post) | {"VERIFY_API_KEY": KEY, "VERIFY_CONFIG": str(toml), "VERIFY_POLICY": str(policy)}
    env |= {"TOLD_TOKEN": "a-token"}
    env.pop("PROMETHEUS_MULTIPROC_DIR", None)
    web, metrics = free_port(), free_port()
    with ExitStack() as stack:
        started: list[subprocess.Popen[bytes]] = []
        for argv in (["web", "--port", str(web)], ["dispatch", "--metrics-port", str(metrics)]):
            role = subprocess.Popen([sys.executable, "-m", "verify_service", *argv], env=env)
            stack.callback(role.wait)
            stack.callback(role.terminate)
            started.append(role)
        until(
            lambda: any(role.poll() for role in started) or ask(f"http://127.0.0.1:{web}", "GET", "/readyz")[0] == 200,
            "both roles to be ready",
        )
        yield f"http://127.0.0.1:{web}", metrics


def ask(url: str, method: str, path: str, body: object = None, key: str = KEY) -> tuple[int, str]:
    data = None if body is None else json.dumps(body).encode()
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    try:
        answer = urllib3.request(method, url + path, body=data, headers=headers, retries=False, timeout=PATIENCE_S)
    except urllib3.exceptions.HTTPError:
        return 0, ""
    return answer.status, answer.data.decode()


def samples(lines: list[str]) -> dict[str, float]:
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}


def test_every_metric_of_the_docs_is_scraped_from_one_of_the_two_roles(roles: tuple[str, int]) -> None:
    """`verify-service web` and `dispatch --metrics-port`, nothing else set: a start, a resend that a watched limit
    would refuse, a wrong code, a code of a user who has no factor, a wrong key, a refused body, a forged callback, a
    STOP; all of it is counted."""
    url, metrics = roles
    status, text = ask(url, "POST", "/start", {"to": TO})
    assert status == 201
    wrong = {"id": json.loads(text)["id"], "code": "000000"}
    assert ask(url, "POST", "/check", wrong)[0] == 200
    assert ask(url, "POST", "/users/ann/check", {"code": "000000"})[0] == 404
    assert ask(url, "POST", "/start", {"to": TO})[0] == 429
    assert ask(url, "POST", "/start", {"to": TO, "purpose": "other"})[0] == 201
    assert ask(url, "POST", "/start", {"to": TO}, key="vk_default_a-wrong-one")[0] == 401
    assert ask(url, "POST", "/start", {})[0] == 400
    assert ask(url, "POST", "/providers/told/receipts", {})[0] == 401
    assert ask(url, "POST", "/fake/inbound", {"from": TO, "to": "12345", "body": "STOP"})[0] == 202
    until(lambda: "verify_queue_seconds_count 2.0" in scraped(metrics), "both messages to be sent")
    found: Mapping[str, float] = samples(ask(url, "GET", "/metrics", key=KEY)[1].splitlines())
    assert found['verify_starts_total{outcome="started"}'] == 2
    assert found['verify_starts_total{outcome="rate-limited"}'] == 1
    assert found['verify_checks_total{outcome="pending"}'] == 1
    assert found['verify_factor_checks_total{outcome="not-found"}'] == 1
    assert found['verify_refused_total{by="cooldown"}'] == 1
    assert found['verify_observed_total{rule="watched"}'] == 1
    assert found['verify_problems_total{slug="unauthorized"}'] == 2
    assert found['verify_problems_total{slug="invalid-request"}'] == 1
    assert found['verify_callbacks_total{outcome="forged",provider="told"}'] == 1
    assert found['verify_inbound_total{keyword="stop",provider="fake-a"}'] == 1
    dispatcher = scraped(metrics)
    with_samples = {re.sub(r"_(count|sum|bucket)?(\{.*)?$", "", name) for name in (*found, *samples(dispatcher))}
    with_samples |= {name.partition("{")[0] for name in (*found, *samples(dispatcher))}
    assert named() - with_samples - RARE == set()
    told_of = {line.split()[2] for line in dispatcher if line.startswith("# HELP ")}
    assert {name for name in RARE if name.endswith("_total")} - told_of == set()
