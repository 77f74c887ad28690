"""`policy backtest`: its figures, its files, its words, and nothing left behind."""

import fcntl
import os
import pty
import re
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.support.commands import fails, run
from tests.support.live import PATIENCE_S
from tests.support.recorded import after, start, write

pytestmark = pytest.mark.slow

FILE = """
[code]
guess_ceiling = 1
[[limit]]
name = "ip"
of = ["ip"]
allow = "1/hour"
[[limit]]
name = "watched"
of = ["country"]
allow = "2/hour"
mode = "observe"
"""
EXPORTED = (
    b'{"at": 5, "event": "start", "id": "v", "number": "%s", "range": "+1415555", "country": "US",'
    b' "line_type": "mobile"}'
)
OTHER = '[code]\nguess_ceiling = 1\n[countries]\ndeny = ["GB"]'
RECORD = [
    start(0, "v0", 0, ip="203.0.113.1"),
    start(1, "v1", 1, ip="203.0.113.1"),
    after(2, "approved", "v1"),
    start(3, "v2", 2, ip="203.0.113.2"),
    after(4, "wrong", "v2"),
    after(5, "approved", "v0"),
    start(6, "v3", 1, ip="203.0.113.3"),
]


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str, str]:
    """A policy, another, and a record."""
    paths = (tmp_path / "new.toml", tmp_path / "old.toml", write(tmp_path / "events.jsonl", RECORD))
    for path, text in zip(paths, (FILE, OTHER), strict=False):
        path.write_text(text)
    return str(paths[0]), str(paths[1]), str(paths[2])


def test_json_has_exactly_the_promised_figures(files: tuple[str, str, str]) -> None:
    """Starts, admitted, refused, each rule's, approvals lost and dollars saved, and with --against what changes."""
    new, old, events = files
    done = run("policy", "backtest", new, "--events", events, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    of_new = {
        "starts": 4,
        "admitted": 3,
        "refused": 1,
        "by_rule": {"ip": {"refused": 1, "approved_lost": 1, "spend_saved": 0.01}},
        "approved_lost": 1,
        "spend_saved": 0.01,
        "observed": {"watched": {"would_refuse": 0, "approved_lost": 0, "spend_saved": 0.0}},
        "policy": new,
    }
    assert msgspec.json.decode(done.stdout) == of_new
    done = run("policy", "backtest", new, "--events", events, "--against", old, "--json")
    of_old = {
        "starts": 4,
        "admitted": 3,
        "refused": 1,
        "by_rule": {"countries": {"refused": 1, "approved_lost": 0, "spend_saved": 0.01}},
        "approved_lost": 0,
        "spend_saved": 0.01,
        "observed": {},
        "policy": old,
    }
    changes: dict[str, Any] = {
        "newly_refused": 1,
        "newly_admitted": 1,
        "by_other_rule": 0,
        "approved_lost": 1,
        "spend_saved": 0.0,
    }
    lost = {"approved_lost": 1, "approved_lost_at_most": 1, "spend_saved": 0.01}
    one = {"refused": 1, **lost, "admitted": 0, "spend_added": 0.0}
    none = {"approved_lost": 0, "approved_lost_at_most": 0, "spend_saved": 0.0}
    other = {"refused": 0, **none, "admitted": 1, "spend_added": 0.01}
    changes["whom"] = {
        "country": {"US": one, "GB": other},
        "prefix": {"+1415": one, "+44740": other},
        "hour": {"2026-09-21T14:00Z": one | {"admitted": 1, "spend_added": 0.01}},
    }
    assert msgspec.json.decode(done.stdout) == {**of_new, "against": of_old, "changed": changes}


def test_a_limit_that_never_fired_is_listed_with_nothing(files: tuple[str, str, str]) -> None:
    """Behind those that did, in the list of its mode; one that is off is in none."""
    new, _, events = files
    more = "".join(
        f'[[limit]]\nname = "{name}"\nof = ["number"]\nallow = "9/day"\nmode = "{mode}"\n'
        for name, mode in (("quiet", "enforce"), ("asleep", "observe"), ("gone", "off"))
    )
    Path(new).write_text(FILE + more + '[[rule]]\nname = "pumping"\nmode = "enforce"\n')
    figures = msgspec.json.decode(run("policy", "backtest", new, "--events", events, "--json").stdout)
    nothing = {"approved_lost": 0, "spend_saved": 0.0}
    assert list(figures["by_rule"]) == ["ip", "pumping", "quiet"]
    assert figures["by_rule"]["quiet"] == {"refused": 0, **nothing}
    assert figures["by_rule"]["pumping"] == {"refused": 0, **nothing}
    assert figures["observed"] == {name: {"would_refuse": 0, **nothing} for name in ("asleep", "watched")}
    shown = run("policy", "backtest", new, "--events", events).stdout
    assert re.search(r"│ quiet\s+│\s+0 │\s+0 │\s+\$0.00 │", shown)


def test_whom_a_change_refuses(files: tuple[str, str, str]) -> None:
    """By country, prefix and hour, most first: starts that the other policy admits, and the approvals among them."""
    new, old, events = files
    tight = FILE.replace('of = ["ip"]\nallow = "1/hour"', 'of = ["country"]\nallow = "1/day"')
    Path(new).write_text(tight)
    Path(old).write_text(FILE.replace("1/hour", "1000/hour"))
    record = [start(n * 3000, f"v{n}", n % 2, ip="203.0.113.1") for n in range(3)]
    record += [start(9000 + 100 * n, f"w{n}", 2) for n in range(3)]
    record += [after(9300, "approved", "v2"), start(9400, "x", to="nobody@example.com")]
    write(Path(events), record)
    words = ("policy", "backtest", new, "--events", events, "--against", old)
    whom = msgspec.json.decode(run(*words, "--json").stdout)["changed"]["whom"]
    assert [(name, each["refused"], each["approved_lost"]) for name, each in whom["country"].items()] == [
        ("GB", 2, 0),
        ("US", 2, 1),
    ]
    # Two of Britain's and one of America's are of the record's last ten minutes.
    assert [each["approved_lost_at_most"] for each in whom["country"].values()] == [2, 1]
    assert {name: each["refused"] for name, each in whom["prefix"].items()} == {"+1415": 2, "+44740": 2}
    assert sum(each["refused"] for each in whom["hour"].values()) == 4
    shown = run(*words).stdout
    for by in ("country", "prefix", "hour"):
        assert f"newly refused, by {by}" in shown
    assert re.search(r"│ US\s+│\s+2 │\s+1 │", shown)


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_progress_is_shown_before_anything_is_read(files: tuple[str, str, str], tmp_path: Path, term: str) -> None:
    """On any terminal, whatever it can draw: here before a first line of the record, which nobody has written yet."""
    new, *_ = files
    events = tmp_path / "pipe"
    os.mkfifo(events)
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "verify_service", "policy", "backtest", new, "--events", str(events)]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=theirs, env={**os.environ, "TERM": term})
    os.close(theirs)
    try:
        said = b""
        while b"backtest" not in said or b"0%" not in said:
            said += os.read(ours, 4096)
        events.write_bytes(Path(files[2]).read_bytes())
        # A terminal that nobody reads would stop it.
        threading.Thread(target=drained, args=(ours,), daemon=True).start()
        assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()


def drained(terminal: int) -> None:
    """Reads until the other end is closed."""
    with suppress(OSError):
        while os.read(terminal, 4096):
            pass


def test_what_only_observes_is_told_as_if_it_had_decided(files: tuple[str, str, str]) -> None:
    """Of the starts that were admitted: how many it would have refused, whose approvals, for how many dollars."""
    new, _, events = files
    Path(new).write_text(FILE.replace("2/hour", "1/hour").replace("[code]", "[prices]\ndefault = 0.2\n[code]"))
    done = run("policy", "backtest", new, "--events", events, "--json")
    figures = msgspec.json.decode(done.stdout)
    assert (figures["admitted"], figures["by_rule"]["ip"]["refused"]) == (3, 1)
    assert figures["observed"] == {"watched": {"would_refuse": 1, "approved_lost": 0, "spend_saved": 0.01}}
    shown = run("policy", "backtest", new, "--events", events).stdout
    assert "Only observed, and would have refused:" in shown


def test_decisions_has_a_line_per_start(files: tuple[str, str, str], tmp_path: Path) -> None:
    """In recorded order, with what refused it, the seconds until a retry can pass, and what only watched."""
    new, _, events = files
    out = tmp_path / "decisions.jsonl"
    assert run("policy", "backtest", new, "--events", events, "--decisions", str(out)).returncode == 0
    assert [msgspec.json.decode(line) for line in out.read_bytes().splitlines()] == [
        {"at": RECORD[0]["at"], "id": "v0", "decision": "admit", "rule": None, "retry_after": None, "observed": []},
        {"at": RECORD[1]["at"], "id": "v1", "decision": "refuse", "rule": "ip", "retry_after": 3600, "observed": []},
        {"at": RECORD[3]["at"], "id": "v2", "decision": "admit", "rule": None, "retry_after": None, "observed": []},
        {"at": RECORD[6]["at"], "id": "v3", "decision": "admit", "rule": None, "retry_after": None, "observed": []},
    ]


@pytest.mark.parametrize("way", ["itself", "a symbolic link", "a hard link", "another path"])
@pytest.mark.parametrize("which", ["FILE", "--against", "--events"])
def test_decisions_never_take_the_place_of_what_is_read(
    files: tuple[str, str, str], tmp_path: Path, which: str, way: str
) -> None:
    """By whatever name: exit status 2, one line that says which file it is, and every file is as it was."""
    at = dict(zip(("FILE", "--against", "--events"), files, strict=True))
    read, other = Path(at[which]), tmp_path / "other"
    if way == "a symbolic link":
        other.symlink_to(read)
    elif way == "a hard link":
        other.hardlink_to(read)
    else:
        (tmp_path / "sub").mkdir()
        other = read if way == "itself" else tmp_path / "sub" / ".." / read.name
    before = [Path(path).read_bytes() for path in files]
    words = ["policy", "backtest", files[0], "--against", files[1], "--events", files[2]]
    said = fails(*words, "--decisions", str(other))
    assert said == f"--decisions: {other} is the file of {which}; nothing was written: name another"
    assert [Path(path).read_bytes() for path in files] == before


def test_a_run_that_fails_leaves_earlier_decisions_alone(files: tuple[str, str, str], tmp_path: Path) -> None:
    """The new lines take the old ones' place when all are written; where a line of the record is bad, none do."""
    new, _, events = files
    out = tmp_path / "decisions.jsonl"
    out.write_text("yesterday's\n")
    good = Path(events).read_bytes()
    Path(events).write_bytes(good + b"{\n")
    before = sorted(tmp_path.iterdir())
    fails("policy", "backtest", new, "--events", events, "--decisions", str(out))
    assert (out.read_text(), sorted(tmp_path.iterdir())) == ("yesterday's\n", before)
    Path(events).write_bytes(good)
    assert run("policy", "backtest", new, "--events", events, "--decisions", str(out)).returncode == 0
    assert (len(out.read_bytes().splitlines()), sorted(tmp_path.iterdir())) == (4, before)


def test_the_report_says_what_changes_and_what_cannot_be_known(files: tuple[str, str, str]) -> None:
    """In sentences, beside the table; progress is for terminals only, so standard error stays empty."""
    new, old, events = files
    done = run("policy", "backtest", new, "--events", events, "--against", old)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{new}: 4 starts, 3 admitted, 1 refused" in done.stdout
    assert f"Against {old}, {new} refuses 1 starts that were admitted, admits 1 that were refused, and" in done.stdout
    assert "It loses 1 approvals more and saves $0.00 more." in done.stdout
    assert "- What people do after a refusal (wait, try again, go away) is not in a record." in done.stdout


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        (b"{", "Input data was truncated"),
        (b'{"at": 5, "event": "start"}', "Object missing required field `id`"),
        (b'{"at": "5", "event": "wrong", "id": "v"}', "Expected `float`, got `str` - at `$.at`"),
        (b'{"at": 1, "event": "wrong", "id": "v"}', "is earlier than a line before it; sort the file by `at`"),
        (b'{"at": 5, "event": "start", "id": "v", "to": "415"}', "`to` is a number in E.164, a + and 7 to 15 digits"),
        (b'{"at": 5, "event": "start", "id": "v", "to": "+1"}', "`to` is a number in E.164, a + and 7 to 15 digits"),
        (b'{"at": 1e300, "event": "wrong", "id": "v"}', "`at` is seconds since the epoch, such as 1790000000.125"),
        (b'{"at": ' + b"9" * 30 + b', "event": "wrong", "id": "v"}', "`at` is seconds since the epoch"),
        (b'{"at": 1790000000125, "event": "wrong", "id": "v"}', "`at` is seconds since the epoch"),
        (b'{"at": -1, "event": "wrong", "id": "v"}', "`at` is seconds since the epoch, such as 1790000000.125, not -1"),
        (EXPORTED % b"zzzz", "`number` is a pseudonym in hexadecimal digits, 20 of them in an export"),
        (EXPORTED % b"", "`number` is a pseudonym in hexadecimal digits"),
        (b'{"at": 5, "event": "start", "id": "v", "x": ' + b"[" * 9000, "is nested too deeply"),
        (b'{"at": 5, "event": "start", "id": "v"}', "a start has `to`, or number, range, country, line_type"),
        (
            b'{"at": 5, "event": "start", "id": "v", "to": "+14155550101", "ip": "x"}',
            "'x' does not appear to be an IPv4",
        ),
        (b'{"at": 5, "event": "start", "id": "v", "to": "+14155550101", "price": -1}', "`price` is US dollars"),
    ],
)
def test_a_bad_line_is_named(tmp_path: Path, line: bytes, fault: str) -> None:
    """Exit status 2; one line names the file, the line and what is wrong with it."""
    events = tmp_path / "events.jsonl"
    events.write_bytes(b'{"at": 2, "event": "wrong", "id": "v"}\n\n' + line + b"\n")
    policy = tmp_path / "policy.toml"
    policy.write_text(FILE)
    said = fails("policy", "backtest", str(policy), "--events", str(events))
    assert said.startswith(f"{events}, line 3: ")
    assert fault in said


def test_only_what_is_judged_by_need_be_in_order(files: tuple[str, str, str]) -> None:
    """Receipts and the like are passed over wherever they stand and whenever they came."""
    new, _, events = files
    plain = run("policy", "backtest", new, "--events", events, "--json")
    late = [{"at": at, "event": event, "id": "v0"} for at in (1e300, 0, -1) for event in ("sent", "failed")]
    write(Path(events), [item for each in RECORD for item in (*late, each)])
    done = run("policy", "backtest", new, "--events", events, "--json")
    assert (done.returncode, done.stdout) == (0, plain.stdout)


def test_files_that_cannot_be_used_are_named(files: tuple[str, str, str], tmp_path: Path) -> None:
    """A policy with a fault, no events, nowhere to write: exit status 2, before any work."""
    new, _, events = files
    assert "gone.jsonl: cannot be" in fails("policy", "backtest", new, "--events", str(tmp_path / "gone.jsonl"))
    assert "cannot be used" in fails("policy", "backtest", new, "--events", events, "--decisions", "/none/out.jsonl")
    assert "gone.toml: cannot be read" in fails("policy", "backtest", str(tmp_path / "gone.toml"), "--events", events)


def test_nothing_is_left_behind(files: tuple[str, str, str], tmp_path: Path) -> None:
    """The scratch store and its folder are gone at the end."""
    new, _, events = files
    folder = tmp_path / "tmp"
    folder.mkdir()
    assert run("policy", "backtest", new, "--events", events, env={"TMPDIR": str(folder)}).returncode == 0
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(("sent", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_leaves_nothing_behind(
    files: tuple[str, str, str], tmp_path: Path, sent: signal.Signals, status: int
) -> None:
    """Nor where it is stopped in the middle of its work: here it waits for lines that nobody writes."""
    new, *_ = files
    folder, events = tmp_path / "tmp", tmp_path / "pipe"
    folder.mkdir()
    os.mkfifo(events)
    words = [sys.executable, "-m", "verify_service", "policy", "backtest", new, "--events", str(events)]
    process = subprocess.Popen(words, env={**os.environ, "TMPDIR": str(folder)})
    writer = events.open("wb")  # Opens when the other end does: the scratch store is up by then.
    (lock,) = folder.glob("verify-backtest-*/lock")
    with writer, lock.open("ab") as held:
        with pytest.raises(BlockingIOError):
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        process.send_signal(sent)
        assert process.wait(PATIENCE_S) == status
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)  # The server had it too, and has ended.
    assert list(folder.iterdir()) == []
