"""better-auth, the bare app and verify_service in turns: `make bench-peers`."""

import argparse
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.compare import tables, turns
from benchmarks.contenders import Contender, Message, bare, checkout
from benchmarks.stack import program, running
from benchmarks.traffic import Caller, post
from verify_service.embedded import EmbeddedValkey, free_port

SERVER = Path(__file__).parent / "better-auth" / "server.mjs"


@contextmanager
def better_auth(folder: Path, installed: Path) -> Iterator[Contender]:
    """Its phone number plugin, in two worker processes, with its rate limits on; see server.mjs."""
    port, vendor = free_port(), free_port()
    # Node looks for packages from where a file lies.
    server = shutil.copy(SERVER, installed)
    addresses: dict[str, str] = {}

    def asked(path: str, to: str, **fields: object) -> bytes:
        return post(path, {"phoneNumber": to, **fields}, "-", {"X-Forwarded-For": addresses[to]})

    def start(caller: Caller) -> bytes:
        addresses[caller.to] = caller.ip
        return asked("/api/auth/phone-number/send-otp", caller.to)

    def check(message: Message) -> bytes:
        return asked("/api/auth/phone-number/verify", message.to, code=message.code, disableSession=True)

    with ExitStack() as stack:
        valkey = stack.enter_context(EmbeddedValkey(folder / "valkey", port=free_port(), append_fsync=None))
        stack.enter_context(running(folder, "vendor", ["benchmarks.sink", str(vendor)], {}, vendor))
        env = {
            "NODE_ENV": "production",
            "PORT": str(port),
            "VENDOR_PORT": str(vendor),
            "REDIS_URL": valkey.url,
            "BETTER_AUTH_SECRET": secrets.token_urlsafe(32),
        }
        pid = stack.enter_context(program(folder, "better-auth", ["node", str(server)], env, port))
        yield Contender("better-auth", port, {"web": pid, "store": valkey.pid}, start, check, vendor, warm=4_000)


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the tables, with the machine's load before and after."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("installed", type=Path, help="the folder that benchmarks/peers/install has filled")
    parser.add_argument("--rounds", type=int, default=5, help="in turns (%(default)s)")
    parser.add_argument("--calls", type=int, default=1_000, help="of a round (%(default)s)")
    parser.add_argument("--connections", type=int, default=16, help="requests under way at once (%(default)s)")
    options = parser.parse_args(arguments)
    print("load average: " + ", ".join(f"{figure:.1f}" for figure in os.getloadavg()))
    with tempfile.TemporaryDirectory(prefix="verify-bench-") as name, ExitStack() as stack:
        folders = [Path(name, of) for of in ("bare", "peer", "ours")]
        for folder in folders:
            folder.mkdir()
        contenders = [
            stack.enter_context(bare(folders[0])),
            stack.enter_context(better_auth(folders[1], options.installed)),
            stack.enter_context(checkout(folders[2], "verify_service")),
        ]
        taken = turns(contenders, options.rounds, options.calls, options.connections)
        for table in tables(taken, ["bare", "better-auth"]):
            print(table.markdown(), flush=True)
    print("load average at the end: " + ", ".join(f"{figure:.1f}" for figure in os.getloadavg()))


if __name__ == "__main__":
    main()
