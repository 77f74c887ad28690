"""An adapter speaks one vendor's wire format, and that is all: whether, when, by whom and how often a message is sent,
and what is said of it, is the dispatcher's."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import verify_service

ROOM = Path(verify_service.__file__).parent / "providers"
ADAPTERS = sorted(path for path in ROOM.glob("*.py") if path.name != "__init__.py")
# What an adapter may know of the rest of the house: it keeps idle connections; the fake provider's inbox is its vendor.
MAY_KNOW = {"adapters", "decoders", "duration", "errors", "idle", "inbox", "model", "providers", "signing"}
NO_BUSINESS = {"logging", "structlog", "random", "sched", "tenacity", "backoff", "stamina", "warnings"}
# What hands a message over, in any of them.
SENDING = {"send", "post", "urlopen", "submit", "sendmail", "send_message", "send_text_message", "send_voice_message"}
CLIENTS_WITH_RETRIES = {"urllib3": "retries=False", "boto3": '"total_max_attempts": 1'}


def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


def _calls(node: ast.AST) -> Iterator[str]:
    for found in ast.walk(node):
        if isinstance(found, ast.Call):
            yield found.func.attr if isinstance(found.func, ast.Attribute) else ast.unparse(found.func)


@pytest.mark.parametrize("path", ADAPTERS, ids=lambda path: path.stem)
def test_no_adapter_sends_twice(path: Path) -> None:
    """Nothing is handed over in a loop, nor after a failure: a second try is not the adapter's to make."""
    again = [
        f"line {node.lineno}: {call}"
        for node in ast.walk(_tree(path))
        if isinstance(node, ast.For | ast.While | ast.ExceptHandler)
        for call in _calls(node)
        if call in SENDING
    ]
    assert again == []


# The fake provider is slow where it is told to be, and a kept connection has a pulse.
AT_ONCE = [path for path in ADAPTERS if path.stem not in ("fake", "smpp_bind")]


@pytest.mark.parametrize("path", AT_ONCE, ids=lambda path: path.stem)
def test_no_adapter_waits(path: Path) -> None:
    """None sleeps before it sends, or after."""
    assert [call for call in _calls(_tree(path)) if call == "sleep"] == []


@pytest.mark.parametrize("path", ADAPTERS, ids=lambda path: path.stem)
def test_no_adapter_logs_or_decides(path: Path) -> None:
    """It has neither a log nor dice, and knows of no route, policy, store or setting."""
    known = set()
    for node in ast.walk(_tree(path)):
        if isinstance(node, ast.Import):
            known |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            known.add(node.module or "")
    rooms = {name.split(".")[1] for name in known if name.startswith("verify_service.")}
    assert rooms - MAY_KNOW == set()
    assert {name.split(".")[0] for name in known} & NO_BUSINESS == set()
    assert "print" not in _calls(_tree(path))


@pytest.mark.parametrize("library", CLIENTS_WITH_RETRIES)
def test_a_client_that_would_try_again_is_told_not_to(library: str) -> None:
    """The retries that libraries bring are off wherever one is made."""
    users = [path for path in ADAPTERS if f"import {library}\n" in path.read_text("utf-8")]
    assert users
    for path in users:
        assert CLIENTS_WITH_RETRIES[library] in path.read_text("utf-8")
