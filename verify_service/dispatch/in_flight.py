"""What a dispatcher holds of the outbox: messages on their way, as many as there is room for, and those put aside."""

import threading
from collections.abc import Callable, Iterable, Sequence

from verify_service.dispatch.backlog import Backlog, Parked
from verify_service.dispatch.job import Job
from verify_service.dispatch.planner import DeliveryPath
from verify_service.dispatch.rooms import Outages, Rooms
from verify_service.store.entries import Entry, Settlement


class InFlight:
    """Thread-safe. An entry is here once, as a job or put aside, until it is settled, dropped or lost sight of."""

    def __init__(self, outages: Outages, queued: Callable[[str], int]) -> None:
        """`queued` counts what stands in a provider's pool."""
        self.rooms = Rooms(outages, queued)
        self.backlog = Backlog()
        self.called = threading.Event()
        """Set where some of those put aside may go now."""
        self._lock = threading.Lock()
        self._jobs: dict[tuple[int, str], Job] = {}
        self._aside: set[tuple[int, str]] = set()
        self._left: list[Entry] = []

    def on_its_way(self, partition: int) -> list[str]:
        """The entries that there is a job for."""
        with self._lock:
            return [position for part, position in self._jobs if part == partition]

    @property
    def on_their_way(self) -> int:
        """How many jobs there are."""
        return len(self._jobs)

    def unknown(self, partition: int, positions: Iterable[str]) -> list[str]:
        """Those of them that are not here."""
        jobs, aside = self._jobs, self._aside
        places = [(partition, position) for position in positions]
        return [where[1] for where in places if where not in aside and where not in jobs]

    def begin(self, job: Job) -> bool:
        """Holds a new entry; False where it is held already."""
        where = job.entry.partition, job.entry.entry
        with self._lock:
            if where in self._jobs or where in self._aside:
                return False
            self._jobs[where] = job
            return True

    def enter(self, job: Job, path: DeliveryPath) -> bool:
        """Moves a job's place to this path, where there is room. Who has none goes behind those that wait for it."""
        if job.room == path.room:
            return True
        if (not job.room and self.backlog.is_wanted(path)) or not self.rooms.enter(path):
            return False
        self._leave_room(job.room)
        job.room = path.room
        return True

    def put_aside(self, job: Job, paths: Sequence[DeliveryPath]) -> Parked | None:
        """Keeps of a job what it takes to go on by one of `paths`. None where there is no place even for that: it stays
        in the outbox alone, to be looked up later."""
        where = job.entry.partition, job.entry.entry
        parked = self.backlog.put_aside(job, paths)
        with self._lock:
            self._jobs.pop(where, None)
            if parked:
                self._aside.add(where)
        self._leave_room(job.room)
        job.room = ""
        return parked

    def line_up(self, parked: Parked) -> None:
        """It may go as soon as there is room."""
        self.backlog.add(parked)
        self.called.set()

    def resume(self, parked: Parked, job: Job | None) -> None:
        """What was put aside is a job again, or gone from the outbox."""
        where = parked.partition, parked.position
        with self._lock:
            self._aside.discard(where)
            if job:
                self._jobs[where] = job

    def settled(self, settled: Sequence[Settlement]) -> None:
        with self._lock:
            jobs = [self._jobs.pop((each.entry.partition, each.entry.entry), None) for each in settled if not each.late]
        for job in jobs:
            if job:
                self._leave_room(job.room)

    def leave(self, entry: Entry) -> None:
        """Lets go of an entry that another dispatcher is to take."""
        with self._lock:
            job = self._jobs.pop((entry.partition, entry.entry), None)
            self._left.append(entry)
        self._leave_room(job.room if job else "")

    def forget(self, job: Job) -> None:
        """Lets go of a job whose entry this dispatcher is to find again."""
        with self._lock:
            self._jobs.pop((job.entry.partition, job.entry.entry), None)
        self._leave_room(job.room)

    def take_left(self, partition: int) -> list[str]:
        """The entries that were let go since the last call."""
        with self._lock:
            left = [entry.entry for entry in self._left if entry.partition == partition]
            self._left = [entry for entry in self._left if entry.partition != partition]
            return left

    def _leave_room(self, room: str) -> None:
        if room:
            self.rooms.leave(room)
            if len(self.backlog) and not self.called.is_set():
                self.called.set()
