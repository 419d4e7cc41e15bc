"""The listener for what speech providers send: a message is taken when it is authentic, new, and answers a request that the ledger knows.

In order: the headers' form and time → the body, no longer than allowed → the signature over its very bytes → which request it answers →
whether its id has been seen → the body into the archive → `transcription.answered` into the ledger → 204. Only then has it arrived: a kill
before that leaves the sender without an answer, and it sends again, or we ask.

Whatever is refused, for whichever reason, also what is no HTTP at all, gets 401 with one body: nobody learns how near he came. A body that
does not come whole in time gets 408, whoever sends it. The reasons are counted.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from enum import StrEnum
from math import inf
from typing import Any, Final, Self

import anyio
from aiohttp import web
from anyio.abc import TaskStatus

from genesys_sync.clock import Clock
from genesys_sync.dispatch.providers import CALLBACK_PATH, LoadedProvider
from genesys_sync.errors import LedgerError, StorageError
from genesys_sync.events import Event, Topic
from genesys_sync.ledger.base import Ledger
from genesys_sync.listening import HEADER_LIMIT, age, bind
from genesys_sync.logs import get_logger
from genesys_sync.metrics import Metrics
from genesys_sync.routing import Router
from genesys_sync.services import Storage, answer_key
from genesys_sync.settings import CallbacksSettings
from genesys_sync.standard_webhooks import Claim, Flaw, claimed, proved

REFUSED: Final = b'{"error":"refused"}'
BUSY: Final = b'{"error":"try again"}'
SLOW: Final = b'{"error":"too slow"}'
LONGEST: Final = 30.0
"""Seconds that a connection stays open: a sender who dawdles is cut off."""
TO_ANSWER: Final = 5.0
"""Of these, those that are left for the answer: a body that has not come whole by then is answered as it is."""
_BODIES: Final = 4
"""Bodies in memory at one time."""
_HEX: Final = frozenset("0123456789abcdef")

_log = get_logger("callbacks")


class Outcome(StrEnum):
    """What became of a message, besides a `Flaw`: labels of metrics."""

    ACCEPTED = "accepted"
    NOWHERE = "nowhere"
    """Another method or path, or a provider without a secret."""
    NO_HTTP = "no_http"
    BODY = "body"
    """Too long, broken off, or authentic and no answer to a job."""
    UNKNOWN = "unknown"
    """Authentic, for a request that the ledger does not know."""
    REPLAYED = "replayed"
    SLOW = "slow"
    """Its body did not come whole in time; answered with 408."""
    BUSY = "busy"
    """Authentic, and could not be kept: the sender is asked to try again."""


class CallbackServer:
    """The listener. `providers` are those whose messages can be verified."""

    def __init__(
        self,
        settings: CallbacksSettings,
        providers: Mapping[str, LoadedProvider],
        *,
        ledger: Ledger,
        storage: Storage,
        router: Router,
        clock: Clock,
        metrics: Metrics,
    ) -> None:
        self._settings = settings
        self._providers = providers
        self._ledger = ledger
        self._storage = storage
        self._router = router
        self._clock = clock
        self._metrics = metrics
        self._bodies = anyio.Semaphore(_BODIES)
        self._keeping: set[str] = set()

    @classmethod
    def of(cls, settings: CallbacksSettings, providers: Mapping[str, LoadedProvider], **more: Any) -> Self | None:
        """None where no provider has a secret: nothing could be taken, so nobody listens."""
        return cls(settings, providers, **more) if providers else None

    async def run(self, *, task_status: TaskStatus[tuple[str, int]] = anyio.TASK_STATUS_IGNORED) -> None:
        """Listen until cancelled; `task_status` gets the address really bound. Raises PortInUse or ConfigurationError."""
        server = web.Server(
            self._answer,
            access_log=None,
            auto_decompress=False,  # what is signed are the bytes as they came
            keepalive_timeout=0,
            lingering_time=0,
            max_line_size=HEADER_LIMIT,
            max_field_size=HEADER_LIMIT,
        )
        runner = web.ServerRunner(server, handle_signals=False, shutdown_timeout=1)
        await runner.setup()
        try:
            address = self._settings.address
            task_status.started(await bind(runner, address, setting="callbacks.listen", refuse=self._unread, longest=LONGEST))
            await anyio.sleep_forever()
        finally:
            with anyio.CancelScope(shield=True), anyio.move_on_after(3):
                await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.Response:
        name = request.rel_url.raw_path.removeprefix(CALLBACK_PATH)
        one = self._providers.get(name)
        if one is None or request.method != "POST" or not request.rel_url.raw_path.startswith(CALLBACK_PATH):
            return self._refuse("none", Outcome.NOWHERE)
        claim = claimed(_headers(request), now=self._clock.now().timestamp(), tolerance=self._settings.tolerance.total_seconds())
        if isinstance(claim, Flaw):
            return self._refuse(name, claim)
        with anyio.move_on_after(LONGEST - TO_ANSWER - age(request)) as patience:
            async with self._bodies:
                body = await self._body(request)
                patience.deadline = inf  # what has come whole is worked off
                if body is None:
                    return self._refuse(name, Outcome.BODY)
                if not proved(claim, body, one.keys):
                    return self._refuse(name, Flaw.SIGNATURE)
                return await self._take(one, claim, body)
        self._metrics.callbacks.labels(name, Outcome.SLOW).inc()
        return web.Response(status=408, body=SLOW, content_type="application/json", headers=_HEADERS)

    async def _body(self, request: web.BaseRequest) -> bytes | None:
        """The whole body; None where it is too long, or breaks off."""
        body = bytearray()
        try:
            async for piece in request.content.iter_chunked(1 << 16):
                body += piece
                if len(body) > self._settings.body_limit:
                    return None
        except (web.RequestPayloadError, ConnectionError, ValueError):
            return None
        return bytes(body)

    async def _take(self, one: LoadedProvider, claim: Claim, body: bytes) -> web.Response:
        """An authentic message. Kept before it is answered, once; a second copy under way at the same time is a replay."""
        told = one.provider.called_back(body)
        if told is None:
            return self._refuse(one.name, Outcome.BODY)
        mark = f"{one.name}:{claim.message_id}"
        if mark in self._keeping:
            return self._refuse(one.name, Outcome.REPLAYED)
        self._keeping.add(mark)
        try:
            outcome = await self._keep(one, mark, told[0], body)
        except (LedgerError, StorageError) as error:
            _log.warning("a transcript was sent and could not be kept; the provider is asked to send it again", error=str(error))
            outcome = Outcome.BUSY
        finally:
            self._keeping.discard(mark)
        if outcome is Outcome.ACCEPTED:
            self._metrics.callbacks.labels(one.name, outcome).inc()
            return web.Response(status=204, headers=_HEADERS)
        if outcome is Outcome.BUSY:
            self._metrics.callbacks.labels(one.name, outcome).inc()
            return web.Response(status=503, body=BUSY, content_type="application/json", headers={**_HEADERS, "Retry-After": "30"})
        return self._refuse(one.name, outcome)

    async def _keep(self, one: LoadedProvider, mark: str, key: str, body: bytes) -> Outcome:
        request = await self._request(key)
        if request is None or request.body.get("provider") != one.name:
            return Outcome.UNKNOWN
        place = answer_key(request)
        answered = request.derive(
            Topic.TRANSCRIPTION_ANSWERED,
            occurred_at=self._clock.now(),
            state=mark,
            body={
                "provider": one.name,
                "request": request.id,
                "asked": dict(request.body),
                "answer": {"key": place, "sha256": hashlib.sha256(body).hexdigest(), "bytes": len(body)},
                "conversationEndedAt": request.body.get("conversationEndedAt"),
            },
        )
        if await self._ledger.events_about(answered.id, limit=1):
            return Outcome.REPLAYED
        await self._storage.write(place, body)
        appended = await self._ledger.append(self._router.route([answered]))
        return Outcome.ACCEPTED if appended.recorded else Outcome.REPLAYED

    async def _request(self, key: str) -> Event | None:
        if len(key) != 32 or not _HEX.issuperset(key):
            return None
        found = await self._ledger.events_about(key, limit=10)
        return next((event for event in found if event.id == key and event.topic == Topic.TRANSCRIPTION_REQUESTED), None)

    def _unread(self, status: int, error: BaseException | None) -> web.Response:
        """What is no HTTP is refused like anything else. An error of ours (500) stays one, with its traceback in the log."""
        if status == 500:
            _log.error("a callback could not be handled", exc_info=error)
            return web.Response(status=503, body=BUSY, content_type="application/json", headers=_HEADERS)
        return self._refuse("none", Outcome.NO_HTTP)

    def _refuse(self, provider: str, why: Outcome | Flaw) -> web.Response:
        self._metrics.callbacks.labels(provider, why.value).inc()
        _log.debug("a callback was refused", provider=provider, why=why.value)
        return web.Response(status=401, body=REFUSED, content_type="application/json", headers=_HEADERS)


_HEADERS: Final = {"Server": "genesys-sync", "Cache-Control": "no-store", "Connection": "close"}


def _headers(request: web.BaseRequest) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, value in request.headers.items():
        found.setdefault(name.lower(), []).append(value)
    return found
