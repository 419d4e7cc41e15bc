"""Notification channels: made and subscribed here, listened to by `feed`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from genesys_sync.errors import PermanentError, ReasonCode, TransientError
from genesys_sync.genesys.auth import Tokens
from genesys_sync.genesys.client import Client
from genesys_sync.genesys.details_query import parse_time
from genesys_sync.genesys.lanes import Lane
from genesys_sync.services import SecretUrl

TOPICS_MAX = 1000
_CHANNEL_ID = re.compile(r"[A-Za-z0-9_\-]{1,200}")


@dataclass(frozen=True, slots=True)
class Channel:
    """A notification channel. Whoever holds `connect_uri` may listen: it is a secret, and prints as its host alone."""

    id: str
    connect_uri: SecretUrl
    expires: datetime | None


@dataclass(frozen=True, slots=True)
class TopicState:
    """What became of a topic that was subscribed to."""

    id: str
    permitted: bool
    missing_permissions: tuple[str, ...] = ()


class ChannelService:
    """`/api/v2/notifications/channels`."""

    def __init__(self, client: Client, tokens: Tokens) -> None:
        self._client = client
        self._tokens = tokens

    async def create(self) -> Channel:
        """A new channel, belonging to the present token. The platform keeps twenty for a client and drops the least used.

        Not repeated when it is unknown whether the platform acted. Raises CredentialsRefused, TransientError or PermanentError.
        """
        await self._tokens.get()
        reply = await self._client.call("POST", "/api/v2/notifications/channels", shape=dict, lane=Lane.CONTROL)
        channel = _channel(reply.body)
        if channel is None:
            raise TransientError("the new channel has no id or address", code=ReasonCode.BAD_ANSWER, correlation_id=reply.correlation_id)
        return channel

    async def mine(self) -> list[Channel]:
        """The living channels of the present token, as far as the platform gives their addresses. Raises CredentialsRefused,
        TransientError or PermanentError."""
        await self._tokens.get()
        reply = await self._client.call("GET", "/api/v2/notifications/channels", shape=dict, lane=Lane.CONTROL)
        entities = reply.body.get("entities")
        listed = [_channel(entity) for entity in (entities if isinstance(entities, list) else []) if isinstance(entity, dict)]
        return [channel for channel in listed if channel is not None]

    async def held(self) -> int:
        """How many living channels the OAuth client has, those of its other tokens included. Raises CredentialsRefused, TransientError
        or PermanentError."""
        await self._tokens.get()
        params = {"includechannels": "oauthclient"}
        reply = await self._client.call("GET", "/api/v2/notifications/channels", params=params, shape=dict, lane=Lane.CONTROL)
        entities = reply.body.get("entities")
        return len(entities) if isinstance(entities, list) else 0

    async def subscribe(self, channel_id: str, topics: Sequence[str]) -> list[TopicState]:
        """The channel's topics are these and no others; the answer has a state for each, in the order given.

        A topic that the platform left out of its answer is not permitted. Raises PermanentError(NOT_FOUND) when the channel
        is gone, ValueError for more than 1,000 topics.
        """
        if len(topics) > TOPICS_MAX:
            raise ValueError(f"a channel takes {TOPICS_MAX} topics, not {len(topics)}")
        if not _CHANNEL_ID.fullmatch(channel_id):
            raise PermanentError("a channel id holds letters, digits, - and _ only", code=ReasonCode.ID_INVALID)
        reply = await self._client.call(
            "PUT",
            f"/api/v2/notifications/channels/{channel_id}/subscriptions",
            params={"ignoreErrors": "true"},
            json=[{"id": topic} for topic in topics],
            repeatable=True,
            shape=dict,
            lane=Lane.CONTROL,
        )
        entities = reply.body.get("entities")
        # without regard to case: the ids in a topic are UUIDs, which the platform may write as it likes
        answered = {
            str(entity.get("id")).lower(): entity for entity in (entities if isinstance(entities, list) else []) if isinstance(entity, dict)
        }
        return [_state(topic, answered.get(topic.lower())) for topic in topics]

    async def topics(self, channel_id: str) -> frozenset[str]:
        """The topics, in lower case, that the channel brings. Raises PermanentError(NOT_FOUND) when it is gone or another token's, else
        like `subscribe`."""
        if not _CHANNEL_ID.fullmatch(channel_id):
            raise PermanentError("a channel id holds letters, digits, - and _ only", code=ReasonCode.ID_INVALID)
        path = f"/api/v2/notifications/channels/{channel_id}/subscriptions"
        entities = (await self._client.call("GET", path, shape=dict, lane=Lane.CONTROL)).body.get("entities")
        listed = [entity for entity in (entities if isinstance(entities, list) else []) if isinstance(entity, dict)]
        return frozenset(str(entity.get("id")).lower() for entity in listed if _state("", entity).permitted)

    async def abandon(self, channel_id: str) -> None:
        """The channel has no topics any more; there is no way to remove the channel itself. Raises PermanentError(NOT_FOUND) for
        another token's, else like `subscribe`."""
        if not _CHANNEL_ID.fullmatch(channel_id):
            raise PermanentError("a channel id holds letters, digits, - and _ only", code=ReasonCode.ID_INVALID)
        path = f"/api/v2/notifications/channels/{channel_id}/subscriptions"
        await self._client.call("DELETE", path, repeatable=True, lane=Lane.CONTROL)

    async def requirements(self) -> dict[str, tuple[str, ...]]:
        """The permissions that each kind of topic asks for, by the kind's name with `{id}` for each id, as the platform lists them;
        what cannot be read is left out. Raises CredentialsRefused, TransientError or PermanentError."""
        await self._tokens.get()
        params = {"expand": "requiresPermissions,permissionDetails"}
        reply = await self._client.call("GET", "/api/v2/notifications/availabletopics", params=params, shape=dict, lane=Lane.CONTROL)
        entities = reply.body.get("entities")
        listed = [entity for entity in (entities if isinstance(entities, list) else []) if isinstance(entity, dict)]
        return {str(entity.get("id")): _needs(entity) for entity in listed}


def _channel(entity: dict[str, Any]) -> Channel | None:
    channel_id, uri = entity.get("id"), entity.get("connectUri")
    if not isinstance(channel_id, str) or not _CHANNEL_ID.fullmatch(channel_id) or not isinstance(uri, str) or not uri:
        return None
    return Channel(channel_id, SecretUrl(uri), parse_time(entity.get("expires")))


def _needs(entity: dict[str, Any]) -> tuple[str, ...]:
    found = _texts(entity.get("requiresPermissions"))
    details = entity.get("permissionDetails")
    for detail in details if isinstance(details, list) else []:
        if isinstance(detail, dict):
            found += _texts(detail.get("permissions"))
            if detail.get("type") == "requiresCurrentUser":
                found.append("a user's own token")
    return tuple(dict.fromkeys(found))


def _texts(value: object) -> list[str]:
    return [str(item)[:100] for item in value[:20]] if isinstance(value, list) else []


def _state(topic: str, entity: dict[str, Any] | None) -> TopicState:
    if entity is None:
        return TopicState(topic, permitted=False)
    missing = entity.get("missingPermissions")
    names = tuple(str(name)[:100] for name in missing[:20]) if isinstance(missing, list) else ()
    return TopicState(topic, permitted=entity.get("state", "Permitted") == "Permitted", missing_permissions=names)
