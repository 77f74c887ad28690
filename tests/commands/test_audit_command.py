"""`verify-service audit`: listed, followed, taken out and verified; and what each command says of who ran it."""

import json
import socket

import pytest
from click.testing import CliRunner, Result

from tests.support.commands import run
from verify_service.cli import commands
from verify_service.codes import Tagger, new_key
from verify_service.model import Actor
from verify_service.store import Store
from verify_service.store.audit import Audit

KEY = "vs:{0}:audit"
HERE = f"ops@{socket.gethostname()}"


@pytest.fixture
def env(quiet: Store) -> dict[str, str]:
    """Of a service whose log is empty."""
    quiet.link.command(0, ["DEL", KEY, f"{KEY}:hours"])
    return {"VERIFY_REDIS_URL": quiet.link.url, "VERIFY_TAG_KEY": new_key(), "LOGNAME": "ops"}


def ask(env: dict[str, str], *words: str) -> Result:
    return CliRunner().invoke(commands, words, env=env)


def test_the_log_is_listed_taken_out_and_verified(quiet: Store, env: dict[str, str]) -> None:
    """Who is named acted from the login name and host. The newest first for people; for programs all, oldest first, and
    then the head, by which a log that was cut is noticed."""
    assert ask(env, "audit").stdout == "nothing has been done yet\n"
    assert ask(env, "audit", "--verify").stdout == "the log is empty\n"
    replay = ("webhooks", "replay", "--by", "ann")
    assert ask(env, *replay, "--reason", "the endpoint is back").stdout == "0 events are tried again\n"
    ask(env, *replay)
    second, first = ask(env, "audit").stdout.splitlines()
    assert second.split()[:1] + second.split()[2:] == ["2", "ann", f"({HERE})", "replay", "webhooks", "tenant=default"]
    assert first.endswith(f"ann ({HERE})  replay webhooks tenant=default: the endpoint is back")
    *lines, last = map(json.loads, ask(env, "audit", "--json").stdout.splitlines())
    assert [(line["seq"], line["who"], line["from"], line["act"]) for line in lines] == [
        (1, "ann", HERE, "replay"),
        (2, "ann", HERE, "replay"),
    ]
    assert lines[1]["before"] == lines[0]["seal"]
    assert last == {"head": f"2:{lines[1]['seal']}"}
    assert ask(env, "audit", "--after", "1", "--json").stdout.count("\n") == 2
    verified = ask(env, "audit", "--verify", "--from", last["head"])
    assert (verified.exit_code, verified.stdout) == (0, f"2 entries, 1 to 2; the head is {last['head']}\n")
    for words in (("--from", last["head"]), ("--verify", "--from", "2"), ("--after", "-1"), ("--after", "9" * 20)):
        assert ask(env, "audit", *words).exit_code == 2
    quiet.link.command(0, ["XDEL", KEY, "1-0"])
    broken = run("audit", "--verify", env=env)
    assert (broken.returncode, broken.stderr) == (1, "verify-service: the audit log is not whole\n")
    assert broken.stdout.startswith("entry 1 is gone, and the log had room for more\n1 entry, 2 to 2;")
    quiet.link.command(0, ["DEL", KEY])
    assert str(ask(env, "audit", "--verify", "--from", last["head"]).exception) == "the audit log is not whole"


def test_another_key_reads_nothing_and_says_so(quiet: Store, env: dict[str, str]) -> None:
    """Neither list nor export fails over an entry that it cannot read."""
    with Audit(quiet.link, Tagger(env["VERIFY_TAG_KEY"])).act(1, Actor("ann"), "lift", "block:bl_1"):
        pass
    other = env | {"VERIFY_TAG_KEY": new_key()}
    assert ask(other, "audit").stdout.strip() == (
        "1  this entry cannot be read: it was changed, or another VERIFY_TAG_KEY sealed it"
    )
    line, _ = map(json.loads, ask(other, "audit", "--json").stdout.splitlines())
    assert line.keys() == {"seq", "unreadable", "seal"}
    assert "another VERIFY_TAG_KEY" in ask(other, "audit", "--verify").stdout


def test_the_log_is_followed(quiet: Store, env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What was there, and each act as it comes, once."""
    log = Audit(quiet.link, Tagger(env["VERIFY_TAG_KEY"]))
    acts = iter(("lift", "unlock", "push"))

    def do() -> None:
        with log.act(1, Actor("ann"), next(acts)):
            pass

    def until_there_is_more(_seconds: float) -> None:
        try:
            do()
        except StopIteration:
            raise KeyboardInterrupt from None

    do()
    monkeypatch.setattr("verify_service.commands.audit.time.sleep", until_there_is_more)
    followed = ask(env, "audit", "--follow", "--json")
    assert [json.loads(line)["act"] for line in followed.stdout.splitlines() if line] == ["lift", "unlock", "push"]
