"""`verify-service messages`: what each text takes and costs, and one text as it would go out."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.commands import run
from verify_service.messages.locales import tags
from verify_service.policy import file as policy_file

pytestmark = pytest.mark.slow

POLICY = re.sub(r"(?s)(?<=\n\[prices\]\n).*?(?=\n#)", "default = 0.1\nUS = 0.01\n", policy_file.default_text())
FINE = '[tenants.acme]\nbrand = "Acme"\n[templates.login]\nen = "{code} is your {brand} code."\n'


@pytest.fixture
def env(tmp_path: Path) -> dict[str, str]:
    """A policy with two prices."""
    (tmp_path / "policy.toml").write_text(POLICY)
    return {"VERIFY_POLICY": str(tmp_path / "policy.toml")}


def lint(folder: Path, env: dict[str, str], toml: str, *words: str) -> tuple[int, list[dict[str, Any]], str]:
    """(exit status, the rows, standard error) for this verify.toml."""
    (folder / "verify.toml").write_text(toml)
    done = run("messages", "lint", str(folder / "verify.toml"), "--json", *words, env=env)
    return done.returncode, json.loads(done.stdout), done.stderr


def test_all_shipped_texts_pass(env: dict[str, str]) -> None:
    """Both texts, three replies and three notices of each language, with a brand of eleven characters: one segment, no
    fault."""
    done = run("messages", "lint", "--json", env=env)
    rows = json.loads(done.stdout)
    assert (done.returncode, done.stderr, len(rows)) == (0, "", 8 * len(tags()))
    assert {(row["segments"], tuple(row["faults"])) for row in rows} == {(1, ())}


def test_a_template_is_measured_and_priced(tmp_path: Path, env: dict[str, str]) -> None:
    """Encoding, units, what forces UCS-2, room for a WebOTP host, and dollars in each country with a price."""
    toml = FINE.replace("your", "tú")
    status, rows, said = lint(tmp_path, env, toml)
    assert (status, said) == (0, "")
    assert rows == [
        {
            "text": "templates.login.en",
            "encoding": "UCS-2",
            "used": 25,
            "room": 70,
            "segments": 1,
            "forces_ucs2": {"ú": "u"},
            "longest_host": 70 - 25 - len("\n@ #12345678"),
            "longest_host_short": 70 - 25 - len("\n@ #12345678"),
            "faults": [],
            "costs": {"default": 0.1, "US": 0.01},
        }
    ]


def test_what_is_no_good_is_listed_whole(tmp_path: Path, env: dict[str, str]) -> None:
    """Exit status 2; every fault of every text, where a start stops at the first; two segments cost twice."""
    toml = FINE + f'de = "A{{code}} {"x" * 170} www.acme"\nfr = "{{kode}}"\n[replies.help]\nen = "{{brand}}: ask us"\n'
    status, rows, said = lint(tmp_path, env, toml)
    assert status == 2
    assert [(row["text"], len(row["faults"])) for row in rows] == [
        ("templates.login.en", 0),
        ("templates.login.de", 3),
        ("templates.login.fr", 1),
        ("replies.help.en", 0),
    ]
    assert (rows[1]["segments"], rows[1]["costs"]) == (2, {"default": 0.2, "US": 0.02})
    assert [line.split(":")[1].strip() for line in said.splitlines()] == 3 * ["templates.login.de"] + [
        "templates.login.fr"
    ]


def test_the_table_for_people(tmp_path: Path, env: dict[str, str]) -> None:
    """A line per text, the operator's by default and ours on request; then the prices."""
    file = tmp_path / "verify.toml"
    file.write_text(FINE)
    done = run("messages", "lint", str(file), env=env)
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["text", "encoding", "units", "seg.", "host", "short", "dollars", "forces", "UCS-2"]
    assert lines[1].split() == ["templates.login.en", "GSM-7", "27/160", "1", "121", "121", "0.01", "-", "0.1"]
    assert lines[-1] == "1 segment, in US dollars: default 0.1  US 0.01"
    assert "default ja" not in done.stdout
    assert "default ja" in run("messages", "lint", str(file), "--shipped", env=env).stdout


def test_a_brand_that_does_not_fit_is_told(env: dict[str, str]) -> None:
    """A shipped text gives up what it can; one that still takes two segments is an error."""
    done = run("messages", "lint", "--brand", "Ж" * 32, env=env)
    assert done.returncode == 2
    said = "verify-service: transaction en: takes 2 segments, each billed; shorten the brand"
    assert said in done.stderr.splitlines()


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, env: dict[str, str]) -> None:
    """Exit status 2 and one line."""
    done = run("messages", "lint", str(tmp_path / "none.toml"), env=env)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)


def test_a_text_is_shown_as_it_would_go_out(tmp_path: Path, env: dict[str, str]) -> None:
    """The body alone on standard output; what it takes on standard error; as JSON, all of it."""
    words = ["--locale", "de-AT", "--code", "482913", "--brand", "Acme", "--origin", "login.example.com"]
    done = run("messages", "show", *words, env=env)
    body = "482913 ist Ihr Acme-Code. Er gilt 10 Minuten. Geben Sie ihn nicht weiter.\n@login.example.com #482913"
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{body}\n", "de, GSM-7, 100 of 160 units, 1 segment\n")
    shown = json.loads(run("messages", "show", *words, "--channel", "email", "--json", env=env).stdout)
    assert (shown["subject"], shown["locale"], shown["segments"]) == ("Ihr Acme-Code", "de", 1)
    words = ["--notice", "wrong_codes", "--channel", "email", "--brand", "Acme", "--json"]
    told = json.loads(run("messages", "show", *words, env=env).stdout)
    assert told["subject"] == "Acme: Many wrong codes were entered for your account."
    (tmp_path / "verify.toml").write_text(FINE + '[providers.a]\nkind = "fake"\n')
    own = run("messages", "show", "--brand", "Acme", env={**env, "VERIFY_CONFIG": str(tmp_path / "verify.toml")})
    assert own.stdout == "12345678 is your Acme code.\n"


def test_a_code_is_digits(env: dict[str, str]) -> None:
    """Anything else is wrong usage."""
    assert run("messages", "show", "--code", "12a4", env=env).returncode == 2
