"""The platform client, put together: one session, and for each OAuth client its token and its rate budget."""

from __future__ import annotations

import random as random_module
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import aiohttp
import anyio
from anyio.abc import TaskGroup

from genesys_sync.actions import LookOnly
from genesys_sync.clock import Clock
from genesys_sync.errors import CredentialsRefused, GenesysSyncError, LedgerOfAnother, PermanentError, ReasonCode, TransientError
from genesys_sync.events import canonical_uuid
from genesys_sync.genesys import media, upload_put
from genesys_sync.genesys.auth import Tokens
from genesys_sync.genesys.channels import ChannelService
from genesys_sync.genesys.client import MAIN, Client
from genesys_sync.genesys.control import ControlService
from genesys_sync.genesys.conversations import ConversationService
from genesys_sync.genesys.entitlements import SUBJECT, EntitlementService
from genesys_sync.genesys.flows import FlowService
from genesys_sync.genesys.grants import Grants, permissions_of, sees_sensitive
from genesys_sync.genesys.identity import organization_of
from genesys_sync.genesys.lanes import Lane
from genesys_sync.genesys.orphans import Orphan, listed
from genesys_sync.genesys.pool import Pool
from genesys_sync.genesys.prompt_upload import PromptUpload
from genesys_sync.genesys.prompts import PromptService
from genesys_sync.genesys.recordings import RecordingService
from genesys_sync.genesys.retention import RetentionQuery
from genesys_sync.genesys.speech import SpeechControlService
from genesys_sync.genesys.transcripts import TranscriptService
from genesys_sync.genesys.upload_book import UploadBook
from genesys_sync.genesys.uploads import UploadService
from genesys_sync.metrics import Metrics
from genesys_sync.services.actions import Actions
from genesys_sync.settings import Credentials, GenesysSettings

_CONNECTIONS = 32
_QUEUE_PAGES_MAX = 1000
_QUEUE_LISTINGS = 2


@dataclass(frozen=True, slots=True)
class Queue:
    """A routing queue."""

    id: str
    name: str


class Platform:
    """Implements `services.Genesys`, and has what the daemon itself needs besides.

    organization_id  empty until `identify` has returned
    actions          how its typed operations act: each performs its own, so that whoever calls them need not
    pool             the further OAuth clients that share the work; they take part once `pool.prove` has found them good
    tokens           `get`, `renew`, `invalidate`; raises CredentialsRefused, which everything else turns into TransientError
    """

    def __init__(
        self,
        client: Client,
        *,
        tokens: Tokens,
        recordings: RecordingService,
        conversations: ConversationService,
        transcripts: TranscriptService,
        media: media.MediaStore,
        control: ControlService,
        speech: SpeechControlService,
        entitlements: EntitlementService,
        uploads: UploadService,
        prompts: PromptService,
        flows: FlowService,
        actions: Actions,
        pool: Pool,
        recorded: Callable[[], Awaitable[str | None]] | None = None,
    ) -> None:
        self._client = client
        self._recorded = recorded
        self._asking = anyio.Lock()
        self._unanswered = 0
        self.pool = pool
        self.organization_id = ""
        self.sees_sensitive: bool | None = None
        self.retention = RetentionQuery(pool)
        self.tokens = tokens
        self.recordings = recordings
        self.conversations = conversations
        self.transcripts = transcripts
        self.channels = ChannelService(client, tokens)
        self.entitlements = entitlements
        self.media = media
        self.control = control
        self.speech = speech
        self.uploads = uploads
        self.prompts = prompts
        self.flows = flows
        self.actions = actions

    @property
    def clock_offset(self) -> timedelta:
        """What must be added to our time to have the platform's; zero while the two agree within a minute."""
        return self._client.clock_offset

    async def identify(self) -> str:
        """The organisation's id, from the platform; kept as `organization_id`. Raises CredentialsRefused, TransientError or PermanentError,
        and LedgerOfAnother when the ledger is another's. Calling again asks again."""
        async with self._asking:
            return await self._identified()

    async def admit(self) -> None:
        """It is known whose token this is, and the ledger is of the same organisation: awaited before anything else is asked. Raises
        LedgerOfAnother, and TransientError for as long as the platform does not say."""
        before = self._unanswered
        async with self._asking:
            if self.organization_id:
                return
            if self._unanswered != before:  # asked in vain while this one waited; to try again, one after the other, would take too long
                raise TransientError("the platform does not say whose token this is", code=ReasonCode.UNREACHABLE)
            try:
                await self._identified()
            except (CredentialsRefused, PermanentError) as error:
                raise TransientError(str(error), code=ReasonCode.UNAUTHORIZED) from None

    async def _identified(self) -> str:
        try:
            await self.tokens.get()
            told = await organization_of(self._client)
        except GenesysSyncError:
            self._unanswered += 1
            raise
        recorded = None if self._recorded is None else await self._recorded()
        if recorded is not None and recorded != told:
            raise LedgerOfAnother(
                f"ledger.url: the ledger holds the events of organisation {recorded}, and the OAuth client is of organisation {told}: "
                "give that organisation's client, or name another ledger and another archive; nothing was changed"
            )
        self.organization_id = told
        return told

    async def queues(self) -> list[Queue]:
        """Every routing queue that the client may see, of all pages. Raises CredentialsRefused, TransientError or PermanentError.

        A queue that is deleted while the pages are read moves those behind it to pages which have been read already, and one of them is in
        none. So pages that show fewer than they told are read again, and what either showed counts: a topic too many is refused by itself.
        """
        await self.tokens.get()
        found: dict[str, Queue] = {}
        for _ in range(_QUEUE_LISTINGS):
            shown, told = await self._listed_queues()
            found |= shown
            if len(shown) >= told:
                break
        return list(found.values())

    async def _listed_queues(self) -> tuple[dict[str, Queue], int]:
        """What one reading of all pages showed, and the most that any of them told; 0 where none told."""
        found: dict[str, Queue] = {}
        told = 0
        for page in range(1, _QUEUE_PAGES_MAX + 1):
            parameters = {"pageSize": "100", "pageNumber": str(page)}
            body = (await self._client.call("GET", "/api/v2/routing/queues", params=parameters, shape=dict, lane=Lane.CONTROL)).body
            entities = body.get("entities")
            for entity in entities if isinstance(entities, list) else []:
                queue_id = canonical_uuid(entity.get("id")) if isinstance(entity, dict) else None
                if queue_id is not None:
                    found[queue_id] = Queue(queue_id, str(entity.get("name") or ""))
            total, pages = body.get("total"), body.get("pageCount")
            told = max(told, total) if isinstance(total, int) else told
            if not entities or (isinstance(pages, int) and page >= pages):
                break
        return found, told

    async def grants(self) -> Grants | None:
        """What the client's role grants; None when the answer tells nothing of it. `sees_sensitive` follows. Raises TransientError or
        PermanentError."""
        answer = (await self._client.call("GET", SUBJECT, lane=Lane.CONTROL)).body
        self.sees_sensitive = sees_sensitive(answer)
        return permissions_of(answer)

    async def orphans(self) -> list[Orphan]:
        """The recordings that belong to no conversation, of all pages (the platform lists 500 at most). Raises TransientError or
        PermanentError."""
        return await listed(self._client)

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
    actions: Actions | None = None,
    further: Mapping[str, Credentials] | None = None,
    upload_book: Path | None = None,
    recorded: Callable[[], Awaitable[str | None]] | None = None,
) -> AsyncIterator[Platform]:
    """The client, for as long as the context lasts. Nothing is sent on entering; `identify` is the first to ask. Without `actions` it is
    there to look only: operations that act raise RuntimeError. `further` are OAuth clients by name that share the work;
    `upload_book` is the folder in which uploads under way outlive the process; `recorded` says whose events the ledger holds, and for
    anybody else nothing is asked."""
    rule = media.HostRule(settings.media_hosts, api=settings.api)
    async with (
        _api_session() as session,
        media.session(rule, settings) as store,
        upload_put.session(rule) as putting,
        _background() as tasks,
    ):

        def known_by(own: Credentials, name: str) -> tuple[Tokens, Client]:
            tokens = Tokens(session, settings.login, own, clock=clock, timeout=settings.request_timeout)
            return tokens, Client(session, tokens, settings, clock=clock, metrics=metrics, random=random, name=name)

        tokens, client = known_by(credentials, MAIN)
        book = UploadBook(upload_book)
        await book.sweep()
        pool = Pool(client, [known_by(own, name)[1] for name, own in (further or {}).items()], clock=clock, metrics=metrics)
        acting = actions or LookOnly()
        platform = Platform(
            client,
            tokens=tokens,
            recordings=RecordingService(pool, tasks, settings, clock=clock, metrics=metrics),
            conversations=ConversationService(pool, tasks, settings, clock=clock),
            transcripts=TranscriptService(pool, clock=clock),
            media=media.MediaStore(store, rule, settings, clock=clock, metrics=metrics, random=random),
            control=ControlService(client, settings, clock=clock, actions=acting),
            speech=SpeechControlService(client, actions=acting),
            entitlements=EntitlementService(client, clock=clock),
            uploads=UploadService(client, putting, rule, book, settings, clock=clock, actions=acting, random=random),
            prompts=PromptService(client, PromptUpload(client, tokens, putting, rule, settings), settings, clock=clock, actions=acting),
            flows=FlowService(client, settings, client_id=credentials.client_id.get_secret_value(), clock=clock, actions=acting),
            actions=acting,
            pool=pool,
            recorded=recorded,
        )
        if recorded is not None:
            client.admit = platform.admit
        yield platform


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
