"""The platform client, put together: one session, one token, one rate budget."""

from __future__ import annotations

import random as random_module
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import anyio
from anyio.abc import TaskGroup

from genesys_sync.clock import Clock
from genesys_sync.errors import ReasonCode, TransientError
from genesys_sync.events import is_canonical_uuid
from genesys_sync.genesys import media
from genesys_sync.genesys.auth import Tokens
from genesys_sync.genesys.channels import ChannelService
from genesys_sync.genesys.client import Client
from genesys_sync.genesys.conversations import ConversationService
from genesys_sync.genesys.recordings import RecordingService
from genesys_sync.metrics import Metrics
from genesys_sync.settings import Credentials, GenesysSettings

_CONNECTIONS = 32
_QUEUE_PAGES_MAX = 1000


@dataclass(frozen=True, slots=True)
class Queue:
    """A routing queue."""

    id: str
    name: str


class Platform:
    """Implements `services.Genesys`, and has what the daemon itself needs besides.

    organization_id  empty until `identify` has returned
    tokens           `get`, `renew`, `invalidate`; raises CredentialsRefused, which everything else turns into TransientError
    """

    def __init__(
        self,
        client: Client,
        *,
        tokens: Tokens,
        recordings: RecordingService,
        conversations: ConversationService,
        media: media.MediaStore,
    ) -> None:
        self._client = client
        self.organization_id = ""
        self.tokens = tokens
        self.recordings = recordings
        self.conversations = conversations
        self.channels = ChannelService(client, tokens)
        self.media = media

    async def identify(self) -> str:
        """The organisation's id, from the platform; kept as `organization_id`.

        Raises CredentialsRefused, TransientError or PermanentError. Calling again asks again.
        """
        await self.tokens.get()
        reply = await self._client.call("GET", "/api/v2/tokens/me", shape=dict)
        organization = reply.body.get("organization")
        organization_id = organization.get("id") if isinstance(organization, dict) else None
        if not isinstance(organization_id, str) or not is_canonical_uuid(organization_id.lower()):
            raise TransientError(
                "the platform does not say whose token this is", code=ReasonCode.BAD_ANSWER, correlation_id=reply.correlation_id
            )
        self.organization_id = organization_id.lower()
        return self.organization_id

    async def queues(self) -> list[Queue]:
        """Every routing queue that the client may see, of all pages. Raises CredentialsRefused, TransientError or PermanentError."""
        await self.tokens.get()
        found: dict[str, Queue] = {}
        for page in range(1, _QUEUE_PAGES_MAX + 1):
            parameters = {"pageSize": "100", "pageNumber": str(page)}
            body = (await self._client.call("GET", "/api/v2/routing/queues", params=parameters, shape=dict)).body
            entities = body.get("entities")
            for entity in entities if isinstance(entities, list) else []:
                queue_id = entity.get("id") if isinstance(entity, dict) else None
                if isinstance(queue_id, str) and is_canonical_uuid(queue_id.lower()):
                    found[queue_id.lower()] = Queue(queue_id.lower(), str(entity.get("name") or ""))
            pages = body.get("pageCount")
            if not entities or (isinstance(pages, int) and page >= pages):
                break
        return list(found.values())

    async def request(self, method: str, path: str, *, params: Mapping[str, str] | None = None, json: object | None = None) -> Any:
        """See `services.Genesys.request`."""
        return (await self._client.call(method.upper(), path, params=params, json=json)).body


@asynccontextmanager
async def connect(
    settings: GenesysSettings,
    credentials: Credentials,
    *,
    clock: Clock,
    metrics: Metrics,
    random: Callable[[], float] = random_module.random,
) -> AsyncIterator[Platform]:
    """The client, for as long as the context lasts. Nothing is sent on entering; `identify` is the first to ask."""
    rule = media.HostRule(settings.media_hosts, api=settings.api)
    async with _api_session() as session, media.session(rule, settings) as store, _background() as tasks:
        tokens = Tokens(session, settings.login, credentials, clock=clock, timeout=settings.request_timeout)
        client = Client(session, tokens, settings, clock=clock, metrics=metrics, random=random)
        yield Platform(
            client,
            tokens=tokens,
            recordings=RecordingService(client, tasks, settings, clock=clock),
            conversations=ConversationService(client, tasks, settings, clock=clock),
            media=media.MediaStore(store, rule, settings, clock=clock, metrics=metrics, random=random),
        )


def _api_session() -> aiohttp.ClientSession:
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=_CONNECTIONS),
        cookie_jar=aiohttp.DummyCookieJar(),
        headers={"User-Agent": "genesys-sync"},
        trust_env=False,
    )


@asynccontextmanager
async def _background() -> AsyncIterator[TaskGroup]:
    """Tasks that end with the context. An error of the context's own body leaves it as it is, not wrapped in a group."""
    try:
        async with anyio.create_task_group() as tasks:
            yield tasks
            tasks.cancel_scope.cancel()
    except BaseExceptionGroup as group:
        if len(group.exceptions) == 1:
            error = group.exceptions[0]
            raise error from error.__cause__
        raise
