"""The ledger on SQLite: writes go to one writer thread, reads to a connection that cannot write."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import partial
from types import MappingProxyType
from typing import Any, Self, TypeVar

import anyio
import anyio.to_thread
import apsw

from genesys_sync.audit import AuditEntry, Numbered, Seal
from genesys_sync.clock import Clock
from genesys_sync.errors import LedgerError, ReasonCode
from genesys_sync.events import Event
from genesys_sync.ledger import deliveries, lookup, recording, trail
from genesys_sync.ledger.base import Appended, Claim, Counts, DeliveryRecord, DeliveryState, Expiring, Fact, Gap, Ledger, Upload, Verdict
from genesys_sync.ledger.opening import Mode, Opened, open_file
from genesys_sync.ledger.rows import audit_rows, event_rows, parse_delivery_id
from genesys_sync.ledger.translation import translated
from genesys_sync.ledger.writer import CLOSE_SECONDS, Effects, Operation, Writer
from genesys_sync.metrics import Metrics
from genesys_sync.routing import RoutedEvent
from genesys_sync.tallies import Tallies

T = TypeVar("T")

_STRETCH = 2_000
"""Events that `add_deliveries` looks at in one commit."""


class SqliteLedger(Ledger):
    """One SQLite file in WAL mode with `synchronous=FULL`. Belongs to the event loop that opened it."""

    def __init__(self, opened: Opened, *, clock: Clock, metrics: Metrics | None) -> None:
        """Take over what `open_file` opened; `open` is the way to make one."""
        self._path = opened.path
        self._lock = opened.lock
        self.exclusive = opened.lock is not None
        self._reading = opened.reading
        self._one_reader = anyio.Lock()
        self._clock = clock
        self._closed = False
        self._may_be_ready = anyio.Event()
        self._writer: Writer | None = None
        if opened.writing is not None:
            self._writer = Writer(
                opened.writing,
                opened.path,
                clock=clock,
                metrics=metrics,
                on_ready=self._hint,
                checkpoints=opened.lock is not None,
            )
            self._writer.start()

    @classmethod
    async def open(
        cls, location: str, mode: Mode, *, clock: Clock, metrics: Metrics | None = None, command: str = "", vfs: str = ""
    ) -> Self:
        """Open the file; the caller closes the ledger. Raises LedgerLocked, LedgerTooNew or LedgerError."""
        opened = await anyio.to_thread.run_sync(partial(open_file, location, mode, command=command, vfs=vfs))
        return cls(opened, clock=clock, metrics=metrics)

    # --- what the feed does

    async def append(self, events: Sequence[RoutedEvent], *, watermark: tuple[str, int] | None = None) -> Appended:
        rows = [event_rows(routed) for routed in events]
        now_ms = self._clock.epoch_ms()

        def run(connection: apsw.Connection, effects: Effects) -> Appended:
            appended = recording.record_events(connection, effects, rows, now_ms=now_ms)
            if watermark is not None:
                recording.move_watermark(connection, *watermark)
            return appended

        return await self._write(run)

    async def watermark(self, stream: str) -> int | None:
        return await self._read(partial(lookup.watermark, stream=stream))

    async def open_gap(self, *, from_ms: int, to_ms: int, cause: str, audit: Sequence[AuditEntry] = ()) -> int:
        rows = audit_rows(audit)
        return await self._write(
            lambda connection, _: recording.open_gap(connection, from_ms=from_ms, to_ms=to_ms, cause=cause, audit=rows)
        )

    async def close_gap(self, gap_id: int, *, at_ms: int, audit: Sequence[AuditEntry] = ()) -> None:
        rows = audit_rows(audit)
        await self._write(lambda connection, _: recording.close_gap(connection, gap_id, at_ms=at_ms, audit=rows))

    async def advance_gap(self, gap_id: int, *, up_to_ms: int, found: int = 0, recorded: int = 0) -> None:
        await self._write(
            lambda connection, _: recording.advance_gap(connection, gap_id, up_to_ms=up_to_ms, found=found, recorded=recorded)
        )

    async def gap(self, gap_id: int) -> Gap | None:
        return await self._read(partial(lookup.gap, gap_id=gap_id))

    async def expiring(self, *, before_ms: int, limit: int = 1000) -> list[Expiring]:
        return await self._read(partial(lookup.expiring, before_ms=before_ms, limit=limit))

    async def gaps(self, *, only_open: bool = True, limit: int = 1000) -> list[Gap]:
        return await self._read(partial(lookup.gaps, only_open=only_open, limit=limit))

    # --- what the dispatcher does

    async def claim(self, free: Mapping[str, int], *, worker: str, now_ms: int, lease_ms: int) -> list[Claim]:
        asked = dict(free)
        return await self._write(lambda connection, _: deliveries.claim(connection, asked, worker=worker, now_ms=now_ms, lease_ms=lease_ms))

    async def renew(self, claims: Sequence[Claim], *, now_ms: int, lease_ms: int) -> list[Claim]:
        held = tuple(claims)
        return await self._write(lambda connection, _: deliveries.renew(connection, held, now_ms=now_ms, lease_ms=lease_ms))

    async def settle(
        self, claim: Claim, verdict: Verdict, *, now_ms: int, emitted: Sequence[RoutedEvent] = (), audit: Sequence[AuditEntry] = ()
    ) -> bool:
        if verdict.state is DeliveryState.LEASED:
            raise ValueError("a verdict ends a lease: its state is READY, DONE, SKIPPED or DEAD")
        if verdict.state is DeliveryState.DEAD and verdict.reason is None:
            raise ValueError("a dead letter carries a reason code")
        rows = [event_rows(routed) for routed in emitted]
        entries = audit_rows(audit)
        return await self._write(
            lambda connection, effects: deliveries.settle(connection, effects, claim, verdict, now_ms=now_ms, emitted=rows, audit=entries)
        )

    async def release(self, claims: Sequence[Claim], *, now_ms: int) -> None:
        held = tuple(claims)
        await self._write(lambda connection, effects: deliveries.release(connection, effects, held, now_ms=now_ms))

    async def return_expired(
        self,
        *,
        now_ms: int,
        max_crashes: int,
        max_crashes_of: Mapping[str, int] = MappingProxyType({}),
        announce: Callable[[DeliveryRecord], Sequence[RoutedEvent]],
        audit: Callable[[DeliveryRecord], Sequence[AuditEntry]] = lambda _: (),
        abandoned: bool = False,
    ) -> list[DeliveryRecord]:
        return await self._write(
            lambda connection, effects: deliveries.return_expired(
                connection,
                effects,
                now_ms=now_ms,
                max_crashes=lambda handler: max_crashes_of.get(handler, max_crashes),
                announce=announce,
                audit=audit,
                abandoned=abandoned,
            )
        )

    async def next_due(self, handlers: Sequence[str]) -> int | None:
        return await self._read(partial(lookup.next_due, handlers=tuple(handlers)))

    async def wait_for_ready(self) -> None:
        await self._may_be_ready.wait()
        self._may_be_ready = anyio.Event()

    # --- what people do

    async def organization(self) -> str | None:
        return await self._read(lookup.organization)

    async def counts(self, *, now_ms: int) -> Counts:
        return await self._read(partial(lookup.counts, now_ms=now_ms))

    async def tallies(self) -> Tallies:
        return await self._read(lookup.tallies)

    async def find(self, text: str, *, limit: int = 200) -> list[DeliveryRecord]:
        return await self._read(partial(lookup.find, text=text, limit=limit))

    async def events_about(self, text: str, *, limit: int = 200) -> list[Event]:
        return await self._read(partial(lookup.events_about, text=text, limit=limit))

    async def conversations_ended(
        self, *, from_ms: int, to_ms: int, after: tuple[int, str] | None = None, limit: int = 500
    ) -> list[tuple[int, str]]:
        return await self._read(partial(lookup.conversations_ended, from_ms=from_ms, to_ms=to_ms, after=after, limit=limit))

    async def ends_of(self, conversation_ids: Sequence[str]) -> dict[str, list[Event]]:
        return await self._read(partial(lookup.ends_of, conversation_ids=tuple(conversation_ids)))

    async def facts_of(self, conversation_ids: Sequence[str]) -> dict[str, list[Fact]]:
        return await self._read(partial(lookup.facts_of, conversation_ids=tuple(conversation_ids)))

    async def dead_letters(self, *, handler: str | None = None, reason: ReasonCode | None = None, limit: int = 100) -> list[DeliveryRecord]:
        return await self._read(partial(lookup.dead_letters, handler=handler, reason=reason, limit=limit))

    async def dead_reasons(self) -> Mapping[tuple[str, ReasonCode], int]:
        return await self._read(lookup.dead_reasons)

    async def replay(self, delivery_ids: Sequence[str], *, now_ms: int, audit: Sequence[AuditEntry] = ()) -> int:
        ids = [identity for text in delivery_ids if (identity := parse_delivery_id(text)) is not None]
        entries = audit_rows(audit)
        return await self._write(lambda connection, effects: deliveries.replay(connection, effects, ids, now_ms=now_ms, audit=entries))

    async def withdraw(self, topic: str, conversation_id: str, *, note: str, now_ms: int, keep: str | None = None) -> int:
        kept = None if keep is None else bytes.fromhex(keep)
        return await self._write(
            lambda connection, _: deliveries.withdraw(connection, topic, conversation_id, note=note, now_ms=now_ms, keep=kept)
        )

    async def resume(self, handler: str, *, now_ms: int, audit: Sequence[AuditEntry] = ()) -> bool:
        entries = audit_rows(audit)
        return await self._write(lambda connection, effects: deliveries.resume(connection, effects, handler, now_ms=now_ms, audit=entries))

    async def uploads(self, *, before: int | None = None, limit: int = 100) -> list[Upload]:
        return await self._read(partial(lookup.uploads, before=before, limit=limit))

    # --- the audit trail and the archive's record

    async def record_audit(self, entries: Sequence[AuditEntry]) -> None:
        rows = audit_rows(entries)
        await self._write(lambda connection, _: recording.record_audit(connection, rows))

    async def audit_entries(self, *, after: int, limit: int) -> list[Numbered]:
        return await self._read(partial(trail.entries, after=after, limit=limit))

    async def seal(self) -> Seal:
        return (await self._read(trail.seal))[0]

    async def mark_sealed(self, seal: Seal) -> None:
        await self._write(lambda connection, _: trail.mark_sealed(connection, seal))

    async def checkpointed(self) -> int:
        return (await self._read(trail.seal))[1]

    async def record_checkpoint(self, size: int, event: RoutedEvent) -> bool:
        rows = event_rows(event)
        now_ms = self._clock.epoch_ms()
        return await self._write(lambda connection, effects: trail.record_checkpoint(connection, effects, size, rows, now_ms=now_ms))

    async def event_days(self) -> list[date]:
        return await self._read(lookup.event_days)

    async def events_of_day(self, day: date, topics: Sequence[str], *, after: str = "", limit: int = 1000) -> list[Event]:
        return await self._read(partial(lookup.events_of_day, day=day, topics=tuple(topics), after=after, limit=limit))

    # --- upkeep

    async def add_deliveries(self, handler: str, topics: Sequence[str], *, since_ms: int, now_ms: int) -> int:
        patterns = tuple(topics)
        added, next_seq = 0, None
        while True:
            stretch = partial(
                deliveries.add_deliveries,
                handler=handler,
                patterns=patterns,
                since_ms=since_ms,
                now_ms=now_ms,
                from_seq=next_seq,
                limit=_STRETCH,
            )
            progress = await self._write(stretch)
            added += progress.added
            next_seq = progress.next_seq
            if next_seq is None:
                return added

    async def ping(self) -> None:
        now_ms = self._clock.epoch_ms()
        await self._write(lambda connection, _: recording.pulse(connection, now_ms=now_ms))

    async def statistics(self) -> Mapping[str, Any]:
        file_bytes = await anyio.to_thread.run_sync(self._bytes_on_disk)
        writer = self._writer
        if writer is None:
            return {"file_bytes": file_bytes}
        return {
            "file_bytes": file_bytes,
            "log_pages": writer.log_pages,
            "queued": writer.queued,
            "commits": writer.commits,
            "last_commit_seconds": writer.last_commit_seconds,
            "last_commit_operations": writer.last_commit_operations,
        }

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        if self._writer is not None:
            await self._writer.close()
        with anyio.move_on_after(CLOSE_SECONDS, shield=True):
            async with self._one_reader:
                await anyio.to_thread.run_sync(self._reading.close, abandon_on_cancel=True)
        if self._lock is not None:
            self._lock.release()

    # --- helpers

    async def _write(self, run: Operation[T]) -> T:
        if self._writer is None:
            raise LedgerError(f"the ledger at {self._path} is open to look only")
        return await self._writer.submit(run)

    async def _read(self, run: Callable[[apsw.Connection], T]) -> T:
        async with self._one_reader:
            if self._closed:
                raise LedgerError("the ledger is closed")
            if self._writer is not None and (failure := self._writer.failure) is not None:
                raise failure
            return await anyio.to_thread.run_sync(self._read_now, run)

    def _read_now(self, run: Callable[[apsw.Connection], T]) -> T:
        try:
            self._reading.execute("BEGIN")
            try:
                return run(self._reading)
            finally:
                if self._reading.in_transaction:
                    self._reading.execute("ROLLBACK")
        except apsw.Error as error:
            raise translated(error, self._path, system_errno=self._reading.system_errno) from error

    def _bytes_on_disk(self) -> int:
        files = (self._path, self._path.with_name(self._path.name + "-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def _hint(self) -> None:
        self._may_be_ready.set()
