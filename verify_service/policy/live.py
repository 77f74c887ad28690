"""The live policy: the newest revision in the store, in force in this process within a second or so of its push."""

import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from typing import Protocol

from verify_service.codes import Tagger
from verify_service.duration import until_next
from verify_service.errors import ConfigError, RevisionConflict, StoreUnavailable
from verify_service.model import Actor, Revision
from verify_service.policy import file as policy_file
from verify_service.policy.file import Policy
from verify_service.policy.rulebook import Rulebook
from verify_service.telemetry import log

PAUSE_S = 1.0
NOTED_S = 60.0
"""So often a process notes that it cannot use the newest revision."""
MOST_NOTE = 500
NOTE = r"^[^\x00-\x1f\x7f-\x9f]{0,500}\Z"
"""A note is one line."""
SOURCE = "policy"
"""What an error about a pushed text names in place of a file."""

_log = log("policy")


class Audited(Protocol):
    """Where acts are written down."""

    def refusing(
        self, now: int, by: Actor, act: str, target: str, *errors: type[Exception]
    ) -> AbstractContextManager[None]:
        """Writes an act down as refused where one of these errors comes."""
        ...


class History(Protocol):
    """Where the revisions are kept, and each push is written down before. Every method raises StoreUnavailable; reading
    one raises ConfigError where it cannot be unsealed."""

    @property
    def audit(self) -> Audited: ...

    def newest(self) -> int:
        """The number of the newest revision, 0 where there is none."""
        ...

    def get(self, revision: int) -> Revision | None: ...

    def current(self) -> Revision | None:
        """The newest revision that can be unsealed. Raises ConfigError where there are some and none can be."""
        ...

    def log(self) -> Iterator[Revision]:
        """All revisions that can be unsealed, newest first."""
        ...

    def rehearse(self, now: int, policy: Policy) -> None:
        """Judges by the policy and writes nothing. Raises ConfigError where that fails."""
        ...

    def passes_over(self, revision: int, in_force: int) -> None:
        """Notes for some minutes that a revision cannot be used here."""
        ...

    def refuses(self, now: int) -> None:
        """Notes that a push was refused, because its text cannot be used."""
        ...

    def push(
        self, now: int, by: Actor, note: str, text: str, *, expected: int | None = None, act: str = "push"
    ) -> Revision:
        """Raises RevisionConflict where `expected` is given and is not in force."""
        ...


class LivePolicy:
    """The policy in force: call it for the rulebook. `watch` keeps it up to date.

    A revision that cannot be used here, whatever the reason, is passed over, with one warning: the last good one stays
    in force. So it does while the store is silent. `first` puts a first revision into a store without one.
    """

    def __init__(self, history: History, tagger: Tagger, first: Callable[[], None] = lambda: None) -> None:
        self.history = history
        self._tagger = tagger
        self._first = first
        self._book: Rulebook | None = None
        self._seen = 0
        self._passed_over: set[int] = set()
        self._noted = -NOTED_S
        self._refreshing = threading.Lock()
        self._stop = threading.Event()

    def __call__(self) -> Rulebook:
        """The rulebook in force. Raises StoreUnavailable where none could be read yet."""
        if self._book is None:
            raise StoreUnavailable("no policy has been loaded yet")
        return self._book

    @property
    def in_force(self) -> int:
        """The number of the revision in force in this process, 0 where none is."""
        return self._book.revision if self._book else 0

    def refresh(self) -> None:
        """Puts the newest usable revision in force here. Raises StoreUnavailable; ConfigError where no revision can be
        unsealed and none is in force."""
        with self._refreshing:
            if self._book is None:
                self._first()
            newest = self.history.newest()
            if newest != self._seen:
                self._take(newest)
                self._seen = newest
                self._noted = -NOTED_S
            if self.in_force < newest and time.monotonic() - self._noted >= NOTED_S:
                self.history.passes_over(newest, self.in_force)
                self._noted = time.monotonic()

    def watch(self) -> None:
        """Refreshes once a second from now on, in a thread of its own that ends with the process or at `close`."""
        threading.Thread(target=self._watch, name="policy", daemon=True).start()

    def close(self) -> None:
        """Ends the watching."""
        self._stop.set()

    def push(
        self,
        now: int,
        by: Actor,
        note: str,
        text: str,
        *,
        expected: int | None = None,
        source: str = SOURCE,
        act: str = "push",
    ) -> Revision:
        """Judges a text, and puts it in force as the next revision; every other process follows within two seconds.

        All is made of it that a process makes, and a start and a check are rehearsed, before it is stored. Raises
        ConfigError for a text that cannot be used, naming `source`, the key and the fix; RevisionConflict where
        `expected` is given and not in force; StoreUnavailable. The live policy is untouched by any of them.
        """
        with self.history.audit.refusing(now, by, act, "policy", ConfigError, RevisionConflict):
            if not re.match(NOTE, by.name) or not re.match(NOTE, note):
                raise ConfigError(f"a name and a note are one line each, of {MOST_NOTE} characters at most")
            try:
                self._made(now, 0, text, source)
            except ConfigError:
                with suppress(StoreUnavailable):
                    self.history.refuses(now)
                raise
            return self.history.push(now, by, note, text, expected=expected, act=act)

    def check(self, now: int, text: str) -> None:
        """Judges a text as `push` does, and stores nothing. Raises ConfigError as that, StoreUnavailable."""
        self._made(now, 0, text, SOURCE)

    def rollback(self, now: int, by: Actor, note: str, revision: int, *, expected: int | None = None) -> Revision:
        """Puts an earlier revision's text in force again, as a new revision. Raises as `push` does, and ConfigError
        where there is no such revision."""
        with self.history.audit.refusing(now, by, "rollback", f"revision:{revision}", ConfigError):
            text = self.revision(revision).text
        source = f"revision {revision}"
        return self.push(now, by, note, text, expected=expected, source=source, act="rollback")

    def revision(self, revision: int | None = None) -> Revision:
        """A revision, or the newest that can be unsealed. Raises ConfigError where there is none, StoreUnavailable."""
        found = self.history.current() if revision is None else self.history.get(revision)
        if found is None:
            what = "the store has no policy yet" if revision is None else f"there is no revision {revision}"
            raise ConfigError(f"{what}; `verify-service policy log` lists what there is")
        return found

    def _made(self, now: int, revision: int, text: str, source: str) -> Rulebook:
        """All that a process makes of a text, tried. Raises ConfigError where it cannot be used, StoreUnavailable."""
        try:
            policy = policy_file.parse(text, source)
            book = Rulebook(revision, policy, self._tagger)
            self.history.rehearse(now, policy)
        except StoreUnavailable:
            raise
        except ConfigError as error:
            said = str(error)
            raise ConfigError(said if said.startswith(f"{source}: ") else f"{source}: {said}") from None
        except Exception as error:  # Nobody foresaw it; what cannot be made here would be made nowhere.
            raise ConfigError(f"{source}: cannot be used: {type(error).__name__}") from error
        return book

    def _take(self, newest: int) -> None:
        if self._book is None:
            self.history.current()  # Refuses another tag key, in one line.
        if newest < self._seen:
            self._passed_over.clear()  # The store was emptied: its numbers begin again.
        for revision in range(newest, 0, -1):
            if self._book is not None and revision == self._book.revision and revision < newest:
                return
            try:
                found = self.history.get(revision)
                if found is not None:
                    self._book = self._made(found.at, revision, found.text, f"revision {revision}")
                    return
            except ConfigError:
                if revision not in self._passed_over:
                    self._passed_over.add(revision)
                    # Without the reason, which may quote a number of a list.
                    hint = "`policy show --rev` prints it, `policy check` of this version says what is wrong"
                    _log.warning("a policy revision cannot be used here", revision=revision, hint=hint)

    def _watch(self) -> None:
        while not self._stop.wait(until_next(PAUSE_S)):
            try:
                self.refresh()
            except StoreUnavailable:
                pass  # The last good one stays in force; /readyz says that the store is silent.
            except Exception as error:  # Whatever it is, a process that stops looking would judge by an old policy.
                _log.error("the live policy cannot be refreshed", error=type(error).__name__)
