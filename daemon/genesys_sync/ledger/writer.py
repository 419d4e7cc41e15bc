"""Group commit: one OS thread owns the only write connection, and one commit serves everybody who waits for it.

The thread takes what has gathered in its queue (at most 1,000 operations) and runs it in one transaction. It never waits for
more to come: while one commit is being synced the next batch gathers by itself. Each operation runs in a savepoint, so that one
that fails leaves nothing behind and spoils no other. Callers hear of success only after COMMIT has returned, which
with `synchronous=FULL` means after fsync.
"""

from __future__ import annotations

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Condition, Thread
from typing import Any, TypeVar

import anyio
import anyio.to_thread
import apsw

from genesys_sync.clock import Clock
from genesys_sync.errors import LedgerError, LedgerFull, LedgerSyncFailed
from genesys_sync.ledger.translation import translated
from genesys_sync.metrics import Metrics

T = TypeVar("T")

MAX_BATCH = 1000
MAX_WAITING = 4096
CLOSE_SECONDS = 30.0
_LAST_CHECKPOINT_MS = 1_000  # somebody may be reading; the log is as good as the file, so the end does not wait long for them

# In pages of 4 KiB: a small log is brought home when nothing has happened for a moment, a larger one whenever the queue is
# empty, and one of 64 MiB even between two busy batches, because readers slow down with its length.
_SMALL_LOG = 1_000
_LARGE_LOG = 4_000
_FULL_LOG = 16_000
_MOMENT_SECONDS = 0.05


@dataclass(slots=True)
class Effects:
    """What an operation did that others are told of once it is durable.

    recorded  new events by topic and origin
    ready     whether a delivery may have become ready
    """

    recorded: Counter[tuple[str, str]] = field(default_factory=Counter)
    ready: bool = False


Operation = Callable[[apsw.Connection, Effects], T]
"""Runs in the writer thread, in a savepoint of its own. Whatever it raises is raised at its caller, and undone."""


@dataclass(slots=True)
class _Waiting:
    run: Operation[Any]
    future: asyncio.Future[Any]


@dataclass(slots=True)
class _Outcome:
    value: Any = None
    error: Exception | None = None
    effects: Effects = field(default_factory=Effects)


def quiet_before_checkpoint(pages: int) -> float | None:
    """How many seconds the queue must have been empty before a log that grew by `pages` is worth a checkpoint; None: not yet."""
    if pages < _SMALL_LOG:
        return None
    return _MOMENT_SECONDS if pages < _LARGE_LOG else 0.0


class Writer:
    """The writer of one ledger. Made and used on one event loop; the connection is its own from `start` on."""

    def __init__(
        self,
        connection: apsw.Connection,
        path: Path,
        *,
        clock: Clock,
        metrics: Metrics | None,
        on_ready: Callable[[], None],
        checkpoints: bool,
    ) -> None:
        """`on_ready` is called on the event loop after a commit that may have made a delivery ready. `checkpoints` is False for a
        guest beside the daemon, whose writer cares for the log."""
        self._connection = connection
        self._path = path
        self._clock = clock
        self._metrics = metrics
        self._on_ready = on_ready
        self._checkpoints = checkpoints
        self._loop = asyncio.get_running_loop()
        self._places = anyio.Semaphore(MAX_WAITING, fast_acquire=True)
        self._changed = Condition()
        self._queue: deque[_Waiting] = deque()
        self._closing = False
        self._failure: LedgerError | None = None
        self._out_of_space = False
        self._log_pages = 0
        self._pages_at_checkpoint = 0
        self.commits = 0
        self.last_commit_seconds = 0.0
        self.last_commit_operations = 0
        connection.set_wal_hook(self._note_log_pages)
        self._thread = Thread(target=self._run, name="ledger-writer", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    @property
    def queued(self) -> int:
        """Operations that wait for the next batch."""
        return len(self._queue)

    @property
    def log_pages(self) -> int:
        """Pages in the write-ahead log after the last commit."""
        return self._log_pages

    @property
    def failure(self) -> LedgerError | None:
        """Why nothing more is taken: the first failed fsync, for ever. Each time an exception of its own, to be raised."""
        return None if self._failure is None else _again(self._failure)

    async def submit(self, run: Operation[T]) -> T:
        """Run the operation in the next batch; its result, once that is durable.

        Waits for a place when 4,096 operations are waiting (back pressure). A caller that is cancelled leaves the operation
        where it is: it may still commit. Raises what the operation raised, LedgerFull, LedgerSyncFailed, or LedgerError after close.
        """
        await self._places.acquire()
        future: asyncio.Future[T] = self._loop.create_future()
        with self._changed:
            refusal = self._refusal()
            if refusal is None:
                self._queue.append(_Waiting(run, future))
                self._changed.notify()
        if refusal is not None:
            self._places.release()
            raise refusal
        return await future

    async def close(self) -> None:
        """Commit what was accepted, end the thread, close the connection. Nothing is accepted any more. Closing twice is allowed.

        Gives up after 30 s of a disk that does not answer: the process is ending, and the lock goes with it.
        """
        with self._changed:
            self._closing = True
            self._changed.notify()
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            await anyio.to_thread.run_sync(self._thread.join, abandon_on_cancel=True)

    def _refusal(self) -> LedgerError | None:
        return self.failure or (LedgerError("the ledger is closed") if self._closing else None)

    # --- the thread

    def _run(self) -> None:
        try:
            while (batch := self._take()) is not None:
                if batch:
                    self._commit(batch)
                else:
                    self._checkpoint(apsw.SQLITE_CHECKPOINT_PASSIVE)
            if self._checkpoints and self._failure is None:
                self._connection.set_busy_timeout(_LAST_CHECKPOINT_MS)
                self._checkpoint(apsw.SQLITE_CHECKPOINT_TRUNCATE)
        finally:
            self._end()

    def _take(self) -> list[_Waiting] | None:
        """The next batch; an empty one when it is time for a checkpoint; None when there will be no more."""
        with self._changed:
            grown = self._log_pages - self._pages_at_checkpoint if self._checkpoints else 0
            if self._failure is not None:
                return None
            if grown >= _FULL_LOG:
                return []
            while not self._queue:
                if self._closing:
                    return None
                if not self._changed.wait(quiet_before_checkpoint(grown)) and not self._queue:
                    return []
            if self._out_of_space and self._checkpoints:
                # The log may have taken the space: once its pages are home it begins again in the space that it has.
                self._out_of_space = False
                return []
            return [self._queue.popleft() for _ in range(min(len(self._queue), MAX_BATCH))]

    def _commit(self, batch: list[_Waiting]) -> None:
        started = self._clock.monotonic()
        changes = self._connection.total_changes()
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            outcomes = [self._attempt(waiting.run) for waiting in batch]
            self._connection.execute("COMMIT")
        except apsw.Error as error:
            fault = self._translated(error)
            self._take_back(fault)
            self._hand_back(batch, [_Outcome(error=_again(fault)) for _ in batch])
            return
        if self._connection.total_changes() != changes:
            self._measure(len(batch), self._clock.monotonic() - started)
        for outcome in outcomes:
            self._count(outcome.effects)
        self._hand_back(batch, outcomes)

    def _attempt(self, run: Operation[Any]) -> _Outcome:
        effects = Effects()
        self._connection.execute("SAVEPOINT operation")
        try:
            value = run(self._connection, effects)
        except Exception as error:  # not handled here: it is raised at the caller, whose operation it is
            if isinstance(error, apsw.Error) and self._spoils_the_batch(error):
                raise
            self._connection.execute("ROLLBACK TO operation")
            self._connection.execute("RELEASE operation")
            return _Outcome(error=self._translated(error) if isinstance(error, apsw.Error) else error)
        self._connection.execute("RELEASE operation")
        return _Outcome(value=value, effects=effects)

    def _spoils_the_batch(self, error: apsw.Error) -> bool:
        """After these SQLite may have rolled back everything, and the next statement would meet the same."""
        return isinstance(error, (apsw.FullError, apsw.IOError, apsw.NoMemError, apsw.CorruptError)) or not self._connection.in_transaction

    def _take_back(self, fault: LedgerError) -> None:
        """Leave nothing of a commit that failed."""
        if isinstance(fault, LedgerSyncFailed):
            self._fail(fault)
            return
        try:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except apsw.Error as error:
            self._fail(LedgerSyncFailed(f"the ledger at {self._path} could not take a failed commit back ({error}); start again"))
            return
        self._out_of_space = isinstance(fault, LedgerFull)

    def _checkpoint(self, mode: int) -> None:
        """Bring the log home. What hinders it (a reader, no space) leaves all commits safe in the log, and it is tried again
        when the log has grown; a failed fsync is as final here as in a commit."""
        self._pages_at_checkpoint = self._log_pages
        try:
            self._connection.wal_checkpoint(mode=mode)
        except apsw.Error as error:
            fault = self._translated(error)
            if isinstance(fault, LedgerSyncFailed):
                self._fail(fault)

    def _fail(self, fault: LedgerError) -> None:
        with self._changed:
            self._failure = fault

    def _end(self) -> None:
        with self._changed:
            self._closing = True
            left = list(self._queue)
            self._queue.clear()
        refusal = self._failure or LedgerError("the ledger is closed")
        self._hand_back(left, [_Outcome(error=_again(refusal)) for _ in left])
        with suppress(apsw.Error):  # everything acknowledged is durable already; there is nothing to lose by a close that fails
            self._connection.close()

    def _hand_back(self, batch: Sequence[_Waiting], outcomes: Sequence[_Outcome]) -> None:
        with suppress(RuntimeError):  # the event loop is closed: nobody is left to be told
            self._loop.call_soon_threadsafe(self._deliver, batch, outcomes)

    def _measure(self, operations: int, seconds: float) -> None:
        self.commits += 1
        self.last_commit_operations = operations
        self.last_commit_seconds = seconds
        if self._metrics is not None:
            self._metrics.ledger_commit_seconds.observe(seconds)
            self._metrics.ledger_commit_operations.observe(operations)

    def _count(self, effects: Effects) -> None:
        if self._metrics is not None:
            for (topic, origin), events in effects.recorded.items():
                self._metrics.events.labels(topic=topic, origin=origin).inc(events)

    def _translated(self, error: apsw.Error) -> LedgerError:
        return translated(error, self._path, system_errno=self._connection.system_errno)

    def _note_log_pages(self, _connection: apsw.Connection, _database: str, pages: int) -> int:
        if pages < self._log_pages:
            self._pages_at_checkpoint = 0  # the log began again
        self._log_pages = pages
        return apsw.SQLITE_OK

    # --- on the event loop

    def _deliver(self, batch: Sequence[_Waiting], outcomes: Sequence[_Outcome]) -> None:
        for waiting, outcome in zip(batch, outcomes, strict=True):
            self._places.release()
            if waiting.future.done():
                continue  # its caller was cancelled
            if outcome.error is not None:
                waiting.future.set_exception(outcome.error)
            else:
                waiting.future.set_result(outcome.value)
        if any(outcome.effects.ready for outcome in outcomes):
            self._on_ready()


def _again(error: LedgerError) -> LedgerError:
    """The same failure as an exception of its own: one object raised at many callers would gather all their tracebacks."""
    return type(error)(*error.args)
