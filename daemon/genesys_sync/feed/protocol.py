"""One connection's state machine. Pure: no I/O, time is an argument (monotonic seconds).

    OPEN ── quiet for ping_every ──► PINGED ── unanswered for 10 s, or silence ──► ENDED
      ▲                                │                                             ▲
      └────────── any frame ───────────┘                   a frame that ends things ─┘

    HELD: the intake is full and the socket is not read, so silence says nothing; leaving it starts the clocks afresh.

A connection that only has to be left some time soon (maintenance announced, the channel's renewal) does not end here: it is read on
until its successor is live, and `Protocol.closing` says so.

What an ending leads to is part of it: `Ending.next` says what the next connection needs. docs/specs/feed-states.md draws both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from genesys_sync.errors import CredentialsRefused, PermanentError, ReasonCode, TransientError
from genesys_sync.feed.frames import BadFrame, FaultCode, Frame, NoLongerSubscribed, SocketClosing, TokenRevoked

PONG_WITHIN: Final = 10.0
LONG_LIVED: Final = 30.0
"""A connection that was live for longer, in seconds, has proved that channel and token are good."""
HELD_TICK: Final = 1.0
HANDSHAKE_INVALID: Final = "WS_HANDSHAKE_INVALID"
REFUSED_WAIT: Final = 300.0
_SERVER_LEAVES: Final = frozenset({1001, 1012, 1013})
"""Close codes with which a server sends all its clients away: it goes, it restarts, it has too much to do."""
PLATFORM_ERRORS: Final = (TransientError, PermanentError, CredentialsRefused)


class ConnectionState(StrEnum):
    """Where a connection stands."""

    OPEN = "open"
    PINGED = "pinged"
    HELD = "held"
    ENDED = "ended"


class Next(StrEnum):
    """What the next connection needs before it can be opened. Token and channel are one unit: a channel dies with its token."""

    SAME_CHANNEL = "same_channel"
    NEW_CHANNEL = "new_channel"
    NEW_TOKEN = "new_token"  # noqa: S105  (a state, not a secret)


class Cause(StrEnum):
    """Why there is no live connection. A closed list: it labels a metric and names gaps."""

    STARTED = "started"
    SILENT = "silent"
    PING_UNANSWERED = "ping_unanswered"
    SOCKET_CLOSING = "socket_closing"
    NO_LONGER_SUBSCRIBED = "no_longer_subscribed"
    TOKEN_REVOKED = "token_revoked"  # noqa: S105  (a state, not a secret)
    CHANNEL_EXPIRING = "channel_expiring"
    CHANNEL_GONE = "channel_gone"
    STREAM_STARVED = "stream_starved"
    CLOSED = "closed"
    FRAME_NOT_UTF8 = "frame_not_utf8"
    FRAME_TOO_BIG = "frame_too_big"
    UPGRADE_REFUSED = "upgrade_refused"
    HANDSHAKE_INVALID = "handshake_invalid"
    UNREACHABLE = "unreachable"
    CREDENTIALS_REFUSED = "credentials_refused"
    REQUEST_FAILED = "request_failed"
    REQUEST_REFUSED = "request_refused"
    NOTHING_PERMITTED = "nothing_permitted"
    CREATION_PAUSED = "creation_paused"


class Alert(StrEnum):
    """What people should know of the feed; codes of the health report."""

    CHANNEL_EVICTED = "channel_evicted"
    STREAM_SILENT = "stream_silent"
    STREAM_STARVED = "stream_starved"
    CHANNEL_FORBIDDEN = "channel_forbidden"
    FRAME_TOO_BIG = "frame_too_big"
    CREATION_PAUSED = "creation_paused"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How one round ended, and what follows.

    detail  for people: a close code, a status; never a URL, never a frame's content
    wait    at least so many seconds before the next round
    crowd   the platform did it, so others were sent away by the same blow and would come back with us
    """

    cause: Cause
    next: Next = Next.SAME_CHANNEL
    detail: str = ""
    wait: float = 0.0
    crowd: bool = False


@dataclass(frozen=True, slots=True)
class SendPing:
    """Send a ping now."""


def close_ending(code: int | None) -> Ending:
    """A close by the platform, by its close code (None: the connection broke without one). None of them ends the process.

    Policy and authentication codes renew the token first; whatever else happened, the channel may still be good.
    """
    renew = code in (1008, 3000, 4401, 4403)
    return Ending(
        cause=Cause.CLOSED,
        next=Next.NEW_TOKEN if renew else Next.SAME_CHANNEL,
        detail="no close code" if code is None else str(code),
        crowd=code in _SERVER_LEAVES,
    )


def upgrade_ending(status: int, *, retry_after: float) -> Ending:
    """A refused upgrade, by its status. `retry_after` in seconds, 0 when the answer did not say."""
    if status < 400:
        return Ending(cause=Cause.HANDSHAKE_INVALID, detail=f"{HANDSHAKE_INVALID}: status {status}", wait=retry_after)
    if status == 403:
        return Ending(cause=Cause.UPGRADE_REFUSED, next=Next.NEW_CHANNEL, detail="status 403", wait=max(retry_after, REFUSED_WAIT))
    if status == 401:
        following = Next.NEW_TOKEN
    elif status in (408, 413, 425, 429) or status >= 500:
        following = Next.SAME_CHANNEL
    else:
        following = Next.NEW_CHANNEL
    return Ending(cause=Cause.UPGRADE_REFUSED, next=following, detail=f"status {status}", wait=retry_after, crowd=status >= 500)


def failure_ending(error: TransientError | PermanentError | CredentialsRefused) -> Ending:
    """A request that failed on the way to a live connection. The one place that says which failures change what we do next;
    all of them are tried again, because a vendor's outage or a missing permission must not end the process."""
    if isinstance(error, CredentialsRefused):
        return Ending(cause=Cause.CREDENTIALS_REFUSED, detail=str(error))
    if isinstance(error, TransientError):
        wait = error.delay.total_seconds() if error.delay else 0.0
        return Ending(cause=Cause.REQUEST_FAILED, detail=error.reason, wait=wait, crowd=error.code is ReasonCode.UNREACHABLE)
    if error.code is ReasonCode.NOT_FOUND:
        return Ending(cause=Cause.CHANNEL_GONE, next=Next.NEW_CHANNEL, detail=error.reason)
    if error.code is ReasonCode.UNAUTHORIZED:
        return Ending(cause=Cause.REQUEST_REFUSED, next=Next.NEW_TOKEN, detail=error.reason)
    return Ending(cause=Cause.REQUEST_REFUSED, detail=error.reason, wait=REFUSED_WAIT)


_ENDINGS: Final = {
    NoLongerSubscribed: Ending(cause=Cause.NO_LONGER_SUBSCRIBED, next=Next.NEW_CHANNEL),
    TokenRevoked: Ending(cause=Cause.TOKEN_REVOKED, next=Next.NEW_TOKEN),
}


class Protocol:
    """Liveness of one open connection, and what each frame means for it.

    `silence`, `ping_every` in seconds. `moved` is told of each transition: the one place where they are logged.
    `closing` is true once the platform has announced that it will close this connection in about a minute.
    """

    def __init__(
        self,
        *,
        now: float,
        ping_every: float,
        silence: float,
        moved: Callable[[ConnectionState, ConnectionState, str], None],
    ) -> None:
        self.state = ConnectionState.OPEN
        self.closing = False
        self.last_frame = now
        self._ping_every = ping_every
        self._silence = silence
        self._pinged_at = now
        self._moved = moved

    def received(self, frame: Frame, now: float) -> Ending | None:
        """A frame came: every frame is a sign of life and answers the ping; some end the connection."""
        self.last_frame = now
        if self.state is ConnectionState.PINGED:
            self._move(ConnectionState.OPEN, "answered")
        if isinstance(frame, SocketClosing):
            self.closing = True
        ending = _ENDINGS.get(type(frame))
        if isinstance(frame, BadFrame):
            if frame.code is FaultCode.FRAME_NOT_UTF8:
                ending = Ending(cause=Cause.FRAME_NOT_UTF8, detail=frame.got)
            elif frame.code is FaultCode.FRAME_TOO_BIG:
                ending = Ending(cause=Cause.FRAME_TOO_BIG, detail=frame.got)
        return self.end(ending) if ending else None

    def tick(self, now: float) -> SendPing | Ending | None:
        """What time alone demands. To be called again at `due`, or earlier; early calls change nothing."""
        if self.state in (ConnectionState.ENDED, ConnectionState.HELD):
            return None
        if now - self.last_frame >= self._silence:
            return self.end(Ending(cause=Cause.SILENT, detail=f"{now - self.last_frame:.0f} s"))
        if self.state is ConnectionState.PINGED:
            return self.end(Ending(cause=Cause.PING_UNANSWERED)) if now - self._pinged_at >= PONG_WITHIN else None
        if now - self.last_frame >= self._ping_every:
            self._pinged_at = now
            self._move(ConnectionState.PINGED, "quiet")
            return SendPing()
        return None

    def due(self, now: float) -> float:
        """The monotonic time of the next `tick` that can matter, as things stand now; frames only ever make it later."""
        if self.state in (ConnectionState.ENDED, ConnectionState.HELD):
            return now + HELD_TICK
        nearest = self._pinged_at + PONG_WITHIN if self.state is ConnectionState.PINGED else self.last_frame + self._ping_every
        return min(self.last_frame + self._silence, nearest)

    def hold(self) -> None:
        """We stop reading: the intake is full."""
        if self.state is not ConnectionState.ENDED:
            self._move(ConnectionState.HELD, "the intake is full")

    def release(self, now: float) -> None:
        """We read again; silence is counted from now."""
        if self.state is ConnectionState.HELD:
            self.last_frame = now
            self._move(ConnectionState.OPEN, "the intake has room")

    def end(self, ending: Ending) -> Ending:
        """The connection is over; its ending is given back: a close that was announced is told as such. Ending twice changes nothing."""
        if self.closing and ending.cause is Cause.CLOSED and ending.next is Next.SAME_CHANNEL:
            ending = replace(ending, cause=Cause.SOCKET_CLOSING)
        if self.state is not ConnectionState.ENDED:
            self._move(ConnectionState.ENDED, ending.cause)
        return ending

    def _move(self, to: ConnectionState, why: str) -> None:
        before, self.state = self.state, to
        self._moved(before, to, why)
