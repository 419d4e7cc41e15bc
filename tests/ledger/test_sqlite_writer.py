"""The writer thread: who shares a commit, who waits, who is spared another's failure."""

import threading
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import apsw
import pytest

from genesys_sync.audit import AuditEntry
from genesys_sync.errors import LedgerError
from genesys_sync.events import Origin
from genesys_sync.ledger import writer as writer_module
from genesys_sync.ledger.base import DeliveryState, Verdict
from genesys_sync.ledger.opening import Mode
from genesys_sync.ledger.sqlite import SqliteLedger
from genesys_sync.ledger.writer import MAX_BATCH, Effects, quiet_before_checkpoint
from genesys_sync.metrics import Metrics
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def opened(location: Path, clock: FakeClock, metrics: Metrics | None = None) -> AsyncGenerator[SqliteLedger]:
    ledger = await SqliteLedger.open(str(location), Mode.EXCLUSIVE, clock=clock, metrics=metrics)
    try:
        yield ledger
    finally:
        await ledger.close()


@asynccontextmanager
async def held_up(ledger: SqliteLedger) -> AsyncGenerator[Callable[[], None]]:
    """The writer is busy with one operation until the function given is called, or the context ends."""
    entered, go_on = threading.Event(), threading.Event()

    def busy(connection: apsw.Connection, effects: Effects) -> None:
        entered.set()
        assert go_on.wait(20)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(ledger._write, busy)
        assert await anyio.to_thread.run_sync(entered.wait, 20)
        try:
            yield go_on.set
        finally:
            go_on.set()


async def test_all_who_wait_share_the_next_commit(location: Path, routed: Any, clock: FakeClock) -> None:
    async with opened(location, clock) as ledger:
        async with anyio.create_task_group() as callers, held_up(ledger):
            for _ in range(50):
                callers.start_soon(ledger.append, [routed("archive")])
            await anyio.wait_all_tasks_blocked()
            assert (await ledger.statistics())["queued"] == 50
        after = await ledger.statistics()
        assert (after["commits"], after["last_commit_operations"], after["queued"]) == (1, 50, 0)


async def test_no_commit_holds_more_than_a_thousand_operations(location: Path, clock: FakeClock) -> None:
    metrics = Metrics()
    async with opened(location, clock, metrics) as ledger:
        async with anyio.create_task_group() as callers, held_up(ledger):
            for _ in range(2 * MAX_BATCH + 1):
                callers.start_soon(ledger.ping)
            await anyio.wait_all_tasks_blocked()
        assert (await ledger.statistics())["commits"] == 3
    sample = metrics.registry.get_sample_value
    assert sample("genesys_sync_ledger_commit_operations_count") == 3
    assert sample("genesys_sync_ledger_commit_operations_sum") == 2 * MAX_BATCH + 1
    assert sample("genesys_sync_ledger_commit_seconds_count") == 3


async def test_one_failing_operation_spoils_none_that_share_its_commit(location: Path, routed: Any, clock: FakeClock) -> None:
    failures: list[Exception] = []

    def raising(connection: apsw.Connection, effects: Effects) -> None:
        connection.execute("INSERT INTO watermark VALUES ('left behind', 1)")
        raise LookupError("a fault of its own")

    def refused(connection: apsw.Connection, effects: Effects) -> None:
        connection.execute("INSERT INTO delivery (event_seq) VALUES (1)")

    async with opened(location, clock) as ledger:

        async def fail(run: Any) -> None:
            with pytest.raises((LookupError, LedgerError)) as caught:
                await ledger._write(run)
            failures.append(caught.value)

        async with anyio.create_task_group() as callers, held_up(ledger):
            callers.start_soon(ledger.append, [routed(conversation="first")])
            callers.start_soon(fail, raising)
            callers.start_soon(fail, refused)
            callers.start_soon(ledger.append, [routed(conversation="last")])
            await anyio.wait_all_tasks_blocked()
        assert sorted(type(failure).__name__ for failure in failures) == ["LedgerError", "LookupError"]
        assert (await ledger.statistics())["last_commit_operations"] == 4
        assert await ledger.watermark("left behind") is None
        assert len(await ledger.events_about("first")) == len(await ledger.events_about("last")) == 1


async def test_a_cancelled_caller_harms_nobody(location: Path, routed: Any, clock: FakeClock) -> None:
    async with opened(location, clock) as ledger:
        async with anyio.create_task_group() as callers, held_up(ledger):
            async with anyio.create_task_group() as leaving:
                for _ in range(20):
                    leaving.start_soon(ledger.append, [routed("archive", conversation="abandoned")])
                await anyio.wait_all_tasks_blocked()
                leaving.cancel_scope.cancel()
            callers.start_soon(ledger.append, [routed("archive", conversation="stays")])
            await anyio.wait_all_tasks_blocked()
        assert len(await ledger.find("stays")) == 1
        assert len(await ledger.find("abandoned")) == 1
        assert ledger._writer is not None
        assert ledger._writer._places.value == writer_module.MAX_WAITING


async def test_callers_wait_when_the_queue_is_full(location: Path, routed: Any, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "MAX_WAITING", 4)
    async with opened(location, clock) as ledger:
        async with anyio.create_task_group() as callers, held_up(ledger):
            for _ in range(30):
                callers.start_soon(ledger.append, [routed()])
            await anyio.wait_all_tasks_blocked()
            assert (await ledger.statistics())["queued"] == 3  # and one in hand
        assert (await ledger.counts(now_ms=0)).events == {"recording.ready": 30}


async def test_who_still_waits_for_a_place_when_it_closes_is_told(
    location: Path, routed: Any, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "MAX_WAITING", 2)
    ended: list[str] = []
    async with opened(location, clock) as ledger:

        async def append() -> None:
            try:
                await ledger.append([routed()])
                ended.append("recorded")
            except LedgerError as error:
                ended.append(str(error))

        async with anyio.create_task_group() as callers, held_up(ledger) as go_on:
            for _ in range(3):
                callers.start_soon(append)
            await anyio.wait_all_tasks_blocked()
            callers.start_soon(ledger.close)
            await anyio.wait_all_tasks_blocked()
            go_on()
    assert sorted(ended) == ["recorded", "the ledger is closed", "the ledger is closed"]


async def test_events_are_counted_once_they_are_durable_and_new(location: Path, routed: Any, clock: FakeClock) -> None:
    metrics = Metrics()
    async with opened(location, clock, metrics) as ledger:
        event = routed("archive")
        await ledger.append([event, routed()])
        await ledger.append([event])
        (claim,) = await ledger.claim({"archive": 1}, worker="w", now_ms=clock.epoch_ms(), lease_ms=1000)
        derived = routed(topic="media.archived", origin=Origin.DERIVED)
        await ledger.settle(claim, Verdict(state=DeliveryState.DONE), now_ms=0, emitted=[derived])

        def failing(connection: apsw.Connection, effects: Effects) -> None:
            effects.recorded["recording.ready", "live"] += 1
            raise LookupError

        with pytest.raises(LookupError):
            await ledger._write(failing)
    sample = metrics.registry.get_sample_value
    assert sample("genesys_sync_events_total", {"topic": "recording.ready", "origin": "live"}) == 2
    assert sample("genesys_sync_events_total", {"topic": "media.archived", "origin": "derived"}) == 1


async def test_asking_without_changing_is_no_commit(location: Path, routed: Any, clock: FakeClock, disk: Any) -> None:
    ledger = await SqliteLedger.open(str(location), Mode.EXCLUSIVE, clock=clock, vfs="disk")
    event = routed()
    await ledger.append([event])
    syncs = len(disk.syncs)
    assert await ledger.claim({"archive": 5}, worker="w", now_ms=clock.epoch_ms(), lease_ms=1000) == []
    assert not await ledger.resume("archive", now_ms=0)
    await ledger.append([event])
    assert len(disk.syncs) == syncs
    assert (await ledger.statistics())["commits"] == 1
    await ledger.append([routed()])
    assert len(disk.syncs) == syncs + 1  # and a commit is one fsync
    await ledger.close()


async def test_audit_entries_commit_with_what_they_tell_of_and_stay(location: Path, routed: Any, clock: FakeClock) -> None:
    entry = AuditEntry(at=clock.now(), actor="archive", action="recording.archive", target="r", outcome="success", facts={"bytes": 12})
    async with opened(location, clock) as ledger:
        await ledger.append([routed("archive")])
        (claim,) = await ledger.claim({"archive": 1}, worker="w", now_ms=clock.epoch_ms(), lease_ms=1000)
        assert await ledger.settle(claim, Verdict(state=DeliveryState.DONE), now_ms=0, audit=[entry, entry])
        assert not await ledger.settle(claim, Verdict(state=DeliveryState.DONE), now_ms=0, audit=[entry])

        def trail(connection: apsw.Connection, _: Effects) -> list[tuple[Any, ...]]:
            return connection.execute("SELECT * FROM audit ORDER BY seq").fetchall()

        told = (clock.epoch_ms(), "archive", "recording.archive", "r", "success", b'{"bytes":12}')
        assert await ledger._write(trail) == [(1, *told), (2, *told)]
        for forbidden in ("DELETE FROM audit", "UPDATE audit SET actor = 'nobody'", "UPDATE event SET topic = 'x.y'"):

            def change(connection: apsw.Connection, _: Effects, statement: str = forbidden) -> None:
                connection.execute(statement)

            with pytest.raises(LedgerError, match="never"):
                await ledger._write(change)


def test_a_checkpoint_waits_for_a_quiet_moment_the_less_the_longer_the_log() -> None:
    assert quiet_before_checkpoint(0) is None
    assert quiet_before_checkpoint(999) is None
    moment = quiet_before_checkpoint(1_000)
    assert moment is not None
    assert moment > 0
    assert quiet_before_checkpoint(4_000) == 0


async def test_a_grown_log_is_brought_home_when_it_is_quiet(
    location: Path, routed: Any, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = threading.Event()
    checkpoint = writer_module.Writer._checkpoint

    def watched(self: writer_module.Writer, mode: int) -> None:
        checkpoint(self, mode)
        home.set()

    monkeypatch.setattr(writer_module.Writer, "_checkpoint", watched)
    async with opened(location, clock) as ledger:
        for _ in range(3):
            await ledger.append([routed()])
        assert not home.is_set()
        small = location.stat().st_size
        await ledger.append([routed(body={"padding": "x" * 4000}) for _ in range(1_100)])
        assert await anyio.to_thread.run_sync(home.wait, 20)
        assert location.stat().st_size > small + 4_000_000
        await ledger.append([routed()])
        assert (await ledger.statistics())["log_pages"] < 100  # the log began again
