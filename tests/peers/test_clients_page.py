"""The programs of docs/clients.md, as printed: generated, type-checked, and run against the live service."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.bench import wrong
from tests.support.live import clean
from verify_service.testing import VerifyClient, VerifyInbox, VerifyServer

TOP = Path(__file__).parents[2]
PAGE = (TOP / "docs" / "clients.md").read_text("utf-8")
NUMBER = "+14155550123"
INSTALLS = r"^(?:pip|npm) install (?:--save-dev )?(.+)$"
# The program's file, as which the page calls it, and how it is run.
PROGRAMS = {"Python": ("sign_in.py", "python"), "TypeScript": ("sign-in.mts", "typescript")}


def blocks(section: str, fence: str) -> str:
    """The blocks of a section, of one kind, one after the other."""
    text = PAGE.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return "".join(re.findall(rf"^```{fence}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE))


class Program:
    """A program of the page in a folder of its own, made and checked by the page's commands."""

    def __init__(self, section: str, folder: Path, server: VerifyServer) -> None:
        name, fence = PROGRAMS[section]
        (folder / name).write_text(blocks(section, fence))
        (folder / "node_modules").symlink_to(Path(sys.prefix) / "typescript" / "node_modules")
        commands = blocks(section, "sh").replace("http://127.0.0.1:8080", server.url).strip().split("\n")
        *made, self._run = [line for line in commands if not re.match(INSTALLS, line)]
        self._folder = folder
        self._env = clean({"LOGIN_VERIFY_URL": server.url, "LOGIN_API_KEY": server.api_key})
        self._env["PATH"] = f"{sys.prefix}/bin:{os.environ['PATH']}"
        self._env["PYTHONPATH"] = self._env["MYPYPATH"] = "verify-client"  # in place of installing it
        for command in made:
            done = subprocess.run(
                command.split(), cwd=folder, env=self._env, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr
            assert "WARNING" not in done.stdout + done.stderr

    def run(self, inbox: VerifyInbox, right: bool = True) -> tuple[str, str]:
        """What it says, and what it says on standard error, when it is given the number and then a code."""
        pipe = subprocess.PIPE
        command = self._run.split()
        with subprocess.Popen(
            command, cwd=self._folder, env=self._env, stdin=pipe, stdout=pipe, stderr=pipe, text=True
        ) as program:
            assert program.stdin
            assert program.stdout
            program.stdin.write(f"{NUMBER}\n")
            program.stdin.flush()
            said = ""
            while not said.endswith("Code: ") and (letter := program.stdout.read(1)):
                said += letter
            if said.endswith("Code: "):
                code = inbox.code(NUMBER)
                program.stdin.write(f"{code if right else wrong(code)}\n")
            rest, errors = program.communicate()
        return said + rest, errors


@pytest.mark.parametrize("section", PROGRAMS)
def test_a_program_of_the_page_signs_in_as_printed(
    section: str, tmp_path: Path, verify_server: VerifyServer, verify_client: VerifyClient, verify_inbox: VerifyInbox
) -> None:
    """A right code, a wrong one, and a start that comes too early; each with what the type checker let it say."""
    program = Program(section, tmp_path, verify_server)
    verify_client.forget(NUMBER)
    assert program.run(verify_inbox) == ("Number: Code: approved\n", "")
    assert program.run(verify_inbox, right=False) == ("Number: Code: pending, tries left: 4\n", "")
    said, errors = program.run(verify_inbox)
    assert said == "Number: "
    assert re.fullmatch(r"Try again in ([12]?\d|30) s\.\n", errors)
    verify_client.forget(NUMBER)


def test_what_the_page_installs_is_what_these_tests_run_on() -> None:
    """From npm, by the lock beside this file; from Python's packages, by pyproject.toml."""
    npm = json.loads((TOP / "tests/peers/typescript/package.json").read_text("utf-8"))["devDependencies"]
    groups = tomllib.loads((TOP / "pyproject.toml").read_text("utf-8"))["dependency-groups"]
    pip = {re.split(r"[\[<>=]", each)[0] for each in (*groups["peers"], *groups["dev"])}
    named = {each: re.findall(INSTALLS, blocks(each, "sh"), re.MULTILINE) for each in PROGRAMS}
    assert set(" ".join(named["TypeScript"]).split()) <= set(npm)
    assert set(" ".join(named["Python"]).split()) - {"./verify-client"} <= pip
