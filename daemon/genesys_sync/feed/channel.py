"""The notification channel that we hold: made when needed, never in haste, given up when it can no longer be trusted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from genesys_sync.clock import Clock
from genesys_sync.feed.platform import ChannelView, FeedPlatform
from genesys_sync.feed.protocol import LONG_LIVED, REFUSED_WAIT, Cause, Ending, Next
from genesys_sync.feed.subscriptions import Subscriptions
from genesys_sync.logs import get_logger
from genesys_sync.services import MediaUrl

CREATE_EVERY: Final = 5.0
_CREATE_EVERY_MOST: Final = 300.0
_CALM: Final = 600.0
_LIFE: Final = timedelta(hours=24)
_RENEW_AT: Final = 0.8
_RENEW_JITTER: Final = 0.1
_FAILURES_MOST: Final = 10
_TOKEN_FRESH: Final = 3600.0

_log = get_logger("feed.channel")


@dataclass(frozen=True, slots=True)
class OpenChannel:
    """A channel whose topics are set. `renew_at` is the monotonic time from which on it is to be replaced."""

    id: str
    uri: MediaUrl
    renew_at: float


class ChannelKeeper:
    """One channel at a time. The platform keeps twenty and evicts the rest, so a new one is made at most every 5 s, and ever more
    rarely while they are lost one after the other."""

    def __init__(self, *, platform: FeedPlatform, subscriptions: Subscriptions, clock: Clock, random: Callable[[], float]) -> None:
        self._platform = platform
        self._subscriptions = subscriptions
        self._clock = clock
        self._random = random
        self._channel: OpenChannel | None = None
        self._subscribed = False
        self._failures = 0
        self._created_at: float | None = None
        self._interval = CREATE_EVERY
        self._token_since = clock.monotonic()

    async def subscribed(self) -> OpenChannel | Ending:
        """The channel to connect to, made and subscribed where it is not yet; or why there is none. Raises what the platform raises."""
        if self._channel is not None and self._clock.monotonic() >= self._channel.renew_at:
            self.ended(Ending(cause=Cause.CHANNEL_EXPIRING, next=Next.NEW_TOKEN), live_for=0.0)
        channel = self._channel or await self._create()
        self._channel = channel
        if not self._subscribed:
            await self._subscriptions.apply(channel.id, anew=True)
            if not self._subscriptions.permitted:
                return Ending(cause=Cause.NOTHING_PERMITTED, detail="no topic is permitted", wait=REFUSED_WAIT)
            self._subscribed = True
        return channel

    def ended(self, ending: Ending, *, live_for: float) -> None:
        """A round ended: keep what the next one can use. A channel that fails ten times without living for long is given up."""
        self._failures = 0 if live_for > LONG_LIVED else self._failures + 1
        following = ending.next
        if following is Next.SAME_CHANNEL and self._failures >= _FAILURES_MOST:
            following = Next.NEW_CHANNEL
        if following is Next.SAME_CHANNEL:
            return
        self._channel = None
        self._subscribed = False
        self._failures = 0
        # A channel dies with its token, so one that shall live for a day is not made with a token half spent.
        if following is Next.NEW_TOKEN or self._clock.monotonic() - self._token_since > _TOKEN_FRESH:
            self._platform.tokens.invalidate()
            self._token_since = self._clock.monotonic()

    async def _create(self) -> OpenChannel:
        if self._created_at is not None:
            since = self._clock.monotonic() - self._created_at
            self._interval = CREATE_EVERY if since >= _CALM else self._interval
            await self._clock.sleep(self._interval - since)
            self._interval = min(self._interval * 2, _CREATE_EVERY_MOST)
        self._created_at = self._clock.monotonic()
        channel = await self._platform.channels.create()
        renew_in = self._renew_in(channel)
        _log.info("channel_created", host=str(channel.connect_uri), renew_in=round(renew_in))
        return OpenChannel(channel.id, channel.connect_uri, self._clock.monotonic() + renew_in)

    def _renew_in(self, channel: ChannelView) -> float:
        """Seconds until the channel is replaced: at 80 % of its life, give or take a tenth, so that processes do not move together."""
        life = channel.expires - self._clock.now() if channel.expires is not None else _LIFE
        if life <= timedelta(0):  # the clocks disagree: the published life is all that is known
            life = _LIFE
        return life.total_seconds() * _RENEW_AT * (1 + _RENEW_JITTER * (2 * self._random() - 1))
