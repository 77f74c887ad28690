"""The app leaves out of Flask what no request has a use for, and nothing else."""

from collections.abc import Iterator

import pytest
from flask import Response, request, session
from flask.signals import got_request_exception, request_finished, request_started, request_tearing_down
from flask.testing import FlaskClient

from verify_service.web.lean import App, Whole


@pytest.fixture
def app() -> App:
    app = App(__name__, static_folder=None)
    app.add_url_rule("/whole", "whole", lambda: Whole(b"{}", 201, "application/json"))
    app.add_url_rule("/folder/", "folder", lambda: Whole(b"in", 200, "text/plain"))
    app.add_url_rule("/broken", "broken", lambda: [][0])
    app.add_url_rule("/part/<name>", "part", part)
    return app


def part(name: str) -> Response:
    return Whole(name.encode(), 200, "text/plain")


@pytest.fixture
def client(app: App) -> Iterator[FlaskClient]:
    with app.test_client() as client:
        yield client


def test_what_is_registered_around_a_request_runs(app: App, client: FlaskClient) -> None:
    """Functions before and after a request, also one for a single request, and at its end: each once, in Flask's
    order."""
    seen: list[str] = []

    @app.after_request
    def after(answer: Response) -> Response:
        seen.append("after")
        answer.headers["X-After"] = "1"
        return answer

    app.before_request(lambda: seen.append("before"))
    app.teardown_request(lambda _error: seen.append("teardown"))
    app.teardown_appcontext(lambda _error: seen.append("teardown app"))
    answer = client.get("/whole")
    assert (answer.status_code, answer.data, answer.headers["X-After"]) == (201, b"{}", "1")
    assert seen == ["before", "after", "teardown", "teardown app"]


def test_an_error_is_handled_told_and_torn_down_as_in_flask(app: App, client: FlaskClient) -> None:
    """The handler answers, what follows a request runs, and Flask's signals are sent."""
    sent: list[str] = []
    app.register_error_handler(IndexError, lambda _error: ("none", 418))
    for name, signal in (
        ("started", request_started),
        ("raised", got_request_exception),
        ("finished", request_finished),
        ("torn down", request_tearing_down),
    ):
        signal.connect(lambda _app, name=name, **_: sent.append(name), app, weak=False)
    answer = client.get("/broken")
    assert (answer.status_code, answer.data) == (418, b"none")
    assert sent == ["started", "finished", "torn down"]


def test_an_unhandled_error_is_a_500(app: App) -> None:
    """As Flask answers it, with its signal."""
    sent: list[str] = []
    got_request_exception.connect(lambda _app, exception, **_: sent.append(type(exception).__name__), app, weak=False)
    app.config["PROPAGATE_EXCEPTIONS"] = False
    assert app.test_client().get("/broken").status_code == 500
    assert sent == ["IndexError"]


@pytest.mark.parametrize("host", ["shop.example", "shop.example:8443", "127.0.0.1:8080"])
def test_a_redirect_repeats_the_name_that_the_caller_used(client: FlaskClient, host: str) -> None:
    """A path that lacks its slash leads to the one that has it, with its query."""
    answer = client.get("/folder?a=1", headers={"Host": host})
    assert (answer.status_code, answer.headers["Location"]) == (308, f"http://{host}/folder/?a=1")


@pytest.mark.parametrize("path", ["//whole", "///whole", "//folder/"])
def test_a_path_with_more_slashes_in_front_is_another(client: FlaskClient, path: str) -> None:
    """No view has it."""
    assert client.get("/", environ_overrides={"PATH_INFO": path}).status_code == 404


def test_a_path_that_was_found_before_is_found_as_in_flask(client: FlaskClient) -> None:
    """Other methods, other paths and the parts that vary are looked at each time."""
    for _ in range(2):
        assert client.get("/whole").data == b"{}"
        refused = client.post("/whole")
        assert (refused.status_code, set(refused.headers["Allow"].split(", "))) == (405, {"GET", "HEAD", "OPTIONS"})
        assert client.get("/whole/").status_code == client.get("/who").status_code == 404
        assert [client.get(f"/part/{name}").data for name in ("a", "b", "ä")] == [b"a", b"b", "ä".encode()]


def test_what_the_router_has_found_is_kept_of_paths_that_do_not_vary(app: App, client: FlaskClient) -> None:
    """So no caller can fill the memory with paths."""
    for each in range(20):
        client.get(f"/part/{each}")
        client.get(f"/none/{each}")
        client.get("/whole", query_string={"a": each})
    assert [asked[:2] for asked in app.known] == [("GET", "/whole")]


def test_no_caller_fills_the_memory_with_paths(app: App, client: FlaskClient) -> None:
    """Of those with parts that vary, some of the latest are known, and none that is long."""
    for n in range(1001):
        assert client.get(f"/part/{n}").text == str(n)
    assert client.get(f"/part/{'x' * 200}").status_code == 200
    assert [asked[:2] for asked in app.lately] == [("GET", "/part/1000")]
    assert client.get("/part/1000").text == "1000"


def test_an_answer_is_the_same_with_and_without_an_object_of_headers(client: FlaskClient) -> None:
    """Whoever looks at the headers or adds one changes nothing else; HEAD has all of them and no body."""
    plain = client.get("/whole")
    looked = Whole(b"{}", 201, "application/json")
    assert dict(looked.headers) == dict(plain.headers)
    assert dict(plain.headers) == {
        "Content-Type": "application/json",
        "Cache-Control": "no-store",
        "Content-Length": "2",
    }
    head = client.head("/whole")
    assert (head.status_code, head.data, dict(head.headers)) == (201, b"", dict(plain.headers))


def test_there_is_no_session(app: App) -> None:
    """Nothing can be kept in it, so nothing of one caller reaches another."""
    with app.test_request_context("/whole"):
        assert request.path == "/whole"
        assert dict(session) == {}
        with pytest.raises(RuntimeError, match="session is unavailable"):
            session["a"] = 1
