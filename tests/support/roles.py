"""Roles of the service as processes of their own: of this version, or of the one that is kept in tests/then."""

import signal
import subprocess
import sys
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import urllib3

from tests.support.live import PATIENCE_S, clean

THEN = Path(__file__).parents[1] / "then"
# Then a dispatcher could die where several threads looked at a type together. Here all are looked at before it begins.
_LOOKED_AT = """
import msgspec
from verify_service.messages import locales
from verify_service.providers import webhook

for each in (*vars(locales).values(), *vars(webhook).values()):
    if isinstance(each, type) and issubclass(each, msgspec.Struct):
        msgspec.json.Decoder(each)
"""


def package_of_then(folder: Path) -> Path:
    """Unpacks the package of then; the folder that it lies in."""
    with tarfile.open(THEN / "package.tar.xz") as packed:
        packed.extractall(folder, filter="data")
    (folder / "sitecustomize.py").write_text(_LOOKED_AT)
    return folder


def environment(env: Mapping[str, str], package: Path | None = None) -> dict[str, str]:
    """An environment in which nothing else of the service is set; `package` is where another version of it lies."""
    return clean(env) | ({"PYTHONPATH": str(package)} if package else {})


@contextmanager
def role(
    folder: Path, env: Mapping[str, str], *words: str, package: Path | None = None
) -> Iterator[tuple["subprocess.Popen[bytes]", Path]]:
    """A process of the service, and where its log goes; it ends with SIGTERM, and must."""
    log = folder / f"log-{len(list(folder.glob('log-*')))}"
    with log.open("wb") as out:
        command = (sys.executable, "-m", "verify_service", *words)
        process = subprocess.Popen(command, env=environment(env, package), stdout=out, stderr=out, cwd=folder)
    try:
        yield process, log
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)


def answers(process: "subprocess.Popen[bytes]", port: int) -> bool:
    """Whether a web role answers, ready or not."""
    assert process.poll() is None, "it has ended"
    try:
        return urllib3.request("GET", f"http://127.0.0.1:{port}/readyz", retries=False).status in (200, 503)
    except urllib3.exceptions.HTTPError:
        return False


def children(pid: int) -> dict[int, str]:
    """The child processes of a process, and their command lines."""
    found = {}
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"\nPPid:\t{pid}\n" in (entry / "status").read_text():
                found[int(entry.name)] = (entry / "cmdline").read_text().replace("\0", " ")
        except OSError:
            continue
    return found
