"""What the docs tell operators is there: commands, options, metrics, problems, the words of the log."""

import re
import textwrap
from pathlib import Path

import click
import pytest

from tests.support.metrics import metrics
from verify_service import config
from verify_service.cli import commands
from verify_service.store import event_types
from verify_service.web.catalogue import PROBLEM_TYPES

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
RUNBOOK = (ROOT / "docs" / "runbook.md").read_text("utf-8")
SOURCES = "\n".join(
    path.read_text("utf-8") for kind in ("py", "lua") for path in (ROOT / "verify_service").rglob(f"*.{kind}")
)
FIXTURES = re.findall(
    r"^def (verify_\w+)\(", (ROOT / "verify_service/testing/__init__.py").read_text("utf-8"), re.MULTILINE
)
every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)


def faults(invocation: str) -> list[str]:
    """What is wrong with `verify-service …` as a page prints it."""
    words = re.split(r"\s#|[|;&>`<)]", invocation, maxsplit=1)[0].split()
    command: click.Command = commands
    while words and isinstance(command, click.Group):
        if words[0].startswith("-") or words[0] in {"…", "web,"}:
            return []
        found = command.commands.get(words[0].rstrip(".,:"))
        if found is None:
            return [f"no command {words[0]} in {invocation}"]
        command, words = found, words[1:]
    options = {option for parameter in command.params for option in parameter.opts} | {"--help"}
    asked = [word.strip("[].,:").partition("=")[0] for word in words if word.strip("[").startswith("--")]
    return [f"no option {option} in {invocation}" for option in asked if option not in options]


@every_page
def test_commands_and_their_options_are_those_of_the_program(page: Path) -> None:
    """Each `verify-service` that a page prints names a command, and options that it has."""
    invocations = re.findall(r"(?:[`$/]|^    |^|\n)\s?verify-service +([^\n]+)", page.read_text("utf-8"))
    assert [fault for each in invocations for fault in faults(each)] == []


@every_page
def test_metrics_and_their_labels_are_those_that_are_served(page: Path) -> None:
    """Whatever begins with `verify_` and is no module or column of ours, with the labels between its braces."""
    known = metrics()
    for name, labels in re.findall(r"\b(verify_[a-z_]+)(?:\{([^}]*)\})?", page.read_text("utf-8")):
        if name in ("verify_service", "verify_service_client", "verify_iat", *FIXTURES):  # `verify_iat` is PyJWT's.
            continue
        assert name in known
        asked = {label.partition("=")[0].strip("~!\\ ") for label in labels.split(",") if label}
        assert asked <= set(known[name]), (name, labels)


@every_page
def test_problems_are_those_of_the_catalogue(page: Path) -> None:
    """A status with a slug beside it."""
    told = re.findall(r"\b(4\d\d|503) `([a-z-]+)`", page.read_text("utf-8"))
    assert [pair for pair in told if PROBLEM_TYPES[pair[1]].status != int(pair[0])] == []


def test_the_runbooks_log_lines_are_what_is_logged() -> None:
    """The event of each JSON line, and every reason that is more than a vendor's or a rehearsal's own words."""
    events = set(re.findall(r'"event":"([^"]+)"', RUNBOOK))
    assert {event for event in events if f'"{event}"' not in SOURCES} == set()
    for words in (
        "no provider took it",
        "no dispatcher is alive: messages wait in the outbox",
        "no such key in the ring",
        "store answers again",
        "is exhausted until after the code's end",
        "has no room for",
        "no receipt within",
        "tries in a row failed or came too late",
        "without a receipt that they arrived",
        "does well again",
        "the endpoint is off",
        "events are tried again",
    ):
        assert words in RUNBOOK
        assert words in SOURCES


def test_the_runbook_leads_to_its_own_headings() -> None:
    """Each link within the page."""
    headings = {re.sub(r"[^a-z0-9 -]", "", line[3:].lower()).replace(" ", "-") for line in RUNBOOK.splitlines()}
    assert [anchor for anchor in re.findall(r"\]\(#([^)]+)\)", RUNBOOK) if anchor not in headings] == []


def test_each_verify_toml_of_the_readme_can_be_used(tmp_path: Path) -> None:
    """With a real digest in place of the dots."""
    readme = PAGES[0].read_text("utf-8")
    examples = [
        textwrap.dedent(text) for text in re.findall(r"^ *```toml\n(.*?)^ *```", readme, re.DOTALL | re.MULTILINE)
    ]
    kinds = []
    for example in examples:
        (tmp_path / "verify.toml").write_text(example.replace("sha256:…", f"sha256:{'0' * 64}"))
        kinds.append([provider.kind for provider in config.load(tmp_path / "verify.toml", None).providers.values()])
    assert kinds == [["webhook"], ["twilio", "vonage"]]


def test_the_drill_can_be_started() -> None:
    """The file is a verify.toml, with the providers that the runbook tells to misbehave."""
    found = config.load(ROOT / "docs" / "example" / "drill.toml", None)
    assert set(re.findall(r'"provider": "(\w+)"', RUNBOOK)) <= set(found.providers)
    assert found.fake


def test_the_reference_has_each_event_with_its_fields() -> None:
    """As they are declared, and no others."""
    page = (ROOT / "docs" / "reference.md").read_text("utf-8")
    rows = [row.split(" | ") for row in page.split("| event | when |")[1].splitlines()[2:] if row.startswith("| `")]
    told = {tuple(re.findall(r"`([\w-]+)`", row[0])): re.findall(r"`(\w+)`", row[2]) for row in rows}
    assert told == {tuple(kind.events): kind.names() for kind in event_types.ALL}
