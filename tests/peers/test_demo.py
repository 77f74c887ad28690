"""`verify-service demo`, short: what a reader tries first comes up, plays, and leaves nothing behind."""

import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import urllib3

from tests.support.live import PATIENCE_S, clean, until
from tests.support.roles import children
from verify_service.embedded import free_port


def below(pid: int) -> Iterator[int]:
    """All that a process has started, and what these have."""
    for child in children(pid):
        yield child
        yield from below(child)


def test_the_demonstration_plays_and_leaves_nothing_behind(tmp_path: Path) -> None:
    """An hour of history, the console by the key that it prints, the attack, and Ctrl-C: starts were admitted and
    codes approved, no process is left and no file."""
    port, told = free_port(), tmp_path / "told"
    folder = tmp_path / "tmp"
    folder.mkdir()
    words = ["demo", "--port", str(port), "--days", "0.04", "--attack-after", "0", "--speed", "60", "--no-browser"]
    with told.open("wb") as out:
        demo = subprocess.Popen(
            [sys.executable, "-m", "verify_service", *words], env=clean({"TMPDIR": str(folder)}), stdout=out, stderr=out
        )
    try:
        until(lambda: demo.poll() is not None or "The attack begins" in told.read_text(), "the attack")
        said = told.read_text()
        (key,) = re.findall(r"^Key       (vk_operator_\S+)$", said, re.MULTILINE)
        assert f"Console   http://127.0.0.1:{port}/console\n" in said
        url = f"http://127.0.0.1:{port}/console"
        sent = {"Origin": f"http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"}
        sent["Content-Type"] = "application/x-www-form-urlencoded"
        with urllib3.PoolManager(retries=False, timeout=PATIENCE_S) as pool:
            form = f"key={key}".encode()
            signed_in = pool.request("POST", f"{url}/sign-in", body=form, headers=sent, redirect=False)
            assert signed_in.status == 303
            cookie = signed_in.headers["set-cookie"].partition(";")[0]
            now = pool.request("GET", f"{url}/", headers={"Cookie": cookie}, redirect=False)
            assert (now.status, b"Sign out" in now.data) == (200, True)
            pages = re.findall(r"^  \d (\w+(?: \w+)?)  ", said, re.MULTILINE)
            assert len(pages) == 5
            assert set(pages) <= set(re.findall(r">([^<>]+)</a>", now.data.decode()))
        started = list(below(demo.pid))
        demo.send_signal(signal.SIGINT)
        assert demo.wait(PATIENCE_S) == 0
    finally:
        with suppress(ProcessLookupError):
            demo.kill()
        demo.wait()
    admitted, _, approved = map(
        int,
        re.findall(
            r"^Ended: (\d+) starts admitted, (\d+) refused, (\d+) codes approved", told.read_text(), re.MULTILINE
        )[0],
    )
    assert 0 < approved <= admitted
    assert len(started) >= 5
    assert [pid for pid in started if Path(f"/proc/{pid}").exists()] == []
    assert list(folder.iterdir()) == []
