"""The feed's one outer loop: token, channel, topics, connection; a lost connection is its next iteration.

A vendor's outage, a refused client or a missing permission never ends it: the state says what is wrong, and the loop goes on at the
pace of the back-off. It ends by cancellation, or with the LedgerError after which nothing may be assumed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from random import random as system_random
from typing import Final

import anyio
from anyio.abc import TaskStatus
from websockets.asyncio.client import ClientConnection

from genesys_sync.backoff import delays
from genesys_sync.clock import Clock
from genesys_sync.feed.backfill import Backfill
from genesys_sync.feed.channel import ChannelKeeper, OpenChannel
from genesys_sync.feed.connection import hold_connection, open_socket
from genesys_sync.feed.intake import Intake
from genesys_sync.feed.platform import FeedPlatform
from genesys_sync.feed.protocol import LONG_LIVED, PLATFORM_ERRORS, Cause, ConnectionState, Ending, Next, Protocol, failure_ending
from genesys_sync.feed.reader import Reader
from genesys_sync.feed.snapshots import LiveConversations
from genesys_sync.feed.subscriptions import Subscriptions
from genesys_sync.ledger.base import Ledger
from genesys_sync.logs import get_logger
from genesys_sync.metrics import Metrics
from genesys_sync.routing import Router
from genesys_sync.settings import FeedSettings

_PLANNED: Final = frozenset({Cause.SOCKET_CLOSING, Cause.CHANNEL_EXPIRING})

_log = get_logger("feed")


@dataclass(frozen=True, slots=True, kw_only=True)
class FeedState:
    """The feed at a glance, as it stood when it was asked for. Seconds are monotonic.

    connected         a subscribed connection is live: events really flow
    since             when `connected` became what it is
    last_frame        when the last frame came; None before the first
    cause, detail     why the last round ended (`started` before the first end); words without secrets
    permitted, rejected, left_out   topics granted, refused, and beyond what one channel carries
    reconnecting_for  seconds without a live connection; 0 while connected
    was_live          there has been a live connection in this process
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

    def ready(self, within: timedelta) -> bool:
        """Live, or lost for no longer than `within` after having been live. A feed that never was live is not ready."""
        return self.connected or (self.was_live and self.reconnecting_for <= within.total_seconds())


class Feed:
    """The platform's notifications, into the ledger. `run` once."""

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
    ) -> None:
        self._clock = clock
        self._settings = settings
        self._metrics = metrics
        self._random = random
        self._intake = Intake(ledger=ledger, router=router, clock=clock, limit=settings.intake_limit)
        conversations = LiveConversations()
        self._reader = Reader(
            organization_id=platform.organization_id,
            intake=self._intake,
            conversations=conversations,
            router=router,
            clock=clock,
            metrics=metrics,
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
        )
        self._subscriptions = Subscriptions(platform=platform, settings=settings, metrics=metrics)
        self._keeper = ChannelKeeper(platform=platform, subscriptions=self._subscriptions, clock=clock, random=random)
        self._covered_ms = 0
        self._connected = False
        self._was_live = False
        self._since = clock.monotonic()
        self._last = Ending(cause=Cause.STARTED)
        self._dark_since = Cause.STARTED

    @property
    def state(self) -> FeedState:
        """How the feed stands now."""
        return FeedState(
            connected=self._connected,
            since=self._since,
            last_frame=self._reader.last_frame,
            cause=self._last.cause,
            detail=self._last.detail,
            permitted=self._subscriptions.permitted,
            rejected=self._subscriptions.rejected,
            left_out=self._subscriptions.left_out,
            reconnecting_for=0.0 if self._connected else self._clock.monotonic() - self._since,
            was_live=self._was_live,
            open_gaps=self._backfill.open_gaps,
            backfill_refused=self._backfill.refused,
            ledger_full=self._intake.ledger_full,
        )

    async def run(self, *, task_status: TaskStatus[None] = anyio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled; then the socket is closed, and what was in hand is in the ledger where that took 5 s at most.
        Started means that `state` is true, not that anything is connected. Raises LedgerError, within an exception group."""
        task_status.started()
        self._covered_ms = await self._backfill.start()
        async with anyio.create_task_group() as group:
            group.start_soon(self._intake.run)
            group.start_soon(self._backfill.run)
            await self._listen()

    async def _listen(self) -> None:
        waits = self._waits()
        while True:
            ending = await self._round()
            live_for = self._went_dark(ending)
            self._keeper.ended(ending, live_for=live_for)
            if live_for > LONG_LIVED:
                waits, pause = self._waits(), ending.wait
            else:
                pause = max(next(waits), ending.wait)
            tell = _log.info if ending.cause in _PLANNED else _log.warning
            tell("feed_lost", cause=ending.cause, detail=ending.detail, next=ending.next, live_for=round(live_for), wait=round(pause, 1))
            await self._clock.sleep(pause)

    async def _round(self) -> Ending:
        """From whatever is still good to the end of one connection, or to what stood in the way of one."""
        try:
            channel = await self._keeper.subscribed()
        except PLATFORM_ERRORS as error:
            return failure_ending(error)
        if isinstance(channel, Ending):
            return channel
        socket = await open_socket(channel.uri, settings=self._settings, clock=self._clock)
        return socket if isinstance(socket, Ending) else await self._hold(channel, socket)

    async def _hold(self, channel: OpenChannel, socket: ClientConnection) -> Ending:
        """The connection's life, with the queues looked at again from time to time beside it; whichever ends first decides."""
        protocol = Protocol(
            now=self._clock.monotonic(),
            ping_every=self._settings.ping_every.total_seconds(),
            silence=self._settings.silence.total_seconds(),
            renew_at=channel.renew_at,
            moved=_log_move,
        )
        endings: list[Ending] = []
        async with anyio.create_task_group() as group:

            async def keep_subscribed() -> None:
                endings.append(protocol.end(await self._keep_subscribed(channel)))
                group.cancel_scope.cancel()

            group.start_soon(keep_subscribed)
            ending = await hold_connection(
                socket,
                protocol,
                self._reader,
                clock=self._clock,
                frame_limit=self._settings.frame_limit,
                before_reading=self._went_live,
            )
            endings.append(ending)
            group.cancel_scope.cancel()
        return endings[0]

    async def _keep_subscribed(self, channel: OpenChannel) -> Ending:
        """Look for new queues at each `queue_refresh` and take them in without reconnecting; returns when the channel is gone."""
        while True:
            await self._clock.sleep(self._settings.queue_refresh.total_seconds())
            try:
                await self._subscriptions.apply(channel.id)
            except PLATFORM_ERRORS as error:
                ending = failure_ending(error)
                if ending.next is not Next.SAME_CHANNEL:
                    return ending
                _log.warning("queue_refresh_failed", cause=ending.cause, detail=ending.detail)
            else:
                if not self._subscriptions.permitted:
                    return Ending(cause=Cause.NOTHING_PERMITTED, next=Next.NEW_CHANNEL, detail="no topic is permitted any more")

    async def _went_live(self) -> None:
        """Connected and subscribed, and nothing read yet: what was missed is recorded before the watermark can pass it."""
        now = self._clock.epoch_ms()
        await self._backfill.missed(self._covered_ms, now, self._dark_since)
        self._covered_ms = now
        self._connected = self._was_live = True
        self._since = self._clock.monotonic()
        self._metrics.feed_connected.set(1)
        _log.info("feed_live", permitted=self._subscriptions.permitted, after=self._last.cause)

    def _went_dark(self, ending: Ending) -> float:
        """A round is over: the state and the metrics say so. Returns the seconds for which it was live, 0 when it never was."""
        self._last = ending
        self._metrics.feed_connections.labels(ending.cause).inc()
        if not self._connected:
            return 0.0
        now = self._clock.monotonic()
        live_for = now - self._since
        self._connected = False
        self._since = now
        self._dark_since = ending.cause
        self._covered_ms = max(self._covered_ms, self._intake.heard_ms or 0)
        self._metrics.feed_connected.set(0)
        return live_for

    def _waits(self) -> Iterator[float]:
        base, cap = self._settings.backoff_base.total_seconds(), self._settings.backoff_cap.total_seconds()
        return delays(base=base, cap=cap, random=self._random)


def _log_move(before: ConnectionState, after: ConnectionState, why: str) -> None:
    _log.debug("connection_state", before=before, after=after, why=why)
