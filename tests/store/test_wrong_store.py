"""A role that meets another store than its own says so: one of another tag key, or one that has lost what it held."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import run
from tests.support.live import BASE, PATIENCE_S, until
from tests.support.roles import answers, children, role
from verify_service import codes
from verify_service.embedded import EmbeddedValkey, free_port
from verify_service.model import Actor
from verify_service.runtime import LOST
from verify_service.store import Store
from verify_service.store.policies import Policies

pytestmark = pytest.mark.slow

REFUSED = (
    "verify-service: revision 1 of the policy in the store cannot be unsealed: VERIFY_TAG_KEY is not the key that the "
    "store was first used with\n"
)
TOLD = "the store had no policy; this one is in force now"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedValkey]:
    with EmbeddedValkey(tmp_path / "valkey", append_fsync="no") as made:
        yield made


def environment(server: EmbeddedValkey, tag_key: str) -> dict[str, str]:
    keys = {"VERIFY_KEYS": f"k1:{codes.new_key()}", "VERIFY_TAG_KEY": tag_key, "VERIFY_API_KEY": "0" * 32}
    return {"VERIFY_REDIS_URL": server.url, **keys}


def lines(log: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in log.read_text().splitlines() if line.startswith("{")]
    return [line for line in found if line["event"] == TOLD]


def test_a_dispatcher_of_another_tag_key_does_not_start(server: EmbeddedValkey, tmp_path: Path) -> None:
    """It says the same line as the web role, sends nothing, and ends with the same status."""
    store = Store(server.url)
    store.prepare()
    Policies(store.link, codes.Tagger(codes.new_key())).first(1, Actor("start"), "", BASE)
    env = environment(server, codes.new_key())
    for words in (["dispatch"], ["web", "--port", str(free_port()), "--quiet"]):
        done = run(*words, env=env, cwd=tmp_path)
        assert (done.returncode, done.stderr.splitlines(keepends=True)[-1]) == (2, REFUSED)


def test_a_dispatcher_ends_where_the_store_turns_out_to_be_another_tag_keys(
    server: EmbeddedValkey, tmp_path: Path
) -> None:
    """It may start before the web role, on a store that nobody's key has sealed anything in yet."""
    with role(tmp_path, environment(server, codes.new_key()), "dispatch") as (process, log):
        store = Store(server.url)
        until(store.outbox.alive)
        Policies(store.link, codes.Tagger(codes.new_key())).first(1, Actor("start"), "", BASE)
        assert process.wait(PATIENCE_S) == 2
        assert log.read_text().endswith(REFUSED)


def test_a_web_role_that_finds_no_policy_warns_once(server: EmbeddedValkey, tmp_path: Path) -> None:
    """After FLUSHALL the next start says what was put in force and what that means; the start after it says nothing."""
    env, told = environment(server, codes.new_key()), []
    for flush in (False, True, False):
        if flush:
            Store(server.url).link.command(0, ["FLUSHALL"])
        port = free_port()
        with role(tmp_path, env, "web", "--port", str(port), "--workers", "2", "--quiet") as (process, log):
            until(lambda process=process, port=port: answers(process, port))  # type: ignore[misc]
        told.append(
            [(line["level"], line["policy"], line["revision"], "opt-outs" in line["hint"]) for line in lines(log)]
        )
    first = ("warning", "the shipped default", 1, True)
    assert LOST.startswith("right for a new store; one that was in use has lost its data")
    assert told == [[first], [first], []]


def test_a_run_warns_of_an_empty_store_but_for_its_own_first(tmp_path: Path) -> None:
    """A state folder that is new is no loss; one whose store is empty all the same is."""
    state, levels = tmp_path / "state", []
    for flush in (False, True):
        port = free_port()
        words = ("run", "--port", str(port), "--workers", "1")
        with role(tmp_path, {"VERIFY_STATE_DIR": str(state)}, *words) as (process, log):
            until(lambda process=process, port=port: answers(process, port))  # type: ignore[misc]
            if not flush:
                Store((state / "store-url").read_text()).link.command(0, ["FLUSHALL"])
        levels.append([line["level"] for line in lines(log)])
    assert levels == [["info"], ["warning"]]


def test_a_run_warns_where_its_web_role_comes_back_to_an_empty_store(tmp_path: Path) -> None:
    """Only the first start of the web role may take an empty store for a new one."""
    state, port = tmp_path / "state", free_port()
    words = ("run", "--port", str(port), "--workers", "1")
    with role(tmp_path, {"VERIFY_STATE_DIR": str(state)}, *words) as (process, log):
        until(lambda: "Ctrl-C stops it all." in log.read_text())
        Store((state / "store-url").read_text()).link.command(0, ["FLUSHALL"])
        (web,) = (pid for pid, words in children(process.pid).items() if " web " in words)
        os.kill(web, signal.SIGKILL)
        until(lambda: len(lines(log)) == 2)
    assert [line["level"] for line in lines(log)] == ["info", "warning"]
