"""The feed: the topics shared out among shards, each with its own channel and connection, and what they bring into one ledger.

A vendor's outage, a refused client or a missing permission never ends it: the state says what is wrong, and it goes on at the pace of
the back-off. It ends by cancellation, or with the LedgerError after which nothing may be assumed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from random import random as system_random
from typing import Final

import anyio
from anyio.abc import TaskGroup, TaskStatus

from genesys_sync.clock import Clock
from genesys_sync.feed.backfill import Backfill
from genesys_sync.feed.book import ChannelBook
from genesys_sync.feed.facts import ConversationEnd
from genesys_sync.feed.following import Following
from genesys_sync.feed.held import HeldBook
from genesys_sync.feed.intake import STREAM, Intake
from genesys_sync.feed.kept import KeptFrames
from genesys_sync.feed.live import Live
from genesys_sync.feed.platform import FeedPlatform
from genesys_sync.feed.protocol import PLATFORM_ERRORS, Alert, Cause, Ending, failure_ending
from genesys_sync.feed.reader import Reader
from genesys_sync.feed.shard import Kit, Shard
from genesys_sync.feed.snapshots import LiveConversations
from genesys_sync.feed.subscriptions import Subscriptions
from genesys_sync.ledger.base import Ledger
from genesys_sync.logs import get_logger
from genesys_sync.metrics import Metrics
from genesys_sync.redaction import Redactor
from genesys_sync.routing import Router
from genesys_sync.settings import FeedSettings
from genesys_sync.units import milliseconds

REUSE_WITHIN: Final = timedelta(minutes=10)
"""A channel is taken up by a restarted process when it was heard so lately: one that nobody listens to is the first to be evicted."""
EMPTY_REFRESH: Final = 15.0
"""Seconds until the queues are listed again while there is nothing to follow: most likely they are being made just now."""

_log = get_logger("feed")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedState:
    """The feed at a glance, as it stood when it was asked for. Seconds are monotonic.

    connected         every shard has a subscribed connection that is live: events really flow
    since             when `connected` became what it is
    last_frame        when the last frame came; None before the first
    cause, detail     why the last round ended (`started` before the first end), of the shard that is dark for longest where one is;
                      words without secrets
    permitted, rejected, left_out   topics granted, refused, and beyond what all channels carry
    reconnecting_for  seconds for which some shard has had no live connection; 0 while connected
    was_live          there has been a live connection in this process
    shards, shards_live   channels on which ends are to be listened to, and those that are; channels of live topics alone do not count
    live_topics, live_left_out   conversations followed by live transcription, and those for which there is no place
    live_refused          the permission for want of which none is followed
    alerts            what people should know beyond these
    open_gaps         gaps that no back-fill has closed yet
    backfill_refused  why the platform refuses back-fill; empty while it does not
    ledger_full       reading has stopped for want of space
    """

    connected: bool
    since: float
    last_frame: float | None
    cause: Cause
    detail: str
    permitted: int
    rejected: int
    left_out: int
    reconnecting_for: float
    was_live: bool
    open_gaps: int
    backfill_refused: str
    ledger_full: bool
    shards: int
    shards_live: int
    live_topics: int
    live_left_out: int
    live_refused: tuple[str, ...]
    alerts: tuple[Alert, ...]

    def ready(self, within: timedelta) -> bool:
        """Live, or lost for no longer than `within` after having been live. A feed that never was live is not ready."""
        return self.connected or (self.was_live and self.reconnecting_for <= within.total_seconds())


class Feed:
    """The platform's notifications, into the ledger. `run` once. `book` is the file in which the channels are remembered beyond the
    process, `held` that for utterances that are held, `kept` the folder for frames that cannot be used; None: they are not. `redactor`:
    without one nothing is followed live."""

    def __init__(
        self,
        *,
        platform: FeedPlatform,
        ledger: Ledger,
        router: Router,
        clock: Clock,
        settings: FeedSettings,
        metrics: Metrics,
        random: Callable[[], float] = system_random,
        book: Path | None = None,
        kept: Path | None = None,
        held: Path | None = None,
        redactor: Redactor | None = None,
    ) -> None:
        self._platform = platform
        self._ledger = ledger
        self._clock = clock
        self._settings = settings
        self._metrics = metrics
        self._intake = Intake(ledger=ledger, router=router, clock=clock, limit=settings.intake_limit, upstream=self._last_words)
        followed_by = redactor if settings.live_transcripts else None
        self._live = None if followed_by is None else self._made_live(platform.organization_id, followed_by, HeldBook(held))
        conversations = LiveConversations()
        self._kept = KeptFrames(kept)
        self._reader = Reader(
            organization_id=platform.organization_id,
            intake=self._intake,
            conversations=conversations,
            router=router,
            clock=clock,
            metrics=metrics,
            kept=self._kept,
            live=self._live,
        )
        self._backfill = Backfill(
            platform=platform,
            ledger=ledger,
            router=router,
            clock=clock,
            settings=settings,
            metrics=metrics,
            conversations=conversations,
            random=random,
            witness=self._witness,
            in_haste=lambda: not self.state.ready(settings.ready_within),
        )
        self._subscriptions = Subscriptions(platform=platform, settings=settings, metrics=metrics)
        self._book = ChannelBook(clock=clock, file=book)
        self._kit = self._made_kit(platform, random)
        self._shards: dict[int, tuple[Shard, anyio.CancelScope]] = {}
        self._since = clock.monotonic()
        self._last = Ending(cause=Cause.STARTED)

    def _made_live(self, organization_id: str, redactor: Redactor, held: HeldBook) -> Live:
        return Live(
            redactor=redactor,
            intake=self._intake,
            clock=self._clock,
            settings=self._settings,
            metrics=self._metrics,
            organization_id=organization_id,
            held=held,
            known=self._recorded,
        )

    def _made_kit(self, platform: FeedPlatform, random: Callable[[], float]) -> Kit:
        return Kit(
            platform=platform,
            subscriptions=self._subscriptions,
            book=self._book,
            reader=self._reader,
            backfill=self._backfill,
            clock=self._clock,
            settings=self._settings,
            metrics=self._metrics,
            heard=self._heard,
            turned=self._turned,
            random=random,
        )

    @property
    def state(self) -> FeedState:
        """How the feed stands now."""
        shards = self._bearing
        dark = sorted((shard for shard in shards if not shard.connected), key=lambda shard: shard.since)
        connected = bool(shards) and not dark
        since = dark[0].since if dark else max((shard.since for shard in shards), default=self._since)
        last = dark[0].last if dark else max(shards, key=lambda shard: shard.since).last if shards else self._last
        alerts = dict.fromkeys(code for shard in shards for code in shard.alerts)
        return FeedState(
            connected=connected,
            since=since,
            last_frame=self._reader.last_frame,
            cause=last.cause,
            detail=last.detail,
            permitted=self._subscriptions.permitted,
            rejected=self._subscriptions.rejected,
            left_out=self._subscriptions.left_out,
            reconnecting_for=0.0 if connected else self._clock.monotonic() - since,
            was_live=any(shard.was_live for shard in shards),
            open_gaps=self._backfill.open_gaps,
            backfill_refused=self._backfill.refused,
            ledger_full=self._intake.ledger_full,
            shards=len(shards),
            shards_live=len(shards) - len(dark),
            live_topics=self._subscriptions.live.carried,
            live_left_out=self._subscriptions.live.left_out,
            live_refused=self._subscriptions.live.refused,
            alerts=(*((Alert.CHANNEL_EVICTED,) if self._book.evicted_lately else ()), *alerts),
        )

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled; then the sockets are closed, and what was in hand is in the ledger where that took 5 s at most.
        Started means that `state` is true, not that anything is connected. Raises LedgerError, within an exception group."""
        task_status.started()
        mark = await self._ledger.watermark(STREAM)
        heard_ago = self._clock.epoch_ms() - mark if mark is not None else None
        await self._book.open(reuse=heard_ago is not None and 0 <= heard_ago <= milliseconds(REUSE_WITHIN))
        covered_ms = await self._backfill.start()
        async with anyio.create_task_group() as group:
            group.start_soon(self._intake.run)
            group.start_soon(self._kept.run)
            group.start_soon(self._backfill.run)
            if self._live is not None:
                group.start_soon(self._live.run)
            await self._first_look()
            await self._supervise(group, covered_ms)

    async def _first_look(self) -> None:
        """Until the topics are known once."""
        for wait in self._kit.waits():
            try:
                await self._subscriptions.look()
            except PLATFORM_ERRORS as error:
                self._last = failure_ending(error)
                self._metrics.feed_connections.labels(self._last.cause).inc()
                pause = max(wait, self._last.wait)
                _log.warning("topics_unknown", cause=self._last.cause, detail=self._last.detail, wait=round(pause, 1))
                await self._clock.sleep(pause)
            else:
                return

    async def _supervise(self, group: TaskGroup, covered_ms: int) -> None:
        """A shard runs for each number that the topics ask for; new queues are looked for at each `queue_refresh`."""
        if self._live is not None:
            group.start_soon(self._follow, group, self._live.following)
        while True:
            for shard, _ in self._shards.values():
                shard.look_again()
            self._reshape(group, covered_ms)
            refresh = self._settings.queue_refresh.total_seconds()
            await self._clock.sleep(refresh if self._subscriptions.wanted else min(refresh, EMPTY_REFRESH))
            covered_ms = self._clock.epoch_ms()
            try:
                await self._subscriptions.look()
            except PLATFORM_ERRORS as error:
                ending = failure_ending(error)
                _log.warning("queue_refresh_failed", cause=ending.cause, detail=ending.detail)
            else:
                self._place()

    def _reshape(self, group: TaskGroup, covered_ms: int) -> None:
        """Begin the shards that are asked for, and end those that are no more."""
        numbers = self._subscriptions.numbers
        for number in [number for number in self._shards if number not in numbers]:
            self._shards.pop(number)[1].cancel()
        for number in [number for number in numbers if number not in self._shards]:
            shard = Shard(number, self._kit, covered_ms=covered_ms)
            self._shards[number] = shard, anyio.CancelScope()
            group.start_soon(self._run_shard, number)
        self._turned()

    async def _follow(self, group: TaskGroup, following: Following) -> None:
        """Keep the live topics those of the calls that go on: all that changed within `live_gather` is one request for each shard."""
        placed: tuple[int, int] | None = None
        while True:
            await self._clock.sleep(self._settings.live_gather.total_seconds())
            following.wanted(self._clock.monotonic())
            versions = following.version, self._subscriptions.live.version
            if versions != placed or self._subscriptions.live.refused:
                for number in self._place() & self._shards.keys():
                    self._shards[number][0].look_again()
                self._reshape(group, self._clock.epoch_ms())
                placed = versions

    def _place(self) -> frozenset[int]:
        if self._live is None:
            return frozenset()
        now = self._clock.monotonic()
        return self._subscriptions.follow(self._live.following.wanted(now), now)

    async def _recorded(self, event_id: str) -> bool:
        return bool(await self._ledger.events_about(event_id, limit=1))

    async def _last_words(self) -> None:
        if self._live is not None:
            await self._live.finished()

    @property
    def _bearing(self) -> list[Shard]:
        return [shard for number, (shard, _) in self._shards.items() if self._subscriptions.bears(number)]

    async def _run_shard(self, number: int) -> None:
        shard, scope = self._shards[number]
        with scope:
            await shard.run()

    def _heard(self) -> None:
        """The watermark says that nothing before it is missing; so the shard that has heard least decides."""
        self._intake.heard(min(shard.covered_ms for shard in self._bearing))

    def _turned(self) -> None:
        self._metrics.feed_connected.set(self.state.connected)

    def _witness(self, end: ConversationEnd) -> None:
        """Back-fill shows an end: the shards to which it must have come are to have heard it."""
        for number in self._subscriptions.carriers(end.queue_ids):
            if number in self._shards:
                self._shards[number][0].ended(end.conversation_id, round((end.ended - self._platform.clock_offset).timestamp() * 1000))
