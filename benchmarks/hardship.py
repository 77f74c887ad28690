"""What a service has to bear beside kills: providers that hang, and a disk that is full."""

import os
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

DISK = "1g"
# Less than a block is of no use to anybody.
BLOCK = 4096

CONFIG = """allow_fake = true
[tenants.default]
brand = "Soak"
[providers.fake-a]
kind = "fake"
[providers.fake-b]
kind = "fake"
[providers.hangs-a]
kind = "webhook"
url = "http://127.0.0.1:{port}/"
secret = "env:HANGS_SECRET"
[providers.hangs-b]
kind = "webhook"
url = "http://127.0.0.1:{port}/"
secret = "env:HANGS_SECRET"
[[routes]]
via = [
  {{ provider = "fake-a", weight = 1 }},
  {{ provider = "hangs-a", weight = 1 }},
  {{ provider = "fake-b", weight = 1 }},
  {{ provider = "hangs-b", weight = 1 }},
]
"""
"""Every message may meet a provider that hangs first; those that answer are fake, so that codes can be read."""


class _Silent(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        with suppress(OSError):
            while self.request.recv(BLOCK):
                pass


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    request_queue_size = 128


@contextmanager
def hanging() -> Iterator[int]:
    """The port of a server that takes every request and answers none."""
    with _Server(("127.0.0.1", 0), _Silent) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """The folder as a file system of its own, which can be filled without harm to others. Only root can make one.

    Raises subprocess.CalledProcessError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK},mode=700", "tmpfs", str(folder)], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


@contextmanager
def full(disk: Path) -> Iterator[None]:
    """A file takes all the room that is left, and gives it back at the end."""
    ballast = disk / "ballast"
    try:
        with ballast.open("wb", buffering=0) as file:
            size = os.statvfs(disk).f_bavail * BLOCK
            with suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, size)
            with suppress(OSError):
                while file.write(bytes(BLOCK)):
                    pass
        yield
    finally:
        ballast.unlink()
