"""A conversation that is taken up again under its id ends again, once, whoever sees it: the socket, the back-fill, or the next process."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from genesys_sync.events import Origin

pytestmark = pytest.mark.anyio

Stage = Any
"""As tests/integration/feed/conftest.py makes it."""
Staged = Callable[..., Any]
AGAIN = {"id": "c2", "startTime": "2026-08-01T11:59:30.000Z", "emails": [{"id": "m", "state": "connected"}]}
AGAIN_OVER = {**AGAIN, "emails": [{"id": "m", "state": "disconnected"}], "endTime": "2026-08-01T12:05:00.000Z"}
RECONCILED = {"reconcile_every": timedelta(minutes=15)}


def taken_up(stage: Stage, part: dict[str, Any]) -> dict[str, Any]:
    snapshot: dict[str, Any] = stage.snapshot()
    return {**snapshot, "participants": [*snapshot["participants"], part]}


def record(stage: Stage) -> dict[str, Any]:
    """As analytics tells of the whole of it, a minute of wrap-up after the second end included."""
    segments = [("interact", "2026-08-01T12:05:00.200Z"), ("wrapup", "2026-08-01T12:06:00.000Z")]
    rows = [{"segmentType": kind, "segmentEnd": end} for kind, end in segments]
    told: dict[str, Any] = stage.record()
    return {**told, "conversationEnd": "2026-08-01T12:06:00.000Z", "participants": [{"sessions": [{"segments": rows}]}]}


async def told(stage: Stage) -> list[tuple[str, int, Origin]]:
    return [(event.body["endedAt"][11:16], event.body.get("revision", 1), event.origin) for event in await stage.events()]


async def reconciled(stage: Stage, *, known: int) -> None:
    """Back-fill has been over all of it, and found this many known."""

    def seen() -> bool:
        value = stage.metrics.registry.get_sample_value("genesys_sync_backfill_conversations_total", {"outcome": "known"})
        return (value or 0) >= known

    await stage.advance_until(seen, by=60)


async def test_seen_on_the_socket_it_is_told_once_and_back_fill_adds_nothing(staged: Staged) -> None:
    async with staged(**RECONCILED) as stage:
        await stage.live()
        for body in (stage.snapshot(), stage.snapshot(state="connected"), taken_up(stage, AGAIN), stage.snapshot()):
            await stage.notifications.send(stage.topic, body)
        for body in (taken_up(stage, AGAIN_OVER), taken_up(stage, AGAIN), taken_up(stage, AGAIN_OVER)):
            await stage.notifications.send(stage.topic, body)
        await stage.until(lambda: stage.ledger.appended == 2)
        stage.platform.records = [record(stage)]
        await reconciled(stage, known=1)
        assert await told(stage) == [("11:59", 1, Origin.LIVE), ("12:05", 2, Origin.LIVE)]
        assert len({event.day for event in await stage.events()}) == 1


async def test_what_nobody_listened_to_the_back_fill_finds_and_the_socket_adds_nothing(staged: Staged) -> None:
    async with staged(**RECONCILED) as stage:
        await stage.live()
        await stage.notifications.send(stage.topic, stage.snapshot())
        await stage.until(lambda: stage.ledger.appended == 1)
        stage.platform.records = [record(stage)]
        await stage.advance_until(lambda: stage.ledger.appended == 2, by=60)
        await stage.notifications.send(stage.topic, taken_up(stage, AGAIN_OVER))
        await reconciled(stage, known=1)
        assert await told(stage) == [("11:59", 1, Origin.LIVE), ("12:06", 2, Origin.BACKFILL)]


@pytest.mark.parametrize("origin", [Origin.LIVE, Origin.BACKFILL])
async def test_a_process_that_remembers_nothing_tells_it_all_the_same(staged: Staged, origin: Origin) -> None:
    async with staged(**RECONCILED) as stage:
        await stage.live()
        await stage.notifications.send(stage.topic, stage.snapshot())
        await stage.until(lambda: stage.ledger.appended == 1)
    async with staged(**RECONCILED) as stage:
        await stage.live()
        if origin is Origin.LIVE:
            await stage.notifications.send(stage.topic, stage.snapshot())
            await stage.notifications.send(stage.topic, taken_up(stage, AGAIN))
            await stage.notifications.send(stage.topic, taken_up(stage, AGAIN_OVER))
            await stage.until(lambda: stage.ledger.appended == 1)
        stage.platform.records = [record(stage)]
        await stage.advance_until(lambda: stage.ledger.appended == 1, by=60)
        await reconciled(stage, known=1)
        assert [(revision, how) for _, revision, how in await told(stage)] == [(1, Origin.LIVE), (2, origin)]
