"""Our Lua as sources: what each may use of the others, and how an error names its place in them."""

import re
from importlib.resources import files
from pathlib import Path

import pytest
import redis

from verify_service.embedded import EmbeddedValkey
from verify_service.errors import StoreUnavailable
from verify_service.store import Store
from verify_service.store.connection import Argument, Call, prefix
from verify_service.store.functions import FUNCTIONS, VERSION
from verify_service.store.rehearsal import Rehearsal, Step

LUA = files("verify_service.store") / "lua"
NOT_SETTINGS = b"\x01"
KEYS = [f"{prefix(0)}live:number:tenant:login"]
ARGS: list[Argument] = ["1", NOT_SETTINGS, NOT_SETTINGS, "", ""]


def failing_line(error: StoreUnavailable) -> str:
    """The line of a source that an error names."""
    found = re.search(r"(\w+\.lua):(\d+)", error.reason)
    assert found, error.reason
    return (LUA / found[1]).read_text("utf-8").splitlines()[int(found[2]) - 1].strip()


@pytest.mark.parametrize("name", [name for names in FUNCTIONS.values() for name in names])
def test_each_function_finds_what_its_source_imports(store: Store, name: str) -> None:
    """Sources share names by import alone, and one that asks for what another does not return fails at its first call.
    So does a function that Redis is told of and that its source does not return. What is LATE has imported all."""
    with pytest.raises(redis.ResponseError, match="LATE"):
        store.link.client().fcall(f"vs_{name}_{VERSION}", 0, "1")


def test_an_error_names_the_line_of_its_source(store: Store) -> None:
    """Redis counts the lines of the library, and the log those of what we wrote."""
    with pytest.raises(StoreUnavailable) as failed:
        store.link.call(Call(0, "start", KEYS, ARGS))
    assert "keep_events, idem_ms = unpack(cmsgpack.unpack(packed))" in failing_line(failed.value)


def test_an_error_names_the_line_in_a_rehearsal_too(tmp_path: Path) -> None:
    """Its library has a source more."""
    with EmbeddedValkey(tmp_path, append_fsync="no") as server:
        rehearsal = Rehearsal(server.url)
        with pytest.raises(StoreUnavailable) as failed:
            rehearsal.replay([Step("start", "ve_1", KEYS, ARGS)])
        assert "keep_events, idem_ms = unpack(cmsgpack.unpack(packed))" in failing_line(failed.value)
        with pytest.raises(StoreUnavailable) as failed:
            rehearsal.replay([Step("forget", "ve_1", [], ["ve_1"])])
        assert "keys[place]" in failing_line(failed.value)
