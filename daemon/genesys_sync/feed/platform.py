"""What the feed needs of the platform, and no more. `genesys.platform` offers it; tests script it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from genesys_sync.services import SecretUrl


class QueueView(Protocol):
    """A queue of the organisation."""

    @property
    def id(self) -> str: ...
    @property
    def name(self) -> str: ...


class ChannelView(Protocol):
    """A notification channel. Whoever holds `connect_uri` reads it; `expires` is None when the platform did not say."""

    @property
    def id(self) -> str: ...
    @property
    def connect_uri(self) -> SecretUrl: ...
    @property
    def expires(self) -> datetime | None: ...


class TopicView(Protocol):
    """One subscription as the platform granted or refused it."""

    @property
    def id(self) -> str: ...
    @property
    def permitted(self) -> bool: ...
    @property
    def missing_permissions(self) -> tuple[str, ...]: ...


class Channels(Protocol):
    """The notification channels of our token."""

    async def create(self) -> ChannelView: ...

    async def mine(self) -> Sequence[ChannelView]:
        """The living channels of our token."""
        ...

    async def subscribe(self, channel_id: str, topics: Sequence[str]) -> Sequence[TopicView]:
        """Replaces the channel's whole set; an answer for each topic."""
        ...

    async def topics(self, channel_id: str) -> Collection[str]:
        """What the channel brings, in lower case. It may be refused for a channel that another token made."""
        ...

    async def abandon(self, channel_id: str) -> None:
        """It has no topics any more."""
        ...

    async def requirements(self) -> Mapping[str, Sequence[str]]:
        """The permissions that each kind of topic asks for, by the kind's name with `{id}` for each id."""
        ...


class EndedConversations(Protocol):
    """What analytics knows."""

    def ended_between(self, start: datetime, end: datetime, *, long_calls: timedelta) -> AsyncIterator[Mapping[str, Any]]:
        """The detail records of the conversations that ended in the interval, page after page; calls up to `long_calls` long are found."""
        ...


class Tokens(Protocol):
    """The token shared by all requests."""

    def invalidate(self) -> None:
        """The next request gets a new one."""
        ...

    def refresh(self) -> None:
        """The next request asks for a new one; the present one serves for as long as none is to be had."""
        ...

    @property
    def ends_at(self) -> float | None:
        """The monotonic time at which the present one ends; None when that is not known."""
        ...


class FeedPlatform(Protocol):
    """Every method raises TransientError or PermanentError, and CredentialsRefused when no token is to be had."""

    @property
    def organization_id(self) -> str: ...
    @property
    def clock_offset(self) -> timedelta:
        """What must be added to our time to have the platform's; zero while the two agree."""
        ...

    @property
    def channels(self) -> Channels: ...
    @property
    def conversations(self) -> EndedConversations: ...
    @property
    def tokens(self) -> Tokens: ...

    async def queues(self) -> Sequence[QueueView]: ...
