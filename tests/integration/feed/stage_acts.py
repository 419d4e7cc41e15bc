"""What tests of a channel's life make the platform do, and what they read of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import orjson
from websockets.exceptions import ConnectionClosed

QUEUE = "aaaaaaaa-1111-4222-8333-444444444444"
OTHER = "bbbbbbbb-1111-4222-8333-444444444444"
TOPIC = f"v2.routing.queues.{QUEUE}.conversations"
Stage = Any
"""As conftest.py beside this makes it."""
Staged = Callable[..., Any]


@dataclass(frozen=True)
class Queue:
    id: str
    name: str


def ended(number: int) -> dict[str, Any]:
    times = {"startTime": "2026-08-01T11:50:00.000Z", "endTime": "2026-08-01T11:59:00.000Z"}
    customer = {"id": "c", "calls": [{"id": "s", "state": "disconnected"}], **times}
    return {"id": f"{number:08x}-1111-4222-8333-444444444444", "participants": [customer]}


async def publish(stage: Stage, number: int) -> None:
    """As the platform does: to every socket that is open."""
    frame = orjson.dumps({"topicName": TOPIC, "version": "2", "eventBody": ended(number)}).decode()
    assert stage.notifications.open
    for connection in list(stage.notifications.open):
        with suppress(ConnectionClosed):  # just being left
            await connection.send(frame)


async def closing(stage: Stage) -> None:
    await stage.notifications.send("v2.system.socket_closing", {})


async def rolled(stage: Stage, path: str) -> None:
    await stage.advance_until(lambda: stage.notifications.paths[-1] == path and len(stage.notifications.open) == 1, by=1)


def causes(stage: Stage) -> Counter[str]:
    samples = [sample for metric in stage.metrics.registry.collect() for sample in metric.samples]
    found = [one for one in samples if one.name == "genesys_sync_feed_connections_total"]
    return Counter({one.labels["cause"]: int(one.value) for one in found})
