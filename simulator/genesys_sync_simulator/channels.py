"""Notification channels: their life, their subscriptions, and the way of a frame to the socket that is open on each.

Nothing is queued for a channel without a socket: what is published then is lost, as on the platform.
"""

from __future__ import annotations

import json
import secrets
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import anyio

from genesys_sync_simulator.oauth import Token
from genesys_sync_simulator.scenario import PlatformRules
from genesys_sync_simulator.topics import expanded

_MOST_FRAMES_WAITING = 50_000
_DEAD_REMEMBERED = 1000


@dataclass(frozen=True, slots=True)
class Close:
    """Ends a socket: properly with a code, or by cutting the connection when `code` is None."""

    code: int | None = 1001


@dataclass(slots=True, eq=False)
class Socket:
    """The sending half of one open connection. `send` never waits; a client that does not read for too long is cut off."""

    waiting: deque[str | Close] = field(default_factory=deque)
    wake: anyio.Event = field(default_factory=anyio.Event)
    stalled: bool = False
    closing: bool = False
    closes_at: float | None = None

    def send(self, frame: dict[str, Any]) -> bool:
        """Whether the frame will go out: not when the socket is stalled or closing."""
        if self.stalled or self.closing:
            return False
        if len(self.waiting) >= _MOST_FRAMES_WAITING:
            self.close(None)
            return False
        self._put(json.dumps(frame, separators=(",", ":")))
        return True

    def close(self, code: int | None = 1001) -> None:
        """Closes after what is waiting; with None the connection is cut and what is waiting is lost."""
        if self.closing and code is not None:
            return
        self.closing = True
        if code is None:
            self.waiting.clear()
        self._put(Close(code))

    def _put(self, item: str | Close) -> None:
        self.waiting.append(item)
        self.wake.set()

    async def next(self) -> str | Close:
        """The next thing to do; waits for it."""
        while not self.waiting:
            self.wake = anyio.Event()
            await self.wake.wait()
        return self.waiting.popleft()


@dataclass(slots=True, eq=False)
class Channel:
    """One channel. `topics` keeps the ids as they were asked for, combined ones included."""

    id: str
    token: Token
    expires: float
    used: float
    topics: list[str] = field(default_factory=list)
    singles: frozenset[str] = frozenset()
    socket: Socket | None = None
    evicted: bool = False

    def subscribe(self, topics: Iterable[str], *, replace: bool) -> None:
        """Adds, or replaces the whole set; asked twice, nothing changes."""
        kept = [] if replace else self.topics
        self.topics = list(dict.fromkeys([*kept, *topics]))
        self._expand()

    def unsubscribe(self, topics: Iterable[str]) -> None:
        gone = set(topics)
        self.topics = [topic for topic in self.topics if topic not in gone]
        self._expand()

    def _expand(self) -> None:
        self.singles = frozenset(single for topic in self.topics for single in expanded(topic))


@dataclass(slots=True)
class Silence:
    """A time in which frames that a client had asked for reached no socket at all; epoch seconds of the first and the last of them."""

    begun: float
    ended: float
    frames: int = 1


class Hub:
    """All channels of the organisation. `silences` are what nobody heard, oldest first."""

    def __init__(self, rules: PlatformRules) -> None:
        self._rules = rules
        self._channels: dict[str, Channel] = {}
        self.lost = 0
        """Frames that a subscription would have brought if a socket had been open."""
        self.silences: list[Silence] = []
        self._silent = False
        self._asked_for: set[str] = set()

    def create(self, token: Token, now: float) -> Channel:
        """A new channel; the client's least recently used one goes when there are too many, those without a socket first."""
        own = [channel for channel in self.living(now) if channel.token.client.id == token.client.id]
        if len(own) >= self._rules.max_channels:
            evicted = min(own, key=lambda channel: (channel.socket is not None, channel.used))
            # Its socket, if it has one, stays open and gets heartbeats, but never an event again.
            evicted.evicted = True
        channel = Channel(f"streaming-0-{secrets.token_urlsafe(18)}", token, now + self._rules.channel_life, now)
        self._channels[channel.id] = channel
        gone = [one.id for one in self._channels.values() if one.socket is None and not self._lives(one, now)]
        for channel_id in gone[:-_DEAD_REMEMBERED]:
            del self._channels[channel_id]
        return channel

    def known(self, channel_id: str) -> bool:
        """Whether a channel of that id ever was."""
        return channel_id in self._channels

    def find(self, channel_id: str, now: float) -> Channel | None:
        """The channel, while it lives: not evicted, not expired, and its token still good."""
        channel = self._channels.get(channel_id)
        return channel if channel is not None and self._lives(channel, now) else None

    def living(self, now: float) -> list[Channel]:
        return [channel for channel in self._channels.values() if self._lives(channel, now)]

    @property
    def sockets(self) -> list[Socket]:
        """Open connections, those of evicted channels included."""
        return [channel.socket for channel in self._channels.values() if channel.socket is not None]

    def connect(self, channel: Channel, now: float) -> Socket:
        """A new socket on the channel; an older one is told and closed."""
        if channel.socket is not None:
            self.notice(channel, "no_longer_subscribed", reason="another_channel_subscribed", message="Another connection took over.")
            channel.socket.close()
        channel.socket, channel.used = Socket(), now
        return channel.socket

    def disconnect(self, channel: Channel, socket: Socket) -> None:
        """The socket is gone; a newer one on the same channel stays."""
        if channel.socket is socket:
            channel.socket = None

    def extend(self, channel: Channel, now: float) -> None:
        """Subscribing renews a channel."""
        channel.expires, channel.used = now + self._rules.channel_life, now

    def publish(self, topic: str, body: dict[str, Any], correlation_id: str, now: float) -> int:
        """Sends an event to every socket whose channel has the topic; returns to how many."""
        frame = {"topicName": topic, "version": "2", "eventBody": body, "metadata": {"CorrelationId": correlation_id}}
        sent = 0
        for channel in self.living(now):
            if topic in channel.singles:
                self._asked_for.add(topic)
                if channel.socket is not None and channel.socket.send(frame):
                    sent += 1
                else:
                    self.lost += 1
        if topic in self._asked_for:
            self._note(now, heard=sent > 0)
        return sent

    def _note(self, now: float, *, heard: bool) -> None:
        if heard:
            self._silent = False
        elif self._silent:
            self.silences[-1].ended = now
            self.silences[-1].frames += 1
        else:
            self._silent = True
            self.silences.append(Silence(now, now))

    def notice(self, channel: Channel, kind: str, *, reason: str, message: str) -> None:
        """A `v2.system.…` message of the platform's own to one channel."""
        if channel.socket is not None:
            body = {
                "channelId": channel.id,
                "systemTopicType": kind,
                "correlationId": secrets.token_hex(16),
                "oauthClientId": channel.token.client.id,
                "reason": reason,
                "message": message,
            }
            channel.socket.send({"topicName": f"v2.system.{kind}.{channel.id}", "eventBody": body})

    def revoked(self, token: Token) -> None:
        """The token's channels go with it: each is told, and its socket closed."""
        for channel in self._channels.values():
            if channel.token is token and channel.socket is not None:
                self.notice(channel, "token_revoked", reason="user_tokens_revoked", message="The token was revoked.")
                channel.socket.close()

    def sweep(self, now: float) -> None:
        """Closes sockets that were announced to close, and those of channels whose time, or whose token's time, is over.
        Evicted channels keep theirs."""
        for channel in self._channels.values():
            socket = channel.socket
            if socket is None:
                continue
            if (socket.closes_at is not None and now >= socket.closes_at) or (not channel.evicted and not self._lives(channel, now)):
                socket.close()

    def listened_to(self, now: float) -> bool:
        """Whether anybody has a subscription with an open socket."""
        return any(channel.socket is not None and channel.topics for channel in self.living(now))

    def _lives(self, channel: Channel, now: float) -> bool:
        return not channel.evicted and now < channel.expires and channel.token.valid(now)
