"""One shard of the topics: token, channel, connection; a lost connection is its loop's next iteration.

A connection that has to be left (its channel's life is nearly over, maintenance was announced, it brings nothing) is left only when a
second one is live: make before break. Both are read meanwhile, what comes twice is recorded once, and no gap arises. What is to follow
may fail as often as it likes: the present one is kept, and when it ends it is the next iteration as ever.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from random import random as system_random
from typing import Final

import anyio
from anyio.abc import TaskGroup

from genesys_sync.backoff import delays
from genesys_sync.clock import Clock
from genesys_sync.feed.backfill import Backfill
from genesys_sync.feed.book import ChannelBook
from genesys_sync.feed.channel import ChannelKeeper, OpenChannel
from genesys_sync.feed.connection import open_socket
from genesys_sync.feed.frames import Frame, TopicEvent
from genesys_sync.feed.link import Link
from genesys_sync.feed.platform import FeedPlatform
from genesys_sync.feed.protocol import PLATFORM_ERRORS, Alert, Cause, Ending, Next, failure_ending
from genesys_sync.feed.reader import Reader
from genesys_sync.feed.rests import Rests
from genesys_sync.feed.starvation import Starvation
from genesys_sync.feed.subscriptions import Subscriptions
from genesys_sync.logs import get_logger
from genesys_sync.metrics import Metrics
from genesys_sync.settings import FeedSettings

OVERLAP: Final = 2.0
"""Seconds for which both connections are read once the second is live: what was under way to the first arrives on it."""
_DEAD: Final = frozenset({Cause.SILENT, Cause.PING_UNANSWERED})

_log = get_logger("feed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kit:
    """What all shards share. `heard` is called after each frame of any of them, `turned` when one went live or dark."""

    platform: FeedPlatform
    subscriptions: Subscriptions
    book: ChannelBook
    reader: Reader
    backfill: Backfill
    clock: Clock
    settings: FeedSettings
    metrics: Metrics
    heard: Callable[[], None]
    turned: Callable[[], None]
    random: Callable[[], float] = system_random

    def waits(self) -> Iterator[float]:
        """A new back-off, from its beginning."""
        base, cap = self.settings.backoff_base.total_seconds(), self.settings.backoff_cap.total_seconds()
        return delays(base=base, cap=cap, random=self.random)


class Shard:
    """`run` once. `covered_ms` is the `Clock.epoch_ms` up to which nothing that concerns it is missing, or known to be missing."""

    def __init__(self, number: int, kit: Kit, *, covered_ms: int) -> None:
        self.number = number
        self.since = kit.clock.monotonic()
        self.was_live = False
        self.last = Ending(cause=Cause.STARTED)
        self._kit = kit
        self._clock = kit.clock
        self._covered_ms = covered_ms
        self._dark_since = Cause.STARTED
        self._links: list[Link] = []
        self._spare: Link | None = None
        self._changed = anyio.Event()
        self._too_big = ""
        self._frame_too_big = False
        self._starvation = Starvation(after=kit.settings.starved_after.total_seconds(), margin=kit.settings.backfill_settle.total_seconds())
        self._deaf_from_ms: int | None = None
        self._keeper = ChannelKeeper(
            shard=number,
            platform=kit.platform,
            subscriptions=kit.subscriptions,
            book=kit.book,
            clock=kit.clock,
            random=kit.random,
        )

    @property
    def connected(self) -> bool:
        """A subscribed connection is read: events really flow."""
        return bool(self._links)

    @property
    def covered_ms(self) -> int:
        """Everything until then is in the intake, or in a gap of the ledger."""
        return min((link.heard_ms for link in self._links), default=self._covered_ms)

    @property
    def alerts(self) -> tuple[Alert, ...]:
        """What is not well with it."""
        found = {
            Alert.STREAM_SILENT: not self.connected and self.last.cause in _DEAD,
            Alert.STREAM_STARVED: self._starvation.starved,
            Alert.CHANNEL_FORBIDDEN: not self.connected and self.last.cause is Cause.UPGRADE_REFUSED and self.last.detail == "status 403",
            Alert.FRAME_TOO_BIG: self._frame_too_big,
            Alert.CREATION_PAUSED: not self.connected and self.last.cause is Cause.CREATION_PAUSED,
        }
        return tuple(code for code, true in found.items() if true)

    def look_again(self) -> None:
        """The wanted topics may have changed."""
        self._changed.set()

    def ended(self, conversation_id: str, ended_ms: int) -> None:
        """Analytics shows an end that must have come this way."""
        if self._starvation.ended(conversation_id, ended_ms, self._clock.epoch_ms()):
            _log.error("stream_starved", shard=self.number, action="the channel is replaced; what it did not bring is found by back-fill")
            self._kit.book.evicted()
            if self._deaf_from_ms is None:
                self._deaf_from_ms = self._starvation.heard_ms
            for link in self._links:
                link.replace(Cause.STREAM_STARVED)

    async def run(self) -> None:
        """Listen until cancelled; then its sockets are closed. Raises LedgerError, within an exception group."""
        async with anyio.create_task_group() as group:
            rests = Rests(self._kit.settings, random=self._kit.random)
            while True:
                began = self._clock.monotonic()
                ending, live_for = await self._round(group)
                await self._keeper.ended(ending, live_for=live_for)
                pause = rests.after(ending, live_for=live_for)
                seconds = round(self._clock.monotonic() - began)
                _log.warning(
                    "feed_lost",
                    shard=self.number,
                    cause=ending.cause,
                    detail=ending.detail,
                    next=ending.next,
                    live_for=round(live_for),
                    after=seconds,
                    wait=round(pause, 1),
                )
                await self._pause(pause, until_changed=ending.cause is Cause.NOTHING_PERMITTED)

    async def _round(self, group: TaskGroup) -> tuple[Ending, float]:
        """From whatever is still good to the end of the last connection of a chain, or to what stood in the way of one. Beside the
        ending: the seconds for which the last connection was live."""
        link = await self._raise(group, self._keeper.subscribed)
        self._spare = None
        if isinstance(link, Ending):
            self._note(link)
            return link, 0.0
        while True:
            successor = await self._hold(group, link)
            if successor is None:
                return await self._went_dark(link)
            await self._hand_over(group, link, successor)
            link = successor

    async def _raise(self, group: TaskGroup, channel_for: Callable[[], Awaitable[OpenChannel | Ending]]) -> Link | Ending:
        """A link that is live, or why there is none; its task runs in `group`. It is the spare one from its first moment on, so that
        whoever is cancelled here leaves none behind."""
        try:
            channel = await channel_for()
        except PLATFORM_ERRORS as error:
            return failure_ending(error)
        if isinstance(channel, Ending):
            return channel
        socket = await open_socket(channel.uri, settings=self._kit.settings, clock=self._clock)
        if isinstance(socket, Ending):
            return socket
        link = Link(channel, socket, reader=self._kit.reader, listener=self, clock=self._clock, settings=self._kit.settings)
        self._spare = link
        group.start_soon(link.run)
        await link.live.wait()
        return link

    async def _hold(self, group: TaskGroup, link: Link) -> Link | None:
        """Until the link has ended (None), or one is live that may take its place. The topics are kept up to date meanwhile."""
        async with anyio.create_task_group() as tasks:

            async def ended() -> None:
                await link.done.wait()
                tasks.cancel_scope.cancel()

            async def followed() -> None:
                await self._successor(group, link)
                tasks.cancel_scope.cancel()

            tasks.start_soon(ended)
            tasks.start_soon(self._expire, link)
            tasks.start_soon(self._keep_subscribed, link)
            tasks.start_soon(followed)
        spare, self._spare = self._spare, None
        if spare is None:
            return None
        await spare.live.wait()
        if not spare.done.is_set():
            return spare
        self._links.remove(spare)
        return None

    async def _expire(self, link: Link) -> None:
        await self._clock.sleep(link.channel.renew_at - self._clock.monotonic())
        link.replace(Cause.CHANNEL_EXPIRING)
        await anyio.sleep_forever()

    async def _successor(self, group: TaskGroup, link: Link) -> None:
        """Once the link is due to be replaced: return when a spare one has been live beside it for the time of the overlap, tried for
        until it is."""
        await link.due.wait()
        waits = self._kit.waits()
        while True:
            ending = await self._raise(group, lambda: self._keeper.successor(link.cause))
            if isinstance(ending, Link):
                await self._overlap(ending)
                if ending.ending is None:
                    return
                self._links.remove(ending)
                self._spare, ending = None, ending.ending
            await self._keeper.successor_failed(ending)
            pause = max(next(waits), ending.wait)
            _log.warning("successor_failed", shard=self.number, cause=ending.cause, detail=ending.detail, wait=round(pause, 1))
            await self._clock.sleep(pause)

    async def _overlap(self, successor: Link) -> None:
        """Until both have been read long enough, or the successor has ended."""
        async with anyio.create_task_group() as group:

            async def over() -> None:
                await self._clock.sleep(OVERLAP)
                group.cancel_scope.cancel()

            group.start_soon(over)
            await successor.done.wait()
            group.cancel_scope.cancel()

    async def _hand_over(self, group: TaskGroup, link: Link, successor: Link) -> None:
        """The successor is live: leave the link, or, where it has ended by itself, record what neither may have brought."""
        self._note(link.ending or Ending(cause=link.cause))
        await self._keeper.promote()
        await self._was_deaf(successor.live_ms)
        if link.ending is None:
            await link.leave()
        elif link.heard_ms < successor.live_ms:
            await self._missed(link.heard_ms, successor.live_ms, link.ending.cause)
        self._links.remove(link)
        group.start_soon(self._abandon, link.channel.id)
        _log.info(
            "channel_rolled", shard=self.number, cause=link.cause, renew_in=round(successor.channel.renew_at - self._clock.monotonic())
        )

    async def _was_deaf(self, until_ms: int) -> None:
        """A starved stream looked alive while it brought nothing: that was a gap too."""
        if self._deaf_from_ms is not None:
            await self._missed(self._deaf_from_ms, until_ms, Cause.STREAM_STARVED)
            self._deaf_from_ms = None

    async def _missed(self, from_ms: int, until_ms: int, cause: Cause) -> None:
        if self._kit.subscriptions.bears(self.number):
            await self._kit.backfill.missed(from_ms, until_ms, cause)

    async def _abandon(self, channel_id: str) -> None:
        """Spare the platform what nobody listens to. It may refuse: the channel may be another token's by now, or gone."""
        try:
            await self._kit.platform.channels.abandon(channel_id)
        except PLATFORM_ERRORS as error:
            _log.debug("channel_not_abandoned", detail=failure_ending(error).detail)

    async def _keep_subscribed(self, link: Link) -> None:
        """Take new queues and calls in without reconnecting; a channel that is gone ends the link, or has it replaced where it may live
        on and is only not ours to change. What failed is tried again with the next change, and where calls wait for it, after a pause."""
        waits = self._kit.waits()
        if self._keeper.stale:
            self._changed.set()
        while True:
            await self._changed.wait()
            self._changed = anyio.Event()
            if link.channel.foreign and link.due.is_set():
                continue  # what follows it carries the change; asking again would be refused again
            try:
                ending = await self._keeper.reapply()
            except PLATFORM_ERRORS as error:
                ending = failure_ending(error)
                if link.channel.foreign:
                    link.replace(ending.cause)
                    continue
                if ending.next is Next.SAME_CHANNEL:
                    _log.warning("queue_refresh_failed", cause=ending.cause, detail=ending.detail)
                    if self._kit.subscriptions.live.rows:
                        await self._clock.sleep(max(next(waits), ending.wait, 1.0))
                        self._changed.set()
                    continue
            if ending is not None:
                following = Next.NEW_CHANNEL if ending.next is Next.SAME_CHANNEL else ending.next
                link.cut(Ending(cause=ending.cause, next=following, detail=ending.detail))

    async def went_live(self, link: Link) -> None:
        """See `link.Listener`: what was missed is recorded before the watermark can pass it."""
        now = self._clock.epoch_ms()
        if not self._links:
            await self._missed(self._covered_ms, now, self._dark_since)
            self.since = self._clock.monotonic()
        self._covered_ms = max(self._covered_ms, now)
        self.was_live = True
        self._links.append(link)
        self._starvation.live(now)
        self._kit.turned()
        _log.info("feed_live", shard=self.number, permitted=self._kit.subscriptions.permitted, after=self.last.cause)

    def heard(self, link: Link, frame: Frame) -> None:
        """See `link.Listener`."""
        if isinstance(frame, TopicEvent):
            self._starvation.event(link.heard_ms)
        self._kit.heard()

    async def _went_dark(self, link: Link) -> tuple[Ending, float]:
        ending = link.ending or Ending(cause=Cause.CLOSED)
        now = self._clock.monotonic()
        await self._was_deaf(link.heard_ms)
        self._links.remove(link)
        self._covered_ms = max(self._covered_ms, link.heard_ms)
        self._dark_since = ending.cause
        self.since = now
        self._starvation.dark()
        self._note(ending)
        self._kit.turned()
        if ending.cause is Cause.NO_LONGER_SUBSCRIBED:
            self._kit.book.evicted()
        if ending.cause is Cause.FRAME_TOO_BIG:
            self._frame_too_big = ending.detail == self._too_big
            self._too_big = ending.detail
            if self._frame_too_big:
                _log.error("frame_too_big", detail=ending.detail, action="the same size twice: raise feed.frame_limit above it")
        return ending, now - link.since

    def _note(self, ending: Ending) -> None:
        self.last = ending
        self._kit.metrics.feed_connections.labels(ending.cause).inc()

    async def _pause(self, seconds: float, *, until_changed: bool) -> None:
        if not until_changed:
            await self._clock.sleep(seconds)
            return
        async with anyio.create_task_group() as group:

            async def over() -> None:
                await self._clock.sleep(seconds)
                group.cancel_scope.cancel()

            group.start_soon(over)
            await self._changed.wait()
            self._changed = anyio.Event()
            group.cancel_scope.cancel()
