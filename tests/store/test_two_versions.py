"""Two versions side by side on one store: each reads what the other writes, in either order."""

from pathlib import Path

import pytest

from tests.support.live import until
from tests.support.roles import THEN, package_of_then
from tests.support.two_versions import begin, end, restored, versions

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def then(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the earlier version; the first process of it compiles it for all."""
    return package_of_then(tmp_path_factory.mktemp("then"))


@pytest.mark.parametrize(("first", "second"), [("then", "now"), ("now", "then")])
def test_what_one_version_began_another_ends(tmp_path: Path, then: Path, first: str, second: str) -> None:
    """By real roles of both, upgraded and gone back. Pending codes are right and wrong, queued messages go out,
    receipts and overdue ones find theirs, limits count on, events are exported and told, keys and consents hold."""
    with versions(tmp_path, then) as life:
        end(life, second, begin(life, first))


@pytest.mark.parametrize("kept", ["store.json", "earlier.json"])
def test_a_store_that_was_kept_is_taken_up(tmp_path: Path, then: Path, kept: str) -> None:
    """The very bytes that a version left, and one before it, read by this one as they were by their own."""
    with versions(tmp_path, then) as life:
        end(life, "now", restored(life, (THEN / kept).read_bytes()))


def test_roles_are_upgraded_one_by_one_and_back(tmp_path: Path, then: Path) -> None:
    """In the order of docs/upgrade.md: dispatchers first, then web roles; and back in the other order. At each step
    what any web role starts is sent by whichever dispatcher is there, and any web role takes its code."""
    steps = [("then", "then"), ("then", "now"), ("now", "now"), ("then", "now"), ("then", "then")]
    with versions(tmp_path, then) as life, life.web("then") as before, life.web("now") as after:
        clients = {"then": before, "now": after}
        for n, (web, dispatcher) in enumerate(steps):
            to = f"+1415555{2301 + n}"
            with life.dispatcher(dispatcher):
                id = clients[web].start(to)["id"]
                until(lambda to=to: life.messages(to), f"a message to {to}")  # type: ignore[misc]
                other = after if web == "then" else before
                assert other.check(id=id, code=life.messages(to)[0][1])["status"] == "approved"
