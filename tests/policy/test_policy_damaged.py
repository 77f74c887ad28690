"""A damaged revision in the store is passed over, wherever the policy is read or repaired; a foreign key is refused."""

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from click.testing import CliRunner

from tests.support.bench import ManualClock
from tests.support.contract import LocalClient
from tests.support.live import BASE, patient
from verify_service import app, codes, dispatching, settings
from verify_service.cli import commands
from verify_service.duration import rfc3339
from verify_service.embedded import EmbeddedValkey
from verify_service.errors import ConfigError, RevisionConflict
from verify_service.model import Actor
from verify_service.policy.live import LivePolicy
from verify_service.runtime import Runtime
from verify_service.store import Store
from verify_service.store.policies import Policies
from verify_service.web.context import context

ABSURD = 10**17


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(tmp_path / "valkey", append_fsync="no") as made:
        yield made


@pytest.fixture
def store(server: EmbeddedValkey) -> Store:
    """A store without a policy."""
    made = Store(patient(server.url))
    made.prepare()
    return made


def spoil(store: Store, *revisions: int) -> None:
    client: Any = store.link.client()
    for revision in revisions:
        client.hset("vs:{0}:policy", revision, "junk")


def test_a_damaged_newest_revision_does_not_block_its_repair(store: Store) -> None:
    """By HTTP: the newest sound one is answered, its ETag or `*` replaces it, and the new one has the next number."""
    client = LocalClient(store, ManualClock())
    for if_match in ("*", '"1"'):
        assert client.request("PUT", "/admin/policy", {"policy": BASE}, {"If-Match": if_match})[0] == 200
    spoil(store, 3)
    status, headers, found = client.request("GET", "/admin/policy")
    assert (status, headers["etag"], found["revision"]) == (200, '"2"', 2)
    status, _, problem = client.request("PUT", "/admin/policy", {"policy": BASE}, {"If-Match": '"3"'})
    assert (status, problem["revision"]) == (409, 2)
    for if_match, revision in ((headers["etag"], 4), ("*", 5)):
        status, _, made = client.request("PUT", "/admin/policy", {"policy": BASE}, {"If-Match": if_match})
        assert (status, made["revision"]) == (200, revision)
    with client.app.app_context():
        assert [each.revision for each in context().live.history.log()] == [5, 4, 2, 1]


def test_roles_start_on_a_store_whose_newest_revision_is_damaged(
    server: EmbeddedValkey, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The dispatcher and the web role go by the newest sound one; both are refused where none can be unsealed."""
    tag_key = codes.new_key()
    Policies(store.link, codes.Tagger(tag_key)).first(1, Actor("start"), "", BASE)
    spoil(store, 2, 3)
    monkeypatch.setenv("VERIFY_REDIS_URL", server.url)
    monkeypatch.setenv("VERIFY_KEYS", f"k1:{codes.new_key()}")
    monkeypatch.setenv("VERIFY_API_KEY", "0" * 32)
    monkeypatch.setattr(dispatching, "configure_logs", lambda: None)  # This process has logs of its own.
    stop = threading.Event()
    stop.set()
    monkeypatch.setenv("VERIFY_TAG_KEY", tag_key)
    dispatching.dispatch(stop)
    assert app.judge_web(Runtime(settings.read())) == 1
    monkeypatch.setenv("VERIFY_TAG_KEY", codes.new_key())
    with pytest.raises(ConfigError, match="VERIFY_TAG_KEY is not the key"):
        dispatching.dispatch(stop)
    with pytest.raises(ConfigError, match="VERIFY_TAG_KEY is not the key"):
        app.judge_web(Runtime(settings.read()))


def test_a_foreign_key_appends_nothing(store: Store) -> None:
    """However many revisions there are, and whatever the push expects."""
    history = Policies(store.link, codes.Tagger(codes.new_key()))
    for now in (1, 2):
        history.push(now, Actor("a"), "", BASE)
    stranger = Policies(store.link, codes.Tagger(codes.new_key()))
    for expected in (None, 0, 2):
        with pytest.raises(ConfigError, match="VERIFY_TAG_KEY is not the key"):
            stranger.push(3, Actor("stranger"), "", BASE, expected=expected)
    with pytest.raises(RevisionConflict):
        history.push(3, Actor("a"), "", BASE, expected=1)
    assert history.newest() == 2


def test_each_unusable_revision_is_warned_of_once(store: Store) -> None:
    """A new one says nothing again of those before it."""
    tagger = codes.Tagger(codes.new_key())
    history = Policies(store.link, tagger)
    live = LivePolicy(history, tagger)
    history.push(1, Actor("a"), "", BASE)
    with structlog.testing.capture_logs() as logs:
        for newest in (2, 3, 4):
            spoil(store, newest)
            live.refresh()
    assert [line["revision"] for line in logs] == [2, 3, 4]
    assert live.in_force == 1


def test_a_revision_of_an_absurd_time_is_shown(
    server: EmbeddedValkey, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A clock that was wrong when it was pushed is no error when it is read: the last moment that can be written."""
    client = LocalClient(store, ManualClock())
    with client.app.app_context():
        history = context().live.history
    history.push(ABSURD, Actor("a"), "", BASE)
    status, _, found = client.request("GET", "/admin/policy")
    assert (status, found["at"]) == (200, "9999-12-31T23:59:59.999Z")
    tag_key = codes.new_key()
    store.link.command(0, ["FLUSHALL"])
    Policies(store.link, codes.Tagger(tag_key)).push(ABSURD, Actor("a"), "", BASE)
    env = {"VERIFY_REDIS_URL": server.url, "VERIFY_TAG_KEY": tag_key, "VERIFY_STATE_DIR": str(tmp_path)}
    done = CliRunner().invoke(commands, ["policy", "log", "--json"], env=env, catch_exceptions=False)
    (line,) = json.loads(done.stdout)
    assert (done.exit_code, line["at"]) == (0, "9999-12-31T23:59:59.999Z")
    assert rfc3339(-ABSURD) == "0001-01-01T00:00:00.000Z"
