"""The pytest plugin, as a stranger's project uses it."""

import os
import re
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from verify_service.testing import start_server

pytestmark = pytest.mark.slow

CONFTEST = """
import pytest

@pytest.fixture(scope="session")
def verify_server_env():
    return {"VERIFY_API_KEY": "a-key-of-the-strangers-own"}
"""
PROJECT = '''
import pytest

TO = "+14155550123"

def test_login(verify_client, verify_inbox):
    started = verify_client.start(TO)
    assert verify_client.check(id=started["id"], code=verify_inbox.code(TO))["approved"]

def test_expiry(verify_client, verify_inbox, verify_clock):
    started = verify_client.start(TO)
    code = verify_inbox.code(TO)
    verify_clock.advance(601)
    with pytest.raises(Exception, match="404"):
        verify_client.check(id=started["id"], code=code)

@pytest.mark.parametrize("again", range(7))
def test_each_begins_anew(verify_client, verify_inbox, again):
    """Neither messages nor limits nor behaviour of the test before."""
    assert verify_inbox.messages(TO) == []
    assert verify_client.start(TO)["sends_left"] == 4
    assert verify_inbox.code(TO)
    verify_inbox.behave({"to": "*", "do": "reject"})

def test_no_message(verify_client, verify_inbox):
    verify_inbox.behave({"to": TO, "do": "lose"})
    verify_client.start(TO)
    with pytest.raises(AssertionError, match=r"no message to \\+14155550123 within 0.3 s"):
        verify_inbox.code(TO, wait=0.3)

def test_server(verify_server):
    assert verify_server.api_key == "a-key-of-the-strangers-own"
    print("served at", verify_server.url)
'''


def run_project(folder: Path, **files: str) -> str:
    """What pytest says of a project of these files, all of whose tests pass."""
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST_", "VERIFY_"))}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-rP", "-p", "no:cacheprovider", "--basetemp", str(folder / "t")],
        cwd=folder,
        env=env,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_fresh_project_uses_the_four_fixtures(tmp_path: Path) -> None:
    """Installed is enough: a project with no more than its tests gets a live server, and nothing of it stays."""
    said = run_project(tmp_path, conftest=CONFTEST, test_project=PROJECT)
    assert "11 passed" in said
    port = re.search(r"served at http://127\.0\.0\.1:(\d+)", said)
    assert port
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", int(port[1]))) != 0


def test_the_recipes_of_the_page_run_as_they_stand(tmp_path: Path) -> None:
    """Its conftest, and its tests in their order, the scenario that it shows beside them."""
    page = (Path(__file__).parents[2] / "docs/testing.md").read_text("utf-8")
    blocks = re.findall(r"^```(python|json)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    conftest, *tests = [text for language, text in blocks if language == "python"]
    (tmp_path / "incident.jsonl").write_text(next(text for language, text in blocks if language == "json"))
    said = run_project(tmp_path, conftest=conftest, test_recipes="\n".join(tests))
    assert f"{len(tests) - 1} passed" in said


def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """The test run fails with the service's own words, not with a timeout."""
    with pytest.raises(RuntimeError, match="VERIFY_REDIS_URL: write redis://"):
        start_server(tmp_path / "state", {"VERIFY_REDIS_URL": "http://nowhere"})
