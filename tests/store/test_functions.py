"""Our Lua as sources: what each may use of the others, and how an error names its place in them."""

import re
from importlib.resources import files
from pathlib import Path

import pytest
import redis

from verify_service.embedded import EmbeddedValkey
from verify_service.errors import StoreUnavailable
from verify_service.store import Store
from verify_service.store.connection import Call, prefix
from verify_service.store.functions import FUNCTIONS, LIBRARY, VERSION, library
from verify_service.store.scratch import ScratchStore, Step

LUA = files("verify_service.store") / "lua"


MOST_LINES = 60


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
        store.link.call(Call(0, "reserve", [f"{prefix(0)}sender:lines"], ["no number", 1, 1000]))
    assert failing_line(failed.value) == "local after = free + ARGV[1] * ARGV[2]"


def test_an_error_names_the_line_in_a_scratch_store_too(tmp_path: Path) -> None:
    """Its library has one source more, behind all others."""
    with EmbeddedValkey(tmp_path, append_fsync="no") as server:
        scratch = ScratchStore(server.url)
        scratch.send([Step("forget", "ve_1", [], [{}])])  # type: ignore[list-item]
        with pytest.raises(StoreUnavailable) as failed:
            scratch.receive()
        assert "remove(base" in failing_line(failed.value)
    ours, its = LIBRARY.splitlines()[3:], library(scratch=True)[1].splitlines()[3:]
    assert its[: len(ours)] == ours


def test_no_function_is_longer_than_a_page() -> None:
    """What is to be held in mind at once, with its name and its end; each stands by itself in its source."""
    sources = [path for folder in (LUA, LUA / "kinds") for path in folder.iterdir() if path.name.endswith(".lua")]
    functions = {
        f"{path.name} {name}": body.count("\n") + 2
        for path in sources
        for name, body in re.findall(
            r"^local function (\w+)(.*?)^end$", path.read_text("utf-8"), re.DOTALL | re.MULTILINE
        )
    }
    assert {name: lines for name, lines in functions.items() if lines > MOST_LINES} == {}
    assert functions["start.lua start"] < 20
