"""An interpreter that has imported what commands need, and forks for each command that is asked of it.

What runs so is a process with an environment, a folder and files of its own; it begins where `verify-service` begins,
and ends as an interpreter ends. Only the imports were made before, which take longer than most commands do.
"""

import atexit
import gc
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

TOP = Path(__file__).parents[2]
# What commands import when they are called; they still do, and find it there.
BEFOREHAND = (
    "rich.progress",
    "rich.table",
    "verify_service.app",
    "verify_service.backtest.report",
    "verify_service.backtest.scenario",
    "verify_service.cli",
    "verify_service.dispatching",
    "verify_service.insight.explain",
    "verify_service.messages.lint",
    "verify_service.run",
    "verify_service.simulate",
)
_turn = threading.Lock()


def fork(words: Sequence[str], env: Mapping[str, str], cwd: Path, output: Sequence[Path], patience: float) -> int:
    """The exit status of `verify-service` with these words, in a fork that has nothing to read and writes its standard
    output and error to two files. Raises TimeoutError for one that hangs."""
    asked = {"words": list(words), "env": dict(env), "cwd": str(cwd), "output": list(map(str, output))}
    with _turn:
        server = _server()
        server.settimeout(patience)
        server.sendall(json.dumps(asked).encode() + b"\n")
        return int(server.recv(64))


@cache
def _server() -> socket.socket:
    """The way to the interpreter, which ends with this process."""
    ours, theirs = socket.socketpair()
    process = subprocess.Popen(
        [sys.executable, "-c", f"from {__name__} import main; main()"], cwd=TOP, stdin=theirs.fileno()
    )
    theirs.close()
    atexit.register(process.wait)
    atexit.register(process.kill)
    return ours


def main() -> None:
    """What the interpreter does. Each fork is the program from there on."""
    for each in BEFOREHAND:
        import_module(each)
    # What is here to stay is looked at by no garbage collector, so that a fork need not copy it.
    gc.freeze()
    asked = _asked()
    if asked is None:
        return
    for number, path in enumerate((os.devnull, *asked["output"])):
        os.dup2(os.open(path, os.O_RDWR | os.O_CREAT), number)
    os.environ.clear()
    os.environ.update(asked["env"])
    os.chdir(asked["cwd"])
    sys.argv = ["verify-service", *asked["words"]]
    _leave(_status())


def _asked() -> Any:
    """In each fork what it was asked for; otherwise None, when nobody asks any more."""
    with socket.socket(fileno=os.dup(0)) as asking:
        for line in asking.makefile():
            child = os.fork()
            if not child:
                return json.loads(line)
            _, status = os.waitpid(child, 0)
            asking.sendall(str(os.waitstatus_to_exitcode(status)).encode())
    return None


def _status() -> int:
    """The program, and the exit status that its interpreter would end with."""
    from verify_service.cli import main as program

    try:
        program()
    except SystemExit as left:
        return int(left.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        return 1
    return 0


def _leave(status: int) -> None:
    """Ends as an interpreter does, but for taking down what was imported, which would copy it all."""
    atexit._run_exitfuncs()
    for each in (sys.stdout, sys.stderr):
        each.flush()
    os._exit(status)
