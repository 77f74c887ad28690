"""What an installation takes that nobody calls: `python -m benchmarks.idle [OLD_TREE ...]`, a minute.

`verify-service run` of this checkout and of the others, side by side: what does nothing disturbs no neighbour.
"""

import argparse
import os
import secrets
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from benchmarks.processes import roles
from benchmarks.report import Table
from benchmarks.stack import cpu_seconds, program, python_of, wait_until
from verify_service.embedded import free_port

SETTLED_AFTER_S = 5.0


def measure(folder: Path, trees: Sequence[Path | None], seconds: float) -> Table:
    """Each tree's processes over so many seconds, in per cent of a core."""
    table = Table(
        "Idle",
        ("who", "supervisor %", "web %", "dispatcher %", "Valkey %", "all %"),
        f"`verify-service run` over {seconds:g} s without a call, in per cent of a core; each with its children.",
    )
    with ExitStack() as stack:
        found: dict[str, dict[str, int]] = {}
        for count, tree in enumerate(trees):
            name = "this" if tree is None else tree.resolve().name
            state, port = folder / str(count), free_port()
            state.mkdir()
            command, env = python_of(tree)
            env |= {"VERIFY_STATE_DIR": str(state), "VERIFY_API_KEY": secrets.token_urlsafe(32)}
            argv = [*command, "run", "--port", str(port)]
            pid = stack.enter_context(program(folder, f"run-{count}", argv, env, port))
            wait_until(partial(_is_up, pid), f"{name} to be up")
            by_role = roles(pid)
            found[name] = {"supervisor": pid, "web": by_role["web parent"][0]}
            found[name] |= {role: by_role[role][0] for role in ("dispatcher", "valkey")}
        time.sleep(min(SETTLED_AFTER_S, seconds))
        before = {name: {role: cpu_seconds(pid) for role, pid in pids.items()} for name, pids in found.items()}
        began = time.monotonic()
        time.sleep(seconds)
        took = time.monotonic() - began
        for name, pids in found.items():
            shares = [(cpu_seconds(pid) - before[name][role]) / took * 100 for role, pid in pids.items()]
            table.rows.append((name, *shares, sum(shares)))
    return table


def _is_up(supervisor: int) -> bool:
    return all(roles(supervisor).values())


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table, with the machine's load."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.idle", description=__doc__)
    parser.add_argument("tree", type=Path, nargs="*", help="other checkouts to run beside this one")
    parser.add_argument("--seconds", type=float, default=60.0, help="(%(default)s)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="verify-bench-") as folder:
        print(measure(Path(folder), [*options.tree, None], options.seconds).markdown())
    print("load average at the end: " + ", ".join(f"{figure:.1f}" for figure in os.getloadavg()))


if __name__ == "__main__":
    main()
