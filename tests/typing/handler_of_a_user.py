"""A handler and its test as somebody else would write them, checked by mypy under `strict` (test_public_types.py runs it).

Nothing here is executed. `assert_type` pins what the public interface promises; each `type: ignore` stands where a mistake must be
found, and is itself an error ("unused") as soon as it no longer is.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, assert_type

from genesys_sync.plugin import (
    ConfigurationError,
    Delivery,
    Done,
    Duration,
    Event,
    Handler,
    HttpReply,
    Look,
    MediaPart,
    Outcome,
    Park,
    PermanentError,
    Policy,
    ReasonCode,
    Services,
    Skip,
    Snooze,
    Topic,
    TransientError,
)
from genesys_sync.testing import FakeClock, HandlerHarness, make_event


@dataclass(frozen=True)
class TellConfig:
    """What the user's handler is configured with."""

    address: str
    patience: Duration = field(default=timedelta(seconds=5))


class Tell(Handler[TellConfig]):
    """Uses every part of the interface once."""

    config_type = TellConfig
    topics = (Topic.MEDIA_VERIFIED, "acme.*")
    policy = Policy(concurrency=2, schedule=[timedelta(seconds=1)])
    _services: Services

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncGenerator[None]:
        self._services = services
        yield

    async def check(self, services: Services) -> None:
        if not self.config.address.startswith("https://"):
            raise ConfigurationError(f"handlers.{self.name}: the address must begin with https://")
        assert_type(await services.genesys.recordings.look("c"), Look)

    async def handle(self, event: Event, delivery: Delivery) -> Outcome:
        assert_type(self.config, TellConfig)
        assert_type(delivery.attempt, int)
        assert_type(delivery.created_at, datetime)
        assert_type(event.conversation_id, str | None)
        if event.conversation_id is None:
            return Skip("an event of no conversation")
        parts = await self._services.genesys.recordings.locate(event.conversation_id, event.recording_id or "")
        assert_type(parts, tuple[MediaPart, ...])
        async with self._services.scratch.file(".wav") as path:
            assert_type(path, Path)
            downloaded = await self._services.media.download(parts[0], path)
            await self._services.storage.adopt(path, f"copies/{downloaded.sha256}.wav")
        reply = await self._services.http.request("POST", self.config.address, body=b"{}")
        assert_type(reply, HttpReply)
        self._services.audit.record("acme.tell", event.conversation_id, size=downloaded.size)
        if reply.status == 410:
            return Park("the receiver is gone")
        if reply.status == 404:
            raise PermanentError("the receiver does not know it", code=ReasonCode.RECEIVER_REFUSED)
        if reply.status == 429:
            return Snooze("asked to wait", timedelta(minutes=1), [event.derive("acme.delayed", occurred_at=self._services.now())])
        if reply.status >= 500:
            raise TransientError("the receiver is in trouble", delay=self.config.patience)
        return Done([event.derive("acme.told", occurred_at=self._services.now())], note="told")


class Wrong(Handler[TellConfig]):
    """Each of its mistakes is found before it runs."""

    config_type = TellConfig

    async def handle(self, event: Event, delivery: Delivery) -> Outcome:
        if self.config.adress:  # type: ignore[attr-defined] # a misspelt setting
            event.topic = "other.topic"  # type: ignore[misc] # events are immutable
        if delivery.snoozes:
            return Snooze("again later", 60)  # type: ignore[arg-type] # a delay is a timedelta
        if delivery.attempt > 1:
            raise PermanentError("no", code="REFUSED")  # type: ignore[arg-type] # reason codes are a closed list
        return "done"  # type: ignore[return-value] # an outcome is Done, Skip, Snooze or Park


class Unfinished(Handler[None]):
    """Does not say what it does with an event."""

    config_type = type(None)


async def the_users_test(tmp_path: Path, handler_harness: Callable[..., HandlerHarness[Any]], fake_clock: FakeClock) -> None:
    async with HandlerHarness(Tell, {"address": "https://crm.example"}, folder=tmp_path, clock=fake_clock) as harness:
        assert_type(harness, HandlerHarness[Tell])
        assert_type(harness.handler.config, TellConfig)
        harness.http.answer(204)
        assert_type(await harness.handle(make_event("media.verified"), attempt=2), Outcome)
        assert_type([sent.url for sent in harness.http.sent], list[str])
        await fake_clock.advance(5)
    async with handler_harness(Tell, {"address": "https://crm.example"}, name="tell") as other:
        await other.check()
    Unfinished("unfinished", None)  # type: ignore[abstract] # `handle` is missing
