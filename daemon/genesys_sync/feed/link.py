"""One channel with its one connection, from the open socket to its end."""

from __future__ import annotations

from typing import Protocol

import anyio
from websockets.asyncio.client import ClientConnection

from genesys_sync.clock import Clock
from genesys_sync.feed.channel import OpenChannel
from genesys_sync.feed.connection import hold_connection
from genesys_sync.feed.frames import Frame
from genesys_sync.feed.protocol import Cause, ConnectionState, Ending, Next
from genesys_sync.feed.protocol import Protocol as ConnectionProtocol
from genesys_sync.feed.reader import Reader
from genesys_sync.logs import get_logger
from genesys_sync.settings import FeedSettings

_log = get_logger("feed")


class Listener(Protocol):
    """Who is told what happens on a link."""

    async def went_live(self, link: Link) -> None:
        """Connected and subscribed, and nothing read yet."""
        ...

    def heard(self, link: Link, frame: Frame) -> None:
        """A frame came, and what follows from it is in the intake."""
        ...


class Link:
    """Run it once. Times are monotonic; `heard_ms` is `Clock.epoch_ms`.

    live, done    it is read; it has ended, and `ending` says how
    due           it is to be replaced, and `cause` says why
    """

    def __init__(
        self, channel: OpenChannel, socket: ClientConnection, *, reader: Reader, listener: Listener, clock: Clock, settings: FeedSettings
    ) -> None:
        self.channel = channel
        self.live = anyio.Event()
        self.done = anyio.Event()
        self.due = anyio.Event()
        self.ending: Ending | None = None
        self.cause = Cause.CHANNEL_EXPIRING
        self.live_ms = 0
        self.heard_ms = 0
        self.since = clock.monotonic()
        self.left = False
        self._socket = socket
        self._reader = reader
        self._listener = listener
        self._clock = clock
        self._settings = settings
        self._leaving = anyio.Event()
        self._scope = anyio.CancelScope()
        self._protocol = ConnectionProtocol(
            now=clock.monotonic(),
            ping_every=settings.ping_every.total_seconds(),
            silence=settings.silence.total_seconds(),
            moved=_log_move,
        )

    @property
    def full(self) -> bool:
        return self._reader.full

    async def room(self) -> None:
        await self._reader.room()

    def take(self, frame: Frame, data: bytes) -> None:
        self._reader.take(frame, data)
        self.heard_ms = self._clock.epoch_ms()
        self._listener.heard(self, frame)
        if self._protocol.closing:
            self.replace(Cause.SOCKET_CLOSING)

    async def run(self) -> None:
        """Read until the connection ends; then `done` is set. Raises LedgerError only."""
        with self._scope:
            ending = await hold_connection(
                self._socket,
                self._protocol,
                self,
                clock=self._clock,
                frame_limit=self._settings.frame_limit,
                before_reading=self._went_live,
                leaving=self._leaving,
            )
            self.ending = self.ending or ending
        if self.ending is not None:
            self.done.set()

    def replace(self, cause: Cause) -> None:
        """Have it replaced; it is read on until its successor is live. The first cause stands."""
        if not self.due.is_set():
            self.cause = cause
            self.due.set()

    async def leave(self) -> None:
        """Close it, with what the platform had sent taken in, and return when that is done. Its successor is live."""
        await self._until_room()
        self.left = True
        self.ending = self.ending or Ending(cause=self.cause, next=Next.NEW_CHANNEL)
        self._leaving.set()
        await self.done.wait()

    def cut(self, ending: Ending) -> None:
        """End it now: it can bring nothing any more."""
        self.ending = self.ending or self._protocol.end(ending)
        self._scope.cancel()

    async def _until_room(self) -> None:
        """A connection that is held back is not closed before it is read again: what waits in it would be lost."""
        async with anyio.create_task_group() as group:

            async def ended() -> None:
                await self.done.wait()
                group.cancel_scope.cancel()

            group.start_soon(ended)
            await self._reader.room()
            group.cancel_scope.cancel()

    async def _went_live(self) -> None:
        self.live_ms = self.heard_ms = self._clock.epoch_ms()
        self.since = self._clock.monotonic()
        await self._listener.went_live(self)
        self.live.set()


def _log_move(before: ConnectionState, after: ConnectionState, why: str) -> None:
    _log.debug("connection_state", before=before, after=after, why=why)
