"""What each `appendfsync` of the embedded store costs, and what a kill of its process takes with it.

    python -m benchmarks.append_only_file [--seconds 1] [--repeats 5] [--kills 20] [--folder FOLDER]

Writers are threads of two processes, each with one connection and one command under way, as web workers have
them; half of the commands are SET, half XADD. For `always`, `everysec` and `no`, in turns, it measures

- commands a second with 1, 8 and 32 writers: the median of the repeats, the lowest and the highest;
- answered writes that are missing after the server was killed (SIGKILL) at a random moment of the load and
  started again on its file, on a quiet disk and on one that large writes with their fsync keep busy.

`everysec` answers without writing while an fsync is under way, so how much a kill takes from it hangs on
how long an fsync lasts: a quick disk shows no loss.

A power cut is not simulated. It takes what no fsync has covered yet: nothing that was answered with `always`,
about the last second with `everysec`, about the last half minute with `no`.
"""

import argparse
import os
import random
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import get_args

import redis

from verify_service.embedded import AppendFsync, EmbeddedValkey

POLICIES: tuple[AppendFsync, ...] = get_args(AppendFsync)
PROCESSES = 2


def write(url: str, writers: Sequence[int], seconds: float) -> dict[int, int]:
    """Writes until the time is over or the server is gone; gives the answered pairs per writer."""
    answered = dict.fromkeys(writers, 0)
    until = time.monotonic() + seconds

    def one(writer: int) -> None:
        with redis.Redis.from_url(url, retry=None) as client:
            try:
                while time.monotonic() < until:
                    number = answered[writer] + 1
                    client.set(f"set:{writer}", number)
                    client.xadd(f"stream:{writer}", {"number": number})
                    answered[writer] = number
            except redis.ConnectionError:
                return

    threads = [threading.Thread(target=one, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answered


def load(pool: ProcessPoolExecutor, url: str, writers: int, seconds: float) -> list[Future[dict[int, int]]]:
    """The writers, spread over the processes."""
    shares = [range(process, writers, PROCESSES) for process in range(min(PROCESSES, writers))]
    return [pool.submit(write, url, share, seconds) for share in shares]


def commands_per_second(pool: ProcessPoolExecutor, store: EmbeddedValkey, writers: int, seconds: float) -> float:
    """The rate of answered commands over one stretch of load."""
    answered = [future.result() for future in load(pool, store.url, writers, seconds)]
    return 2 * sum(sum(share.values()) for share in answered) / seconds


def lost_in_a_kill(pool: ProcessPoolExecutor, store: EmbeddedValkey, writers: int) -> tuple[int, int]:
    """(answered, lost) of one kill in the middle of load; counted in pairs of commands."""
    with redis.Redis.from_url(store.url) as client:
        client.flushall()
    running = load(pool, store.url, writers, seconds=10)
    time.sleep(random.uniform(0.3, 2.3))  # two turns of the once-a-second fsync
    store.kill()
    answered = {writer: count for future in running for writer, count in future.result().items()}
    store.start(timeout=60)
    with redis.Redis.from_url(store.url) as client:
        lost = 0
        for writer, count in answered.items():
            found = min(int(client.get(f"set:{writer}") or 0), int(client.xlen(f"stream:{writer}")))
            lost += max(0, count - found)
    return sum(answered.values()), lost


@contextmanager
def busy_disk(folder: Path, *, busy: bool) -> Iterator[None]:
    """Large writes and their fsync on the same disk, over and over, until the end of the block."""
    done = threading.Event()

    def disturb() -> None:
        block = os.urandom(1 << 20)
        with (folder / "noise").open("wb") as noise:
            while not done.is_set():
                noise.seek(0)
                for _ in range(64):
                    noise.write(block)
                os.fsync(noise.fileno())

    thread = threading.Thread(target=disturb)
    if busy:
        thread.start()
    try:
        yield
    finally:
        done.set()
        if busy:
            thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1.0, help="one stretch of load")
    parser.add_argument("--repeats", type=int, default=5, help="stretches per figure")
    parser.add_argument("--kills", type=int, default=20, help="kills per figure; 0 leaves them out")
    parser.add_argument("--folder", type=Path, help="on the disk to be measured; default: the temporary folder")
    options = parser.parse_args()
    with (
        ProcessPoolExecutor(PROCESSES) as pool,
        tempfile.TemporaryDirectory(dir=options.folder) as folder,
    ):
        print("| writers | appendfsync | commands/s | lowest | highest |\n| --- | --- | --- | --- | --- |")
        for writers in (1, 8, 32):
            rates: dict[AppendFsync, list[float]] = {policy: [] for policy in POLICIES}
            for _ in range(options.repeats):
                for policy in POLICIES:
                    with EmbeddedValkey(Path(folder, f"rate-{policy}"), append_fsync=policy) as store:
                        rates[policy].append(commands_per_second(pool, store, writers, options.seconds))
            for policy, values in rates.items():
                middle = statistics.median(values)
                print(f"| {writers} | {policy} | {middle:,.0f} | {min(values):,.0f} | {max(values):,.0f} |")
        if options.kills == 0:
            return
        print("\n| disk | appendfsync | kills | pairs answered | pairs lost | kills with a loss |")
        print("| --- | --- | --- | --- | --- | --- |")
        for busy in (False, True):
            for policy in POLICIES:
                with (
                    busy_disk(Path(folder), busy=busy),
                    EmbeddedValkey(Path(folder, f"kill-{policy}"), append_fsync=policy) as store,
                ):
                    results = [lost_in_a_kill(pool, store, writers=8) for _ in range(options.kills)]
                answered, lost = (sum(column) for column in zip(*results, strict=True))
                bad = sum(1 for _, lost_here in results if lost_here)
                disk = "busy" if busy else "quiet"
                print(f"| {disk} | {policy} | {len(results)} | {answered:,} | {lost:,} | {bad} |")


if __name__ == "__main__":
    main()
