"""What the web role writes into its log: its own life, and, where that is asked for, its requests."""

from pathlib import Path

import pytest

from tests.support.dispatching import Post
from tests.support.live import PATIENCE_S, until
from tests.support.web_role import AUTHORIZED, BODY, JSON, request, web_role
from verify_service import __version__

pytestmark = pytest.mark.slow

START = request("POST /start", AUTHORIZED, JSON, f"Content-Length: {len(BODY)}", body=BODY)


def test_a_role_tells_its_life(post: Post) -> None:
    """It started, with version, revision and store; it drains; it has stopped. Nothing of the store's password, and no
    line for a request."""
    with web_role(post) as web:
        assert web.ask(START)[0] == 201
        web.process.terminate()
        assert web.process.wait(PATIENCE_S) == 0
        started, drains, stopped = web.said('"part":"web"')
        assert web.said('"part":"access"') == []
    assert started["event"] == "started"
    assert (started["version"], started["revision"], started["workers"]) == (__version__, 1, 1)
    assert started["address"] == f"http://127.0.0.1:{web.port}"
    assert started["store"] == post.server.url
    assert str(drains["event"]).startswith("drains: ")
    assert stopped["event"] == "stopped"


def test_the_access_log_has_every_request_and_no_number(post: Post) -> None:
    """With `--access-log`: method, route, status and time of each, refusals and slow ones among them; never a path, a
    query, a number or an address."""
    number, unknown = "14155550129", "14155550130"
    with web_role(post, "--access-log") as web:
        before = len(web.said('"part":"access"'))
        assert web.ask(START)[0] == 201
        assert web.ask(request(f"GET /verifications/ve_{'0' * 32}?to={number}", AUTHORIZED))[0] == 404
        assert web.ask(request(f"GET /{unknown}"))[0] == 404
        assert web.ask(request("BREW /start", "Content-Length: 0"))[0] == 405
        assert web.ask(request("POST /start", JSON, "Content-Length: 1000", body=b"{"))[0] == 401
        assert web.ask(request("POST /start", AUTHORIZED, JSON, "Content-Length: 1000", body=b"{"))[0] == 408
        until(lambda: len(web.said('"part":"access"')) >= before + 6, "six lines")
        lines = web.said('"part":"access"')[before:]
        text = Path(web.log).read_text()
    assert [(line["method"], line["route"], line["status"]) for line in lines] == [
        ("POST", "/start", 201),
        ("GET", "/verifications/<verification_id>", 404),
        ("GET", None, 404),
        (None, None, 405),
        ("POST", "/start", 401),
        ("POST", "/start", 408),
    ]
    assert {line["event"] for line in lines} == {"request"}
    assert float(str(lines[-1]["ms"])) > 1000
    for secret in (number, unknown, "127.0.0.1:", "0000000"):
        assert secret not in text.replace(f"http://127.0.0.1:{web.port}", "").replace(post.server.url, "")
