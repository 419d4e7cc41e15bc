"""One WebSocket from open to close. Reader and heartbeat share a task group; the first to end decides.

The reader only parses, hands on and waits for room: when the sink is full it does not read, the receive queue fills, TCP's window
closes and the platform's sends stall. Nothing that was read is lost when the connection ends.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

import anyio
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as _connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidProxy, InvalidStatus, InvalidURI, ProxyError

from genesys_sync.backoff import retry_after
from genesys_sync.clock import Clock
from genesys_sync.feed.frames import PING, FaultCode, Frame, parse
from genesys_sync.feed.protocol import HANDSHAKE_INVALID, PONG_WITHIN, Cause, Ending, Next, SendPing, close_ending, upgrade_ending
from genesys_sync.feed.protocol import Protocol as ConnectionProtocol
from genesys_sync.services import SecretUrl
from genesys_sync.settings import FeedSettings

_QUEUE_FRAMES: Final = 16
_CLOSE_WITHIN: Final = 2.0
_EXCEEDS: Final = re.compile(r"\d+")
_DEAD: Final = frozenset({Cause.SILENT, Cause.PING_UNANSWERED})

# The library writes request lines and frames at its debug level: the channel's address is a secret, frames are about people.
_mute: Final = logging.getLogger("genesys_sync.feed.muted")
_mute.disabled = True


class Sink(Protocol):
    """Where frames go."""

    def take(self, frame: Frame, data: bytes) -> None:
        """Never refuses and never waits: what was read is in hand."""
        ...

    @property
    def full(self) -> bool: ...

    async def room(self) -> None:
        """Returns when it is no longer full."""
        ...


class _Connect(_connect):
    """Follows no redirect: a channel's address is used verbatim or not at all."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def open_socket(uri: SecretUrl, *, settings: FeedSettings, clock: Clock) -> ClientConnection | Ending:
    """The open socket, or why it did not open. The proxy is taken from the environment. No text of an exception is kept, because
    it may hold the address."""
    try:
        return await _Connect(
            uri.reveal(),
            compression=None,
            max_size=settings.frame_limit,
            max_queue=_QUEUE_FRAMES,
            open_timeout=settings.connect_timeout.total_seconds(),
            close_timeout=_CLOSE_WITHIN,
            ping_interval=None,  # our own ping asks the application; the library's would kill a connection that we hold back
            logger=_mute,
        )
    except InvalidStatus as error:
        # a header that came twice has no single value: `get` would raise
        told = error.response.headers.get_all("Retry-After")
        wait = retry_after(told[0] if told else None, now=clock.now())
        return upgrade_ending(error.response.status_code, retry_after=wait.total_seconds() if wait else 0.0)
    except (InvalidURI, ValueError):  # the second for ports and names that no address can have: the library leaves them to Python
        return Ending(cause=Cause.HANDSHAKE_INVALID, next=Next.NEW_CHANNEL, detail=f"{HANDSHAKE_INVALID}: no WebSocket address")
    except (InvalidProxy, ProxyError) as error:
        return Ending(cause=Cause.UNREACHABLE, detail=f"proxy: {type(error).__name__}")
    except InvalidHandshake as error:
        return Ending(cause=Cause.HANDSHAKE_INVALID, detail=f"{HANDSHAKE_INVALID}: {type(error).__name__}")
    except TimeoutError:
        return Ending(cause=Cause.UNREACHABLE, detail="no answer in time")
    except (OSError, EOFError, ConnectionClosed) as error:
        # ConnectionClosed: the connection was reset between its opening and our request for the upgrade
        return Ending(cause=Cause.UNREACHABLE, detail=type(error).__name__)


async def hold_connection(
    socket: ClientConnection,
    protocol: ConnectionProtocol,
    sink: Sink,
    *,
    clock: Clock,
    frame_limit: int,
    before_reading: Callable[[], Awaitable[None]],
    leaving: anyio.Event,
) -> Ending:
    """Await `before_reading`, then read until the connection ends, and say how. Afterwards, and after cancellation too, the
    socket is closed.

    Once `leaving` is set we close it ourselves, and read on until the platform has answered that: what it had sent is taken.
    """
    endings: list[Ending] = []
    try:
        await before_reading()
        async with anyio.create_task_group() as group:

            async def beat() -> None:
                endings.append(await _heartbeat(socket, protocol, clock))
                group.cancel_scope.cancel()

            async def leave() -> None:
                await leaving.wait()
                await socket.close()

            group.start_soon(beat)
            group.start_soon(leave)
            endings.append(await _read(socket, protocol, sink, clock, frame_limit))
            group.cancel_scope.cancel()
    finally:
        with anyio.CancelScope(shield=True):
            await _close(socket, endings[0] if endings else None)
    return endings[0]


async def _read(socket: ClientConnection, protocol: ConnectionProtocol, sink: Sink, clock: Clock, frame_limit: int) -> Ending:
    while True:
        try:
            data = await socket.recv(decode=False)
        except ConnectionClosed as error:
            return protocol.end(_closed(error))
        frame = parse(data, limit=frame_limit)
        ending = protocol.received(frame, clock.monotonic())
        sink.take(frame, data)
        if ending is not None:
            return ending
        if sink.full:
            protocol.hold()
            await sink.room()
            protocol.release(clock.monotonic())


async def _heartbeat(socket: ClientConnection, protocol: ConnectionProtocol, clock: Clock) -> Ending:
    while True:
        now = clock.monotonic()
        await clock.sleep(protocol.due(now) - now)
        action = protocol.tick(clock.monotonic())
        if isinstance(action, Ending):
            return action
        if isinstance(action, SendPing):
            with anyio.move_on_after(PONG_WITHIN):
                try:
                    await socket.send(PING)
                except ConnectionClosed:
                    await anyio.sleep_forever()  # the reader sees the close after what was still to be read, and says how


def _closed(error: ConnectionClosed) -> Ending:
    if error.sent is not None and error.sent.code == 1009 and not error.rcvd_then_sent:
        size = _EXCEEDS.search(error.sent.reason)  # the library's own words, which begin with the frame's size
        told = f": {int(size[0]):,} bytes" if size else ""  # grouped, or the log would take it for a telephone number
        return Ending(cause=Cause.FRAME_TOO_BIG, detail=f"{FaultCode.FRAME_TOO_BIG}{told}")
    return close_ending(error.rcvd.code if error.rcvd is not None else None)


async def _close(socket: ClientConnection, ending: Ending | None) -> None:
    """A dead peer answers no close: its connection is dropped. Others get a close handshake, for two seconds at most; and one that
    does not even take our last bytes, for which the library would wait without end, is dropped as well."""
    cause = ending.cause if ending else None
    if cause in _DEAD:
        socket.transport.abort()
        await socket.wait_closed()
        return
    with anyio.move_on_after(2 * _CLOSE_WITHIN):
        await socket.close(1007 if cause is Cause.FRAME_NOT_UTF8 else 1000)
        return
    socket.transport.abort()
