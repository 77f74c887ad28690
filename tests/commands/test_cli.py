"""The command line: results on standard output, one line of error on standard error, exit status 0, 1 or 2."""

import json
import re
import signal
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from tests.support.bench import wrong
from tests.support.commands import fails, run
from tests.support.contract import ContractClient, a_number
from tests.support.live import PATIENCE_S, clean, until
from verify_service import __version__, config
from verify_service.approvals import SigningKeys
from verify_service.cli import commands
from verify_service.codes import KeyRing, Tagger, api_key_digest
from verify_service.embedded import EmbeddedValkey
from verify_service.operators import Operator
from verify_service.policy import file as policy_file
from verify_service.testing import VerifyClock, VerifyInbox, VerifyServer, start_server

pytestmark = pytest.mark.slow


def test_help_and_version_answer_at_once(tmp_path: Path) -> None:
    """Every command explains itself; asking starts nothing and writes nothing."""
    assert run("--version").stdout.strip().endswith(__version__)
    for words in (
        [],
        ["run"],
        ["web"],
        ["dispatch"],
        ["policy"],
        ["policy", "push"],
        ["policy", "rollback"],
        ["events", "export"],
        ["simulate"],
        ["keys", "new"],
        ["apikey", "new"],
    ):
        done = run(*words, "--help", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.startswith("Usage: ")
    assert list(tmp_path.iterdir()) == []


def test_every_command_and_option_says_what_it_is_for() -> None:
    """A list of commands ends no line in the middle of a sentence, and no option is without its words."""

    def untold(group: click.Group) -> Iterator[str]:
        room = 72 - max(map(len, group.commands))  # what click leaves of a line of 80
        for name, command in group.commands.items():
            if command.get_short_help_str(room).endswith("..."):
                yield name
            for each in command.params:
                if isinstance(each, click.Option) and not each.help:
                    yield f"{name} {each.opts[0]}"
            if isinstance(command, click.Group):
                yield from untold(command)

    assert list(untold(commands)) == []


@pytest.mark.parametrize(
    "words",
    [
        ["fly"],
        ["run", "--port", "0"],
        ["run", "--port", "65536"],
        ["run", "--workers", "none"],
        ["apikey", "new"],
        ["apikey", "new", "--tenant", "Acme Inc"],
        ["apikey", "new", "--tenant", "acme", "--scope", "root"],
        ["apikey", "new", "--tenant", "acme", "--operator", "Ada"],
        ["apikey", "new", "--operator", 'Ada"\n[x]'],
        ["apikey", "new", "--operator", "Ada", "--scope", "verify"],
        ["events", "export", "--since", "yesterday"],
        ["policy", "check"],
        ["policy", "show", "me"],
        ["policy", "push"],
        ["policy", "rollback", "0"],
    ],
)
def test_wrong_usage_is_exit_status_2(words: list[str]) -> None:
    """What is wrong stands on standard error, nothing on standard output."""
    done = run(*words)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Error: " in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_no_revision_is_told_what_one_is() -> None:
    """A number, and where to find it."""
    for words in (["rollback", "x"], ["rollback", "0"], ["show", "--rev", "1.5"]):
        done = run("policy", *words)
        assert done.returncode == 2
        assert f"{words[-1]!r} is no revision: write a number such as 3; `policy log` lists them" in done.stderr


def test_new_keys_are_good_keys() -> None:
    """Three lines for an environment file, each time others, that the service takes as they are."""
    first, second = run("keys", "new"), run("keys", "new")
    assert not set(first.stdout.splitlines()) & set(second.stdout.splitlines())
    keys, tag_key, signing_keys = first.stdout.splitlines()
    assert KeyRing(keys.removeprefix("VERIFY_KEYS=")).newest
    assert Tagger(tag_key.removeprefix("VERIFY_TAG_KEY=")).tag("number", "+1")
    assert SigningKeys(signing_keys.removeprefix("VERIFY_SIGNING_KEYS=")).newest


def test_a_new_operators_key_works_when_its_entry_is_configured(tmp_path: Path) -> None:
    """What is printed after the first line of it is the entry; without a scope its person may look."""
    words = run("apikey", "new", "--operator", "Ada Byron", "--scope", "admin").stdout.splitlines()
    assert words[2] == "in verify.toml:"
    file = tmp_path / "verify.toml"
    file.write_text("\n".join(['[providers.fake-a]\nkind = "fake"', *words[3:]]))
    digest = api_key_digest(words[0].split()[-1])
    assert config.load(file, None).operators == {digest: Operator("Ada Byron", frozenset({"admin"}), digest)}
    as_json = json.loads(run("apikey", "new", "--operator", "Ada", "--json").stdout)
    assert {**as_json, "key": "", "digest": ""} == {"key": "", "digest": "", "operator": "Ada", "scopes": ["read"]}


def test_a_new_api_key_works_when_its_digest_is_configured(tmp_path: Path) -> None:
    """The printed line, pasted under the printed table, lets the printed key in with its scopes, and no other."""
    words = run("apikey", "new", "--tenant", "acme", "--scope", "verify", "--scope", "read").stdout.splitlines()
    key, digest = words[0].split()[-1], words[1].split()[-1]
    assert digest == api_key_digest(key)
    table, line = re.fullmatch(r"in verify\.toml under (\[tenants\.acme\]):  (.*)", words[2]).groups()  # type: ignore[union-attr]
    file = tmp_path / "verify.toml"
    file.write_text(f'[providers.fake-a]\nkind = "fake"\n{table}\n{line}\n')
    as_json = json.loads(run("apikey", "new", "--tenant", "acme", "--json").stdout)
    assert as_json == {
        "key": as_json["key"],
        "digest": api_key_digest(as_json["key"]),
        "tenant": "acme",
        "scopes": ["verify"],
    }
    running = start_server(tmp_path / "state", {"VERIFY_CONFIG": str(file)}, workers=1)
    try:
        client = ContractClient(VerifyServer(running.server.url, key, tmp_path, running.process.pid))
        assert client.start(a_number())["status"] == "pending"
        assert client.request("GET", "/metrics")[0] == 200
        stranger = ContractClient(VerifyServer(running.server.url, as_json["key"], tmp_path, running.process.pid))
        assert stranger.refused("POST", "/start", {"to": a_number()})["status"] == 401
    finally:
        running.stop()


def test_the_default_policy_is_printed_as_it_is_shipped(tmp_path: Path) -> None:
    """The text is a policy that `policy check` takes; with `--enforce` no limit only observes."""
    plain, enforced = run("policy", "default").stdout, run("policy", "default", "--enforce").stdout
    assert plain == policy_file.default_text()
    assert {limit.mode for limit in policy_file.parse(enforced, "x").limit} == {"enforce"}
    file = tmp_path / "policy.toml"
    file.write_text(enforced)
    checked = run("policy", "check", str(file))
    assert (checked.returncode, checked.stderr) == (0, "")
    assert checked.stdout.splitlines() == [
        f"{file}: 8 limits, 3 rules",
        "  number: starts of number: 5/10 minutes; 10/day (enforce)",
        "  number-wrong-codes: wrong-codes of number: 10/hour; 20/day (enforce)",
        "  user-wrong-codes: wrong-codes of user: 10/hour; 20/day (enforce)",
        "  mailbox: starts of mailbox: 5/10 minutes; 10/day (enforce)",
        "  mail-domain: starts of mail_domain: 100/hour; 500/day, net of approved (enforce)",
        "  ip: starts of ip: 100/hour; 500/day, net of approved (enforce)",
        "  network: starts of network: 200/hour; 1000/day, net of approved (enforce)",
        "  ip-wrong-codes: wrong-codes of ip: 60/hour; 200/day (enforce)",
        "  pumping: pumping (enforce)",
        "  country-budget: budget: $2000/day by country, a day 5 times the usual, 50% of the usual messages in all or "
        "$100 (enforce)",
        "  tenant-budget: budget: $5000/day by tenant, a day 20 times the usual or $1,000 (enforce)",
        "  chance to guess a code of one number in a day: 2.0e-05 (ceiling 1.0e-04)",
        "  chance to guess a code of one user's factors in a day: 5.0e-04 (ceiling 1.0e-03)",
    ]


def test_a_policy_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    """Exit status 2 and one line with the file and the key."""
    file = tmp_path / "policy.toml"
    file.write_text("[code]\ndigits = 5\n")
    assert fails("policy", "check", str(file)) == f"{file}: Expected `int` >= 6 - at `$.code.digits`"
    file.write_text("a=" + "[" * 900 + "]" * 900)
    assert fails("policy", "check", str(file)).startswith(f"{file}: tables or lists are nested too deeply")
    assert fails("policy", "check", str(tmp_path / "none")).startswith(f"{tmp_path / 'none'}: cannot be read")


GOOD = {
    "VERIFY_REDIS_URL": "unix:///nowhere/valkey.sock",
    "VERIFY_KEYS": "k1:" + "A" * 43 + "=",
    "VERIFY_TAG_KEY": "A" * 43 + "=",
    "VERIFY_API_KEY": "vk_default_0123456789",
}


@pytest.mark.parametrize("role", ["web", "dispatch"])
@pytest.mark.parametrize(
    ("setting", "value", "line"),
    [
        (
            "VERIFY_REDIS_URL",
            "",
            "VERIFY_REDIS_URL is not set; `verify-service run` brings a store, this role needs one",
        ),
        ("VERIFY_REDIS_URL", "http://localhost", "VERIFY_REDIS_URL: write redis://, "),
        ("VERIFY_KEYS", "", "VERIFY_KEYS is not set; `verify-service keys new` prints both keys"),
        ("VERIFY_KEYS", "k1:short", "VERIFY_KEYS: a key is 32 bytes in base64; "),
        ("VERIFY_TAG_KEY", "", "VERIFY_TAG_KEY is not set; `verify-service keys new` prints both keys"),
        ("VERIFY_TAG_KEY", "x", "VERIFY_TAG_KEY: a key is 32 bytes in base64; "),
        ("VERIFY_KEY", "x", "unknown setting VERIFY_KEY: did you mean VERIFY_KEYS?"),
        ("VERIFY_CLOCK", "slow", "VERIFY_CLOCK is 'slow'; it can be system or virtual"),
        ("VERIFY_CONFIG", "/nowhere", "VERIFY_CONFIG: there is no file /nowhere"),
        ("VERIFY_POLICY", "/nowhere", "VERIFY_POLICY: there is no file /nowhere"),
    ],
)
def test_a_role_that_cannot_start_says_why_in_one_line(role: str, setting: str, value: str, line: str) -> None:
    """Exit status 2, before any worker is started."""
    assert fails(role, env={**GOOD, setting: value}).startswith(line)


def test_a_web_role_that_could_not_sign_what_a_tenant_always_gets_is_one_line(
    valkey: EmbeddedValkey, tmp_path: Path
) -> None:
    """No signing key, one that is none, and no public URL: exit status 2, and what to set."""
    file = tmp_path / "verify.toml"
    file.write_text('[tenants.acme]\nreceipts = "always"\n[providers.fake-a]\nkind = "fake"\n')
    env = {**GOOD, "VERIFY_REDIS_URL": valkey.url, "VERIFY_CONFIG": str(file)}
    for keys, line in (
        ("", "tenants.acme.receipts is always: VERIFY_SIGNING_KEYS is not set; `verify-service keys new` prints one"),
        ("k1:short", "VERIFY_SIGNING_KEYS: a key is 32 bytes in base64; make one with `verify-service keys new`"),
        (
            GOOD["VERIFY_KEYS"],
            "tenants.acme.receipts is always: verify.toml has no public_url, the name that receipts are issued under",
        ),
    ):
        assert fails("web", env={**env, "VERIFY_SIGNING_KEYS": keys}) == line


def test_a_web_role_that_nobody_could_call_is_one_line(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    """No API key anywhere: exit status 2 before any worker is started, and the two ways to give one."""
    file = tmp_path / "verify.toml"
    file.write_text('[tenants.acme]\n[providers.fake-a]\nkind = "fake"\n')
    env = {**GOOD, "VERIFY_REDIS_URL": valkey.url, "VERIFY_API_KEY": "", "VERIFY_CONFIG": str(file)}
    assert fails("web", env=env) == (
        "nobody could call: set VERIFY_API_KEY, or give a tenant in verify.toml an api_keys entry"
    )


def test_a_secret_that_is_missing_is_named_with_its_provider(valkey: EmbeddedValkey, tmp_path: Path) -> None:
    """By both roles: which table, which variable."""
    file = tmp_path / "verify.toml"
    file.write_text('[providers.hook]\nkind = "webhook"\nurl = "https://sms.example.com"\nsecret = "env:NO_SECRET"\n')
    for role in ("web", "dispatch"):
        line = fails(role, env={**GOOD, "VERIFY_REDIS_URL": valkey.url, "VERIFY_CONFIG": str(file)})
        assert line == "providers.hook: secret env:NO_SECRET: the environment has no NO_SECRET"


def test_a_taken_port_is_one_line(tmp_path: Path) -> None:
    """`run` on a port that somebody has says so, and starts nothing."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        line = fails("run", "--port", str(port), env={"VERIFY_STATE_DIR": str(tmp_path / "state")})
    assert line.startswith(f"cannot listen on 127.0.0.1:{port} (")
    assert line.endswith("choose another with --port")


def test_one_state_folder_has_one_run_and_its_secrets_are_its_own(tmp_path: Path) -> None:
    """A second `run` on the folder is refused in one line while the first goes on; what the first keeps there is
    readable by its owner alone, and is the same at the next start."""
    state = tmp_path / "state"
    running = start_server(state, workers=1)
    try:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        line = fails("run", "--port", str(port), env={"VERIFY_STATE_DIR": str(state)}, status=1)
        assert str(state) in line
        client = ContractClient(running.server)
        assert client.start(a_number())["status"] == "pending"
        assert 'verify_starts_total{outcome="started"} 1.0' in client.request("GET", "/metrics")[2]
        for name in ("keys", "tag-key", "api-key"):
            assert stat.S_IMODE((state / name).stat().st_mode) == 0o600
        secrets = {name: (state / name).read_text() for name in ("keys", "tag-key", "api-key")}
        assert stat.S_IMODE((state / "valkey").stat().st_mode) == 0o700
    finally:
        assert running.stop() == 0
    again = start_server(state, workers=1)
    again.stop()
    assert {name: (state / name).read_text() for name in secrets} == secrets


def test_an_export_without_a_store_says_what_to_do(tmp_path: Path) -> None:
    """Neither VERIFY_REDIS_URL nor a running `run`: one line."""
    line = fails("events", "export", env={"VERIFY_STATE_DIR": str(tmp_path)})
    assert line == f"no store: set VERIFY_REDIS_URL, or start `verify-service run` with {tmp_path}"


def test_an_export_is_recorded_traffic_without_persons(tmp_path: Path) -> None:
    """JSON lines in order of time, one event each: pseudonyms for number, address and network, the range without its
    last three digits, refusals with what refused them and their decision; no number, no address, no code."""
    running = start_server(tmp_path / "state", workers=1)
    try:
        client = ContractClient(running.server)
        to, ip = a_number(), "203.0.113.9"
        started = client.start(to, ip=ip, device="my phone")
        code = VerifyInbox(client).code(to)
        refused = client.refused("POST", "/start", {"to": to, "ip": ip})
        client.check(id=started["id"], code=wrong(code))
        client.check(id=started["id"], code=code)
        other = client.start(a_number(), purpose="payment")
        ids = (started["id"], other["id"])
        until(lambda: all("'delivered'" in str(client.status(each)["timeline"]) for each in ids), "both to be sent")
        client.cancel(other["id"])
        VerifyClock(client).advance(1)
        done = run("events", "export", "--since", "1h", env={"VERIFY_STATE_DIR": str(tmp_path / "state")})
        nothing = run("events", "export", "--since", "0s", env={"VERIFY_STATE_DIR": str(tmp_path / "state")})
    finally:
        running.stop()
    assert (done.returncode, done.stderr) == (0, "")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    events: list[dict[str, Any]] = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["at"] for event in events] == sorted(event["at"] for event in events)
    ours = [event for event in events if event["id"] == started["id"] and event["event"] not in {"sent", "delivered"}]
    assert [event["event"] for event in ours] == ["start", "start", "wrong", "approved"]
    first, second = ours[:2]
    tags = {name: first.pop(name) for name in ("number", "ip", "network", "device")}
    assert all(re.fullmatch("[0-9a-f]{20}", tag) for tag in tags.values())
    assert len(set(tags.values())) == 4
    assert first == {
        "at": first["at"],
        "event": "start",
        "id": started["id"],
        "tenant": "default",
        "purpose": "login",
        "channel": "sms",
        "country": "US",
        "line_type": "fixed-line-or-mobile",
        "range": to[:-3],
        "revision": 1,
        "price": 0.0083,
        "near": "0",
    }
    assert (second["refused"], second["decision"]) == ("cooldown", refused["decision"])
    assert (second["number"], second["ip"]) == (tags["number"], tags["ip"])
    assert {"start", "canceled"} <= {event["event"] for event in events if event["id"] == other["id"]}
    for secret in (to, to[1:], ip, "my phone", code, running.server.api_key):
        assert secret not in done.stdout


def test_an_export_can_follow(tmp_path: Path) -> None:
    """With `--follow` what happens later is printed as it happens; Ctrl-C ends it without a word."""
    running = start_server(tmp_path / "state", workers=1)
    words = [sys.executable, "-m", "verify_service", "events", "export", "--since", "1h", "--follow"]
    client = ContractClient(running.server)
    before = client.start(a_number())["id"]
    following = subprocess.Popen(
        words,
        env=clean({"VERIFY_STATE_DIR": str(tmp_path / "state")}),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    patience = threading.Timer(PATIENCE_S, following.kill)
    patience.start()
    try:
        assert following.stdout is not None
        assert json.loads(following.stdout.readline())["id"] == before
        after = client.start(a_number())["id"]
        assert any(json.loads(line)["id"] == after for line in following.stdout)
        following.send_signal(signal.SIGINT)
        _, errors = following.communicate()
        assert (following.returncode, errors.strip()) == (130, "")
    finally:
        patience.cancel()
        following.kill()
        following.wait()
        running.stop()
