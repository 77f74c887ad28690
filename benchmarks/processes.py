"""The processes of a running service, by what they do, as Linux lists them in /proc."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

ROLES = ("valkey", "dispatcher", "web parent", "web worker")


def roles(supervisor: int) -> dict[str, list[int]]:
    """The living processes of a `verify-service run` with this process id, by role; a role may have none just now."""
    found: dict[str, list[int]] = {role: [] for role in ROLES}
    for child in _children(supervisor):
        words = _words(child)
        if b"valkey-server" in words:
            found["valkey"].append(child)
        elif b" dispatch" in words:
            found["dispatcher"].append(child)
        elif b" web " in words:
            found["web parent"].append(child)
            found["web worker"] += _children(child)
    return found


def of_folder(folder: Path) -> list[str]:
    """Every living process, but this one, that has the folder in its command line, its environment or as the place
    where it works: its process id and its command line."""
    name = os.fsencode(folder.resolve())
    found = []
    for pid in _all():
        with suppress(OSError):
            environ = Path(f"/proc/{pid}/environ").read_bytes()
            place = os.fsencode(os.readlink(f"/proc/{pid}/cwd"))
            if pid != os.getpid() and any(name in text for text in (_words(pid), environ, place)):
                found.append(f"{pid} {_words(pid).decode(errors='replace')}")
    return found


def _all() -> Iterator[int]:
    return (int(entry) for entry in os.listdir("/proc") if entry.isdigit())


def _children(parent: int) -> list[int]:
    """Its living children; a zombie is dead."""
    found = []
    for pid in _all():
        with suppress(OSError):
            # The second field is a name in brackets that may hold anything, so the fields are counted from its end.
            state, ppid = Path(f"/proc/{pid}/stat").read_text("utf-8", "replace").rpartition(")")[2].split()[:2]
            if int(ppid) == parent and state != "Z":
                found.append(pid)
    return sorted(found)


def _words(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
    except OSError:
        return b""
