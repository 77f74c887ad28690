"""Many threads that begin together, and what became of each."""

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from tests.support.live import PATIENCE_S
from verify_service.errors import Problem

T = TypeVar("T")


def at_once(*works: Callable[[], T]) -> list[T]:
    """Runs all in threads of their own that wait for each other before they begin; the results in order.

    What any of them raises is raised here.
    """
    together = threading.Barrier(len(works))

    def run(work: Callable[[], T]) -> T:
        together.wait(PATIENCE_S)
        return work()

    with ThreadPoolExecutor(len(works)) as pool:
        return [future.result(PATIENCE_S) for future in [pool.submit(run, work) for work in works]]


def outcome(work: Callable[[], T]) -> Callable[[], T | Problem]:
    """The same work, which answers a refusal instead of raising it."""

    def tried() -> T | Problem:
        try:
            return work()
        except Problem as problem:
            return problem

    return tried


def numbers(area: int) -> Iterator[str]:
    """Valid numbers of one area code in E.164, each once."""
    return (f"+1{area}{line:07d}" for line in itertools.count(2_010_001))
