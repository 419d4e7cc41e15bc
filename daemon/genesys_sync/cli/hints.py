"""A notification channel of a command's own, whose events say "look now". Hints only: what is true is what the look finds, so without
the channel, or when it is lost, nothing changes but the speed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final

import anyio

from genesys_sync.clock import Clock
from genesys_sync.errors import GenesysSyncError, root_cause
from genesys_sync.feed.connection import hold_connection, open_socket
from genesys_sync.feed.frames import Frame, TopicEvent
from genesys_sync.feed.protocol import Ending
from genesys_sync.feed.protocol import Protocol as ConnectionProtocol
from genesys_sync.genesys.channels import TOPICS_MAX, ChannelService
from genesys_sync.logs import get_logger
from genesys_sync.services import SecretUrl
from genesys_sync.settings import FeedSettings

_CHANNELS_MOST: Final = 16
"""Of the twenty that a client has: the rest is the daemon's. For one more than twenty the platform drops another, perhaps the daemon's."""
_LEAVING: Final = 5.0

_log = get_logger("hints")


class Hints:
    """A wait that ends early when something has happened. It is a `feed.connection.Sink` too: each event is a hint."""

    full = False

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._woken = anyio.Event()

    def wake(self) -> None:
        """The present wait ends; where nobody waits, the next one does at once."""
        self._woken.set()

    async def sleep(self, seconds: float) -> None:
        """Wait so long, or until a hint; one that came since the last wait counts."""
        async with anyio.create_task_group() as tasks:

            async def hinted() -> None:
                await self._woken.wait()
                tasks.cancel_scope.cancel()

            tasks.start_soon(hinted)
            await self._clock.sleep(seconds)
            tasks.cancel_scope.cancel()
        if self._woken.is_set():
            self._woken = anyio.Event()

    def take(self, frame: Frame, data: bytes) -> None:  # noqa: ARG002  (a Sink is given it)
        """An event wakes; signs of life do not."""
        if isinstance(frame, TopicEvent):
            self.wake()

    async def room(self) -> None:
        """There always is."""

    async def began(self) -> None:
        """From now on events are heard; what happened before was announced to nobody, so look once."""
        self.wake()


@asynccontextmanager
async def hinted(channels: ChannelService, topics: Sequence[str], *, settings: FeedSettings, clock: Clock) -> AsyncGenerator[Hints]:
    """Hints of what happens on the topics (the first 1,000), for as long as the context lasts.

    The channel is opened beside the work, which does not wait for it. Why there is none, or none any more, is logged, once. On leaving, and
    when cancelled, its socket is closed and its topics are taken back; the platform has no way to delete it."""
    hints = Hints(clock)
    try:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(_listen, hints, channels, list(topics[:TOPICS_MAX]), settings, clock)
            yield hints
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        raise root_cause(group) from None


async def _listen(hints: Hints, channels: ChannelService, topics: Sequence[str], settings: FeedSettings, clock: Clock) -> None:
    try:
        if (held := await channels.held()) >= _CHANNELS_MOST:
            _log.info("hints_unavailable", why=f"the client has {held} channels, and the daemon is to keep its own")
            return
        channel = await channels.create()
        try:
            if not any(state.permitted for state in await channels.subscribe(channel.id, topics)):
                _log.info("hints_unavailable", why="no topic is permitted")
                return
            ending = await _heard(hints, channel.connect_uri, settings, clock)
            _log.info("hints_unavailable", why=f"{ending.cause}: {ending.detail}")
        finally:
            await _take_back(channels, channel.id)
    except GenesysSyncError as error:
        _log.info("hints_unavailable", why=str(error))


async def _take_back(channels: ChannelService, channel_id: str) -> None:
    with anyio.move_on_after(_LEAVING, shield=True):
        try:
            await channels.abandon(channel_id)
        except GenesysSyncError as error:
            _log.info("hints_not_taken_back", why=str(error))


async def _heard(hints: Hints, uri: SecretUrl, settings: FeedSettings, clock: Clock) -> Ending:
    """Listen until the connection ends; how it did."""
    socket = await open_socket(uri, settings=settings, clock=clock)
    if isinstance(socket, Ending):
        return socket
    protocol = ConnectionProtocol(
        now=clock.monotonic(),
        ping_every=settings.ping_every.total_seconds(),
        silence=settings.silence.total_seconds(),
        moved=lambda before, after, why: _log.debug("connection_state", before=before, after=after, why=why),
    )
    limit, never = settings.frame_limit, anyio.Event()
    return await hold_connection(socket, protocol, hints, clock=clock, frame_limit=limit, before_reading=hints.began, leaving=never)
