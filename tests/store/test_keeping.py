"""Factors of many users: imported, exported, sealed under another key, and what a role says of them when it starts."""

import base64
import hashlib
import json
import secrets
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyotp
import pytest
import structlog
from click.testing import CliRunner, Result

from tests.support.authenticator import TENANT, App, enrolled
from tests.support.bench import Bench, make_bench
from tests.support.live import changed, contents, everything
from verify_service.app import judge_web
from verify_service.cli import commands
from verify_service.codes import KeyRing, Tagger, new_key
from verify_service.dispatching import dispatch
from verify_service.embedded import AppendFsync, EmbeddedValkey
from verify_service.errors import ConfigError
from verify_service.factors import NewFactor
from verify_service.factors.keeping import Keeping, Refusal, Tally
from verify_service.model import Actor
from verify_service.policy import file as policy_file
from verify_service.runtime import FORGETS, Runtime
from verify_service.settings import Settings
from verify_service.store import Store
from verify_service.store.policies import Policies

pytestmark = pytest.mark.slow

K1, K2 = f"k1:{new_key()}", f"k2:{new_key()}"
SECRET = base64.b32encode(bytes(range(20))).decode()
SHORT = base64.b32encode(b"1234567890").decode()


def keeping(bench: Bench, keys: KeyRing | None = None) -> Keeping:
    return Keeping(bench.store, keys or bench.keys, bench.tagger, bench.clock)


def line(user: Any, uri: str, **more: Any) -> bytes:
    return json.dumps({"user": user, "uri": uri, **more}).encode() + b"\n"


def totp(secret: str = SECRET, more: str = "") -> str:
    return f"otpauth://totp/Old%20Name:someone?secret={secret}&issuer=Old%20Name{more}"


def take(bench: Bench, lines: Sequence[bytes], most: int = 5) -> tuple[Tally, list[Refusal]]:
    refused: list[Refusal] = []
    return keeping(bench).take(TENANT, lines, most, refused.append, Actor("ops")), refused


def told(store: Store, event: str) -> list[dict[str, Any]]:
    return [each for each in store.events.read(0) if each["event"] == event]


def test_a_file_is_taken_in_once_and_its_codes_are_right(alone: Store) -> None:
    """Apps and tokens of another system, in whatever spelling; a second factor of one user; a secret of 80 bits. The
    same file again changes nothing, whatever was learnt since. What is refused is told by its line, without what
    stands in it; and the store has neither names nor secrets."""
    bench = make_bench(alone)
    lines = [
        b"\xef\xbb\xbf" + line("alice", totp(SECRET.lower())),
        line("alice", totp(SHORT, "&digits=8&period=60&algorithm=SHA256")),
        b"  \n",
        line("bob", f"otpauth://hotp/bob?secret={SECRET}&counter=7"),
        line("bob", totp(SECRET[:9])),
        line("b/b", totp()),
        line(7, totp()),
        b'{"user": "carol"}\n',
        SECRET.encode() + b"\n",
        b'{"user": "\xff", "uri": ""}\n',
        line("carol", totp(), created_at="yesterday"),
        line("alice", totp(base64.b32encode(secrets.token_bytes(20)).decode())),
        line("x" * 70_000, totp()),
    ]
    tally, refused = take(bench, lines, most=2)
    assert tally == Tally(lines=12, taken=3, known=0, refused=9, short=1)
    assert [(one.line, one.reason[:28]) for one in refused] == [
        (5, "the secret is cut off: base3"),
        (6, '"user" is 1 to 256 character'),
        (7, '"user" is 1 to 256 character'),
        (8, "the line is no JSON object w"),
        (9, "the line is no JSON object w"),
        (10, "the line is no JSON object w"),
        (11, '"created_at" is a time as in'),
        (13, "the line is longer than 6553"),
        (12, "the user has 2 factors, as m"),
    ]
    assert SECRET[:6] not in str(refused)
    [event] = told(alone, "factors-imported")
    assert (event["tenant"], event["by"], event["count"]) == (TENANT, "ops", 3)
    assert told(alone, "factor-enrolled") == []

    now = bench.clock.now() // 1000
    assert bench.factors.check(TENANT, "alice", pyotp.TOTP(SECRET).at(now)).approved
    wide = base64.b32encode(b"1234567890".ljust(14, b"\0")).decode()
    assert bench.factors.check(
        TENANT, "alice", pyotp.TOTP(wide, digits=8, digest=hashlib.sha256, interval=60).at(now)
    ).approved
    assert bench.factors.check(TENANT, "bob", pyotp.HOTP(SECRET).at(7)).approved
    [first, _] = bench.factors.look(TENANT, "alice").factors
    assert (first.issuer, first.label, first.status) == ("Old Name", "someone", "verified")

    notices = bench.factors.parse_contact("+14155550123", None, None, None)
    bench.factors.set_contact(TENANT, "alice", notices)
    assert keeping(bench).held_of(TENANT, "alice")["contact"] == {
        "to": "+14155550123",
        "channel": "sms",
        "locale": None,
    }
    client: Any = alone.link.client()
    before = contents(client)
    again, _ = take(bench, lines, most=2)
    assert (again.taken, again.known, again.refused) == (0, 3, 9)
    assert changed(client, before) == {b"vs:{0}:audit"}
    assert [bench.factors.check(TENANT, "bob", pyotp.HOTP(SECRET).at(n)).status for n in (7, 8)] == [
        "used",
        "approved",
    ]
    held = everything(alone)
    for secret in (b"alice", b"someone", b"Old Name", SECRET.encode(), bytes(range(20)), b"1234567890"):
        assert secret not in held


def test_an_export_is_an_import_elsewhere(alone: Store, tmp_path: Path) -> None:
    """All verified factors of the tenant with their ids, as another deployment takes them in: its keys are others. Not
    those of other tenants, and not what nobody verified. Who exported, and why, is told."""
    bench = make_bench(alone)
    app = enrolled(bench, "alice")
    take(bench, [line("bob", f"otpauth://hotp/bob?secret={SECRET}&counter=7")])
    assert bench.factors.check(TENANT, "bob", pyotp.HOTP(SECRET).at(8)).approved
    bench.factors.enrol(TENANT, "carol", NewFactor())
    take(bench, [line("dave", totp(SHORT))])
    keeping(bench).take("other", [line("eve", totp())], 5, print, Actor("ops"))
    lines = [json.dumps(each).encode() for each in keeping(bench).give(TENANT, Actor("ops"), "we move") if each]
    assert {json.loads(each)["user"] for each in lines} == {"alice", "bob", "dave"}
    [event] = told(alone, "factors-exported")
    assert (event["by"], event["reason"]) == ("ops", "we move")
    with EmbeddedValkey(tmp_path / "new", append_fsync="no") as server:
        there = make_bench(Store(server.url))
        there.store.prepare()
        there.clock.ms = bench.clock.ms
        assert take(there, lines)[0] == Tally(lines=3, taken=3, short=1)
        [moved] = there.factors.look(TENANT, "alice").factors
        assert (moved.id, moved.created_at) == (app.id, app.enrolled.factor.created_at)
        assert there.factors.check(TENANT, "alice", app.at()).approved
        assert there.factors.check(TENANT, "bob", pyotp.HOTP(SECRET).at(9)).approved


def with_keys(bench: Bench, keys: str) -> Bench:
    """The same service after a restart with another ring."""
    return Bench(bench.store, KeyRing(keys), bench.tagger, bench.clock, bench.service)


def test_a_rotation_moves_all_while_codes_are_checked(alone: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the new key in front, each check is right before, during and after `reseal`, and no used code is good again;
    then nothing hangs on the old key, not even what waits for its first code."""
    old = make_bench(alone, keys=K1)
    apps = {f"user-{n}": pyotp.TOTP(base64.b32encode(secrets.token_bytes(20)).decode()) for n in range(30)}
    take(old, [line(user, totp(app.secret)) for user, app in apps.items()])
    waiting = App(old, old.factors.enrol(TENANT, "late", NewFactor()))
    both = with_keys(old, f"{K2},{K1}")
    assert dict(alone.keeping.sealed()) == {"k1": 60}
    used = {user: app.at(old.clock.now() // 1000) for user, app in apps.items()}
    for user, code in list(used.items())[:15]:
        assert both.factors.check(TENANT, user, code).approved
    assert dict(alone.keeping.sealed()) == {"k1": 30, "k2": 30}
    assert keeping(both).foreign() == 30

    # What is checked after it was read, and before it is written back, was sealed anew by the check.
    reseal = alone.keeping.reseal

    def after_checks(pieces: Sequence[tuple[str, dict[bytes, bytes]]]) -> int:
        for user, code in list(used.items())[15:25]:
            assert both.factors.check(TENANT, user, code).approved
        return reseal(pieces)

    monkeypatch.setattr(alone.keeping, "reseal", after_checks)
    assert keeping(both).reseal(Actor("ops")) == (
        10 + 2,
        0,
        0,
    )  # Of five users, and of whom waits for a first code: names and secrets.
    monkeypatch.undo()
    assert (keeping(both).reseal(Actor("ops")), keeping(both).foreign()) == ((0, 0, 0), 0)
    new = with_keys(old, K2)
    for user, code in list(used.items())[25:]:
        assert new.factors.check(TENANT, user, code).approved
    assert dict(alone.keeping.sealed()) == {"k2": 60}
    assert {new.factors.check(TENANT, user, code).status for user, code in used.items()} == {"used"}
    old.clock.advance(30)
    now = old.clock.now() // 1000
    assert all(new.factors.check(TENANT, user, app.at(now)).approved for user, app in apps.items())
    assert new.factors.verify(TENANT, "late", waiting.id, waiting.at()).approved


def test_what_no_key_of_the_ring_opens_is_told_and_stops_nothing(alone: Store) -> None:
    """All others are sealed anew. Where the key is lost, what it sealed can be erased, so that a role starts again."""
    lost, old = make_bench(alone, keys=f"k0:{new_key()}"), make_bench(alone, keys=K1)
    take(lost, [line("alice", totp())])
    take(old, [line("bob", totp())])
    both, done = with_keys(old, f"{K2},{K1}"), list[int]()
    assert keeping(both).reseal(Actor("ops"), done.append, erase_lost="k9") == (2, 0, 1)
    assert (done, dict(alone.keeping.sealed())) == ([2], {"k0": 2, "k2": 2})
    assert keeping(both).reseal(Actor("ops"), erase_lost="k0") == (0, 1, 0)
    assert dict(alone.keeping.sealed()) == {"k2": 2}
    assert lost.factors.look(TENANT, "alice").factors == ()


def a_role(bench: Bench, keys: str) -> Settings:
    """The settings of a role on the bench's store."""
    return Settings(redis_url=bench.store.link.url, keys=keys, tag_key=new_key(), api_key="0" * 32)


def test_a_key_that_still_seals_something_is_not_let_go(alone: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither role starts without it: one line that says which key, how much, and what to do, and no policy is brought.
    With it behind the others they would; and without it, once nothing hangs on it."""
    old = make_bench(alone, keys=K1)
    take(old, [line("alice", totp())])
    without = a_role(old, K2)
    monkeypatch.setattr("verify_service.settings.read", lambda: without)
    monkeypatch.setattr("verify_service.dispatching.configure_logs", lambda: None)  # This process has logs of its own.
    for start in (lambda: judge_web(Runtime(without)), lambda: dispatch(threading.Event())):
        with pytest.raises(ConfigError) as refused:
            start()
        assert str(refused.value) == (
            "VERIFY_KEYS lacks keys that still seal users and their factors: k1 (2). Put them back behind the others, "
            "run `verify-service keys reseal`, then take them out"
        )
    assert Policies(alone.link, old.tagger).newest() == 0
    Runtime(a_role(old, f"{K2},{K1}")).judge_kept()
    assert keeping(with_keys(old, f"{K2},{K1}")).reseal(Actor("ops")) == (2, 0, 0)
    Runtime(without).judge_kept()


@pytest.mark.parametrize(
    ("fsync", "query", "warns"), [(None, "", True), (None, "?replicas=1", False), ("no", "", False)]
)
def test_a_store_that_forgets_is_warned_of_at_start(
    tmp_path: Path, fsync: AppendFsync | None, query: str, warns: bool
) -> None:
    """Where neither a file nor a replica keeps what was answered, the log says what that means for factors."""
    with EmbeddedValkey(tmp_path / "valkey", append_fsync=fsync) as server, structlog.testing.capture_logs() as lines:
        runtime = Runtime(Settings(redis_url=server.url + query, keys=K1, tag_key=new_key(), api_key="0" * 32))
        runtime.judge_kept()
    assert [line["hint"] for line in lines if line["log_level"] == "warning"] == [FORGETS] * warns


def test_the_commands_import_export_and_reseal(alone: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each says in a line what it did; a refused line is exit status 2, on standard error or in the report, and never
    its secret. What was exported is imported as it is."""
    tag_key, file, report = new_key(), tmp_path / "users.jsonl", tmp_path / "refused.jsonl"
    Policies(alone.link, Tagger(tag_key)).first(1, Actor("start"), "", policy_file.default_text())
    file.write_bytes(line("alice", totp()) + line("bob", totp(SHORT)) + line("carol", totp(SECRET[:9])) * 25)
    monkeypatch.setenv("VERIFY_REDIS_URL", alone.link.url)
    monkeypatch.setenv("VERIFY_TAG_KEY", tag_key)

    def ran(keys: str, *words: str, given: bytes = b"") -> Result:
        monkeypatch.setenv("VERIFY_KEYS", keys)
        done = CliRunner().invoke(commands, words, input=given)
        assert SECRET[:6] not in done.stderr
        return done

    first = ran(K1, "factors", "import", str(file))
    assert first.exit_code == 2
    assert first.stdout.splitlines() == [
        "27 lines: 2 imported, 0 were here already, 25 refused",
        "1 have secrets below 112 bits: have these users enrol anew when you can",
    ]
    shown = first.stderr.splitlines()
    assert shown[0] == "line 3: the secret is cut off: base32 has no text of this length"
    assert (len(shown), shown[-1]) == (21, "and 5 more; --report FILE has them all")

    again = ran(K1, "factors", "import", str(file), "--report", str(report), "--json")
    assert json.loads(again.stdout) == {"lines": 27, "taken": 0, "known": 2, "refused": 25, "short": 0}
    assert again.stderr == ""
    assert [json.loads(each)["line"] for each in report.read_text().splitlines()] == list(range(3, 28))

    exported = ran(K1, "factors", "export", "--reason", "a copy").stdout_bytes
    assert {json.loads(each)["user"] for each in exported.splitlines()} == {"alice", "bob"}
    third = ran(K1, "factors", "import", "-", given=exported)
    assert (third.exit_code, third.stdout) == (
        0,
        "2 lines: 0 imported, 2 were here already, 0 refused; nothing has changed\n",
    )
    held = json.loads(ran(K1, "person", "export", "--user", "alice").stdout)
    [factor] = held["factors"]
    assert (factor["label"], factor["status"], factor["used_at"]) == ("someone", "verified", None)
    assert (held["user"], held["recovery_codes_left"], SECRET in str(held)) == ("alice", 0, False)
    resealed = ran(f"{K2},{K1}", "keys", "reseal")
    assert (resealed.exit_code, resealed.stdout) == (0, "4 pieces are sealed anew; no other key seals anything\n")
    assert ran(K2, "factors", "export", "--reason", "a copy").exit_code == 0
    letter = ("--reason", "a letter", "--by", "dpo")
    forgotten = [ran(K2, "person", "erase", "--user", "alice", *letter).stdout for _ in range(2)]
    assert forgotten == ["the user is erased for default\n", "default holds nothing of the user\n"]
    assert [(each["by"], each["reason"]) for each in told(alone, "erased")] == [("dpo", "a letter")] * 2
    assert json.loads(ran(K2, "person", "export", "--user", "alice").stdout)["factors"] == []
    assert ran(K2, "person", "erase", "--user", "alice", "--to", "+14155550123", *letter).exit_code == 2
    assert ran(K2, "keys", "reseal", "--erase-lost", "k2").exit_code == 2
    lost = ran(f"k3:{new_key()}", "keys", "reseal", "--erase-lost", "k2")
    assert lost.stdout.splitlines()[1] == "1 users of the key k2 are erased; have them enrol anew"
