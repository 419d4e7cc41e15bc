"""A shard's channels: the one that it listens to and the one that is to follow. Made when needed, never in haste, given up when they can
no longer be trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

import anyio

from genesys_sync.clock import Clock
from genesys_sync.errors import PermanentError, TransientError
from genesys_sync.feed.book import ChannelBook, Entry, digest
from genesys_sync.feed.platform import ChannelView, FeedPlatform
from genesys_sync.feed.protocol import LONG_LIVED, REFUSED_WAIT, Cause, Ending, Next
from genesys_sync.feed.subscriptions import Subscriptions
from genesys_sync.logs import get_logger
from genesys_sync.services import SecretUrl

CREATE_EVERY: Final = 5.0
CREATE_PLANNED_EVERY: Final = 1.0
"""What follows a working channel does not wait: the platform may have announced that it closes soon. The book bounds it all the same."""
_CREATE_EVERY_MOST: Final = 300.0
_CALM: Final = 600.0
_LIFE: Final = timedelta(hours=24)
_RENEW_AT: Final = 0.8
_RENEW_JITTER: Final = 0.1
_FAILURES_MOST: Final = 10
_TOKEN_FRESH: Final = 3600.0
_GONE: Final = frozenset({Cause.CHANNEL_GONE, Cause.TOKEN_REVOKED, Cause.NO_LONGER_SUBSCRIBED})

_log = get_logger("feed.channel")


@dataclass(slots=True)
class OpenChannel:
    """A channel. `renew_at` is the monotonic time from which on it is to be replaced.

    topics   those that the platform has been given; None before that
    foreign  made by an earlier process, with another token: whether we may change its topics is not published
    """

    id: str
    uri: SecretUrl
    renew_at: float
    entry: Entry = field(repr=False)
    topics: tuple[str, ...] | None = None
    foreign: bool = False


class ChannelKeeper:
    """The channels of one shard. The platform keeps twenty and evicts the rest, so a new one is made at most every 5 s, ever more
    rarely while they are lost one after the other, and not at all while the book says so."""

    def __init__(
        self,
        *,
        shard: int,
        platform: FeedPlatform,
        subscriptions: Subscriptions,
        book: ChannelBook,
        clock: Clock,
        random: Callable[[], float],
    ) -> None:
        self._shard = shard
        self._platform = platform
        self._subscriptions = subscriptions
        self._book = book
        self._clock = clock
        self._random = random
        self.present: OpenChannel | None = None
        self.coming: OpenChannel | None = None
        self._failures = 0
        self._created_at: float | None = None
        self._interval = CREATE_EVERY
        self._token_since = clock.monotonic()
        self._first = True
        self._doubtful = False
        self._setting = anyio.Lock()
        """Held while topics are set, so that what is set last is what is wanted last."""

    async def subscribed(self) -> OpenChannel | Ending:
        """The channel to connect to, made and subscribed where it is not yet; or why there is none. Raises what the platform raises."""
        topics = self._subscriptions.topics_of(self._shard)
        if not topics:
            return Ending(cause=Cause.NOTHING_PERMITTED, detail="no topic is wanted", wait=REFUSED_WAIT)
        if self.present is not None and self._clock.monotonic() >= self.present.renew_at:
            await self.ended(Ending(cause=Cause.CHANNEL_EXPIRING, next=Next.NEW_TOKEN), live_for=0.0)
        if self.present is None:
            self.present = await self._taken_up(self._subscriptions.lasting(self._shard))
        if self.present is None:
            made = await self._create(planned=False)
            if isinstance(made, Ending):
                return made
            self.present = made
        return await self._with_topics(self.present)

    async def successor(self, cause: Cause) -> OpenChannel | Ending:
        """A second channel beside the present one, subscribed: the one that was already made for this, where it is still good."""
        if self.coming is None:
            if cause is Cause.CHANNEL_EXPIRING or self._token_is_old():
                self._platform.tokens.refresh()
                self._token_since = self._clock.monotonic()
            made = await self._create(planned=True)
            if isinstance(made, Ending):
                return made
            self.coming = made
        return await self._with_topics(self.coming)

    async def promote(self) -> None:
        """The successor is live: from now on it is the present one."""
        if self.present is not None:
            await self._book.left(self.present.id)
        self.present, self.coming, self._failures = self.coming, None, 0

    async def successor_failed(self, ending: Ending) -> None:
        """What was to follow did not become live. It is tried again where it may still be good."""
        if self.coming is not None and ending.next is not Next.SAME_CHANNEL:
            await self._give_up(self.coming, ending)
            self.coming = None
        if ending.next is Next.NEW_TOKEN:
            self._platform.tokens.refresh()

    async def reapply(self) -> Ending | None:
        """Set the present channel's topics anew if they are no longer those that are wanted, or if some were refused, which may be
        granted by now; and those of the channel that is to follow it, which may be listened to already. Raises what the platform raises."""
        channel = self.present
        if channel is None:
            return None
        if self._subscriptions.refused(self._shard):
            channel.topics = None
        applied = await self._with_topics(channel)
        if self.coming is not None and self.coming.topics is not None:
            await self._with_topics(self.coming)
        return applied if isinstance(applied, Ending) else None

    @property
    def stale(self) -> bool:
        """The present channel's topics are not those that are wanted now."""
        return self.present is not None and self.present.topics != self._subscriptions.topics_of(self._shard)

    async def ended(self, ending: Ending, *, live_for: float) -> None:
        """A round ended: keep what the next one can use. A channel that fails ten times without living for long is given up, and
        one that was being made to follow it takes its place at once."""
        self._failures = 0 if live_for > LONG_LIVED else self._failures + 1
        following = ending.next
        if following is Next.SAME_CHANNEL and self._failures >= _FAILURES_MOST:
            following = Next.NEW_CHANNEL
        if following is Next.SAME_CHANNEL and self.coming is None:
            return
        for channel in (self.present, self.coming if ending.cause is Cause.TOKEN_REVOKED else None):
            if channel is not None:
                await self._give_up(channel, ending)
        self.present, self.coming = None if ending.cause is Cause.TOKEN_REVOKED else self.coming, None
        self._failures = 0
        # A channel dies with its token, so one that shall live for a day is not made with a token half spent.
        if self.present is None and (following is Next.NEW_TOKEN or self._token_is_old()):
            self._platform.tokens.invalidate()
            self._token_since = self._clock.monotonic()

    async def _give_up(self, channel: OpenChannel, ending: Ending) -> None:
        gone = ending.cause in _GONE or (ending.cause is Cause.UPGRADE_REFUSED and ending.next is not Next.SAME_CHANNEL)
        await (self._book.gone(channel.id) if gone else self._book.left(channel.id))

    def _token_is_old(self) -> bool:
        return self._clock.monotonic() - self._token_since > _TOKEN_FRESH

    async def _taken_up(self, topics: tuple[str, ...]) -> OpenChannel | None:
        """At the start only: the channel on which an earlier process listened to the same. Where the platform says that it brings less, its
        topics are to be set anew."""
        first, self._first = self._first, False
        entry = self._book.take_up(self._shard, topics) if first else None
        if entry is None:
            return None
        uri, renew_in = SecretUrl(entry.uri), (entry.renew_ms - self._clock.epoch_ms()) / 1000
        _log.info("channel_taken_up", host=str(uri), renew_in=round(renew_in))
        self._subscriptions.taken_up(self._shard, refused=entry.refused)
        still = topics if await self._brings(entry, topics) else None
        return OpenChannel(entry.id, uri, self._clock.monotonic() + renew_in, entry, still, foreign=True)

    async def _brings(self, entry: Entry, topics: tuple[str, ...]) -> bool:
        """False when the platform says that the channel lacks more of these topics than it had refused. One that does not say, because
        another token made the channel, or it is gone, or nothing answers, says nothing against it."""
        try:
            brought = await self._platform.channels.topics(entry.id)
        except (TransientError, PermanentError) as error:
            _log.debug("channel_topics_unknown", reason=error.reason)
            return True
        lacking = sum(topic.lower() not in brought for topic in topics) - entry.refused
        if lacking > 0:
            _log.warning("channel_topics_lost", shard=self._shard, lacking=lacking, of=len(topics), action="they are set anew")
        return lacking <= 0

    async def _with_topics(self, channel: OpenChannel) -> OpenChannel | Ending:
        async with self._setting:
            return await self._set_topics(channel)

    async def _set_topics(self, channel: OpenChannel) -> OpenChannel | Ending:
        topics = self._subscriptions.topics_of(self._shard)
        if channel.topics != topics:
            permitted = await self._subscriptions.apply(self._shard, channel.id)
            if not permitted:
                channel.topics = None
                return Ending(cause=Cause.NOTHING_PERMITTED, detail="no topic is permitted", wait=REFUSED_WAIT)
            channel.topics, channel.foreign = topics, False
            await self._book.made(
                Entry(
                    id=channel.id,
                    shard=self._shard,
                    made_ms=channel.entry.made_ms,
                    renew_ms=channel.entry.renew_ms,
                    expires_ms=channel.entry.expires_ms,
                    uri=channel.uri.reveal(),
                    topics=digest(self._subscriptions.lasting(self._shard)),
                    refused=self._subscriptions.refused(self._shard),
                )
            )
        return channel

    async def _create(self, *, planned: bool) -> OpenChannel | Ending:
        wait = self._book.wait(shards=self._subscriptions.shards)
        if wait > 0:
            why = (
                "evicted three times within ten minutes"
                if self._book.barred_for
                else "as many channels as may be were made within the hour"
            )
            return Ending(cause=Cause.CREATION_PAUSED, detail=why, wait=wait)
        if self._created_at is not None:
            since = self._clock.monotonic() - self._created_at
            if planned or since >= _CALM:
                self._interval = CREATE_EVERY
            await self._clock.sleep((CREATE_PLANNED_EVERY if planned else self._interval) - since)
        async with self._book.making:
            channel = await self._unclaimed() or await self._make()
            # only one that was made counts: an outage, in which none was, must not keep us away after it
            if not planned and self._created_at is not None:
                self._interval = min(self._interval * 2, _CREATE_EVERY_MOST)
            self._created_at = self._clock.monotonic()
            life = self._life(channel)
            renew_in = life * _RENEW_AT * (1 + _RENEW_JITTER * (2 * self._random() - 1))
            now_ms = self._clock.epoch_ms()
            entry = Entry(
                id=channel.id,
                shard=self._shard,
                made_ms=now_ms,
                renew_ms=now_ms + round(renew_in * 1000),
                expires_ms=now_ms + round(life * 1000),
            )
            await self._book.made(entry)
        _log.info("channel_created", host=str(channel.connect_uri), renew_in=round(renew_in), shard=self._shard)
        return OpenChannel(channel.id, channel.connect_uri, self._clock.monotonic() + renew_in, entry)

    async def _make(self) -> ChannelView:
        try:
            return await self._platform.channels.create()
        except TransientError:
            self._doubtful = True
            raise

    async def _unclaimed(self) -> ChannelView | None:
        """A channel that was made though the answer was lost. Only our own token's are looked at: others may be in use."""
        if not self._doubtful:
            return None
        try:
            listed = await self._platform.channels.mine()
        except PermanentError:
            listed = []
        self._doubtful = False
        return next((channel for channel in listed if not self._book.knows(channel.id)), None)

    def _life(self, channel: ChannelView) -> float:
        """Seconds that the channel lives: it dies with its own time or with its token. It is replaced at 80 % of them, give or take a
        tenth, so that processes do not move together."""
        life = channel.expires - self._clock.now() - self._platform.clock_offset if channel.expires is not None else _LIFE
        if life <= timedelta(0):  # the clocks disagree: the published life is all that is known
            life = _LIFE
        ends_at = self._platform.tokens.ends_at
        token_left = ends_at - self._clock.monotonic() if ends_at is not None else 0.0
        return min(life.total_seconds(), token_left) if token_left > 0 else life.total_seconds()
