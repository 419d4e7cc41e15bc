"""The one way to the platform: every request passes here, under one token, one rate budget and one policy for trouble.

| the answer                  | what is done                                                  | when that does not help                  |
| --------------------------- | ------------------------------------------------------------- | ---------------------------------------- |
| 401                         | the token is renewed once and the request sent once more      | TransientError(UNAUTHORIZED)             |
| 429                         | everybody pauses for Retry-After; then one, then all          | TransientError(RATE_LIMITED)             |
| 408, 502, 503, 504, none    | again with full jitter, if repeating is harmless              | TransientError(UNREACHABLE)              |
| not JSON, wrong shape       | the same                                                      | TransientError(BAD_ANSWER)               |
| 4xx not of the platform     | the same: its body is not the published error                 | TransientError(BAD_ANSWER)               |
| other 5xx, 3xx              | —                                                             | TransientError(BAD_ANSWER)               |
| 403, 404, other 4xx         | —                                                             | PlatformRefused (a PermanentError)       |

At most TRIES requests for one call, and no wait that would end more than PATIENCE seconds after its start: a longer one is the
caller's to take (TransientError with its delay). Before each request stands the turnstile: its lane, and how urgent it is, decide who goes.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Protocol

import aiohttp
import orjson

from genesys_sync.backoff import full_jitter, http_date, retry_after
from genesys_sync.clock import Clock
from genesys_sync.errors import CredentialsRefused, PermanentError, ReasonCode, TransientError
from genesys_sync.genesys.answers import Answer, Kind, bad_answer, classify, failure, no_answer, operation
from genesys_sync.genesys.auth import REFUSED_PAUSE, Tokens
from genesys_sync.genesys.budget import Budget
from genesys_sync.genesys.lanes import Lane
from genesys_sync.genesys.server_clock import ServerClock
from genesys_sync.genesys.turns import LAST, Crowded, Turnstile
from genesys_sync.logs import get_logger
from genesys_sync.metrics import Metrics
from genesys_sync.settings import GenesysSettings

TRIES = 4
PATIENCE = 75.0
"""Seconds; a whole rate window and a little."""
BODY_LIMIT = 64 << 20
_BACKOFF_BASE = 1.0
_BACKOFF_CAP = 15.0
MAIN: Final = "main"
"""The client that holds the feed, where others are told apart from it."""
_OPERATIONS = 200
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_PATH = re.compile(r"/api/v2(?:/[A-Za-z0-9._~:@!$&'()*+,;=%\-]+)+")
WHOSE: Final = ("/api/v2/tokens/me", "/api/v2/organizations/me")
"""What tells whose token it is. Everything else may be asked only when that is known to be well."""
_DISGUISED = ("%2e", "%2f", "%5c", "%00")


@dataclass(frozen=True, slots=True)
class Reply:
    """A good answer: the status tells 200 from 202; `body` is parsed JSON, None when empty, `raw` its bytes as they came. `by` is the
    client that was answered: a job is shown to nobody else."""

    status: int
    body: Any
    correlation_id: str
    by: Client
    raw: bytes = b""


class Caller(Protocol):
    """What asks the platform: one client, or several that share the work."""

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object | None = None,
        repeatable: bool | None = None,
        shape: type | None = None,
        lane: Lane = Lane.MEDIA,
        urgency: float = LAST,
    ) -> Reply:
        """See `Client.call`."""
        ...


class Client:
    """Requests to the API host; the bearer token goes nowhere else. `name` tells it from others in metrics."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        tokens: Tokens,
        settings: GenesysSettings,
        *,
        clock: Clock,
        metrics: Metrics,
        random: Callable[[], float],
        name: str = MAIN,
    ) -> None:
        self.name = name
        self._session = session
        self._tokens = tokens
        self._base = settings.api
        self._timeout = aiohttp.ClientTimeout(total=settings.request_timeout.total_seconds())
        self._clock = clock
        self._metrics = metrics
        self._random = random
        self._budget = Budget(allowed=settings.requests_per_minute, share=settings.request_share)
        self._turns = Turnstile(
            self._budget, clock=clock, waiting=lambda lane, number: metrics.api_waiting.labels(lane=lane, client=name).set(number)
        )
        self._operations: set[str] = set()
        self._retry_after_told = False
        self._server_clock = ServerClock(clock)
        self._log = get_logger(__name__)
        self.admit: Callable[[], Awaitable[None]] | None = None
        """Awaited before any request but those of WHOSE; what it raises is the answer."""

    async def call(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: object | None = None,
        repeatable: bool | None = None,
        shape: type | None = None,
        lane: Lane = Lane.MEDIA,
        urgency: float = LAST,
    ) -> Reply:
        """One operation. `repeatable`: sending it twice is harmless (default: by the method). `shape`: the JSON type that the
        answer must have; another is treated like an answer that is not JSON. `lane`: whose share of the rate it takes. `urgency`:
        the epoch second after which it is too late; of those that wait in a lane the smallest goes first.

        Raises TransientError or PermanentError (PlatformRefused where the platform answered), with its correlation id.
        """
        check_path(path)
        if self.admit is not None and path not in WHOSE:
            await self.admit()
        may_repeat = method in _SAFE if repeatable is None else repeatable
        name = self._operation(method, path)
        data = None if json is None else orjson.dumps(json)  # before a turn is taken: what is no JSON must not stay counted as on its way
        deadline = self._clock.monotonic() + PATIENCE
        renewed = False
        tries = 0
        while True:
            tries += 1
            token = await self._token()
            await self._turn(name, deadline, lane, urgency)
            answer, asked_wait = await self._send(name, method, path, token, params, data, shape, lane)
            if answer.kind is Kind.OK:
                return Reply(answer.status, answer.body, answer.correlation_id, self, answer.raw)
            self._log.debug(
                "request_failed",
                operation=name,
                status=answer.status,
                code=answer.code,
                correlation_id=answer.correlation_id,
                attempt=tries,
            )
            if answer.kind is Kind.RENEW and not renewed:
                renewed = True
                tries -= 1
                await self._token(instead_of=token)
                continue
            wait = self._wait(answer, asked_wait, tries)
            again = answer.kind is Kind.SLOW_DOWN or (answer.kind is Kind.AGAIN and may_repeat)
            if not again or tries >= TRIES or self._clock.monotonic() + wait > deadline:
                raise failure(answer, name, delay=timedelta(seconds=wait) if answer.kind is Kind.SLOW_DOWN else None)
            if answer.kind is Kind.AGAIN:
                await self._clock.sleep(wait)

    @property
    def clock_offset(self) -> timedelta:
        """What must be added to our time to have the platform's; zero while the two agree within a minute."""
        return self._server_clock.offset

    def room(self, lane: Lane) -> tuple[float, int]:
        """How well one more request of this lane would do here; the greater the better. First the seconds that it would wait, negative;
        then what the window has left beyond those that wait already."""
        now = self._clock.monotonic()
        return -self._budget.wait(now, lane), self._budget.remaining(now) - self._turns.waiting(lane)

    def budget(self) -> tuple[int, int, float]:
        """The requests that the present rate window still has, those that we allow ourselves in one, and the seconds for which a 429 still
        holds all of them up."""
        now = self._clock.monotonic()
        return self._budget.remaining(now), self._budget.limit, self._budget.pause(now)

    async def prove(self) -> None:
        """Returns when the login host knows the client. Raises CredentialsRefused or TransientError."""
        await self._tokens.get()

    async def _token(self, *, instead_of: str | None = None) -> str:
        """For work on deliveries a refused client is trouble that passes: whoever runs this will mend it. `Tokens` itself
        tells the two apart."""
        try:
            return await (self._tokens.get() if instead_of is None else self._tokens.renew(instead_of=instead_of))
        except CredentialsRefused as error:
            raise TransientError(str(error), code=ReasonCode.UNAUTHORIZED, delay=timedelta(seconds=REFUSED_PAUSE)) from None

    async def _turn(self, name: str, deadline: float, lane: Lane, urgency: float) -> None:
        """Wait until the budget allows one more request. Raises TransientError where that would take too long."""
        try:
            await self._turns.take(lane, urgency=urgency, deadline=deadline)
        except Crowded as crowded:
            raise TransientError(
                f"{name}: the rate budget is used up", code=ReasonCode.RATE_LIMITED, delay=timedelta(seconds=crowded.wait)
            ) from None

    def _wait(self, answer: Answer, asked_wait: timedelta | None, tries: int) -> float:
        """Seconds until the next try. After a 429 everybody waits, so that the second one of a minute never comes; those that were
        on their way already are the same pause, told of once."""
        if answer.kind is not Kind.SLOW_DOWN:
            return full_jitter(tries, base=_BACKOFF_BASE, cap=_BACKOFF_CAP, random=self._random)
        now = self._clock.monotonic()
        self._metrics.api_rate_limited.inc()
        if self._budget.refused(now, asked_wait.total_seconds() if asked_wait is not None else None):
            self._metrics.api_rate_pauses.inc()
            self._log.warning("rate_limited", pause_seconds=round(self._budget.pause(now), 1), correlation_id=answer.correlation_id)
        return self._budget.pause(now)

    async def _send(
        self,
        name: str,
        method: str,
        path: str,
        token: str,
        params: Mapping[str, str] | None,
        data: bytes | None,
        shape: type | None,
        lane: Lane,
    ) -> tuple[Answer, timedelta | None]:
        """One request and its judged answer, with the wait that the platform asked for. The budget is told of both."""
        started = self._clock.monotonic()
        headers = {"Authorization": f"Bearer {token}", "Accept": "application/json"}
        if data is not None:
            headers["Content-Type"] = "application/json"
        answer: Answer = no_answer("cancelled")
        asked_wait: timedelta | None = None
        received: Mapping[str, str] = {}
        heard = True
        try:
            async with self._session.request(
                method, self._base + path, params=params, data=data, headers=headers, allow_redirects=False, timeout=self._timeout
            ) as response:
                received = response.headers
                body = await _read(response)
            answer = bad_answer(response.status, "the answer is too long") if body is None else classify(response.status, body, received)
            self._server_clock.heard(_server_time(received))
            asked_wait = self._asked_wait(received)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            answer = no_answer(type(error).__name__)
            heard = not isinstance(error, aiohttp.ClientConnectionError) or isinstance(error, TimeoutError)
        finally:
            now = self._clock.monotonic()
            self._budget.ended(lane)
            if not heard:
                self._budget.unheard(now, lane)
            self._budget.learn(now, received)
            if answer.status not in {0, 429}:
                self._budget.served(now)
            self._metrics.api_requests.labels(operation=name, status=str(answer.status) if answer.status else "none").inc()
            self._metrics.api_seconds.labels(operation=name).observe(now - started)
            self._metrics.api_budget.labels(client=self.name).set(self._budget.remaining(now))
            self._turns.changed()
        if answer.kind is Kind.OK and shape is not None and not isinstance(answer.body, shape):
            answer = bad_answer(answer.status, f"the answer is no JSON {_JSON_NAMES.get(shape, shape.__name__)}", answer.correlation_id)
        return answer, asked_wait

    def _asked_wait(self, received: Mapping[str, str]) -> timedelta | None:
        """What the platform asks us to wait. One that makes no sense is told of once, and our own back-off serves instead."""
        told = received.get("Retry-After")
        wait = retry_after(told, now=_server_time(received) or self._clock.now())
        if told is not None and wait is None and not self._retry_after_told:
            self._retry_after_told = True
            self._log.warning("RETRY_AFTER_INVALID", want="seconds or an HTTP date", action="our own back-off is used; told of once")
        return wait

    def _operation(self, method: str, path: str) -> str:
        """The metric's label. Bounded even if a handler makes paths up."""
        name = operation(method, path)
        if name not in self._operations:
            if len(self._operations) >= _OPERATIONS:
                return f"{method} other"
            self._operations.add(name)
        return name


_JSON_NAMES: Mapping[type, str] = {dict: "object", list: "array"}


def check_path(path: str) -> None:
    """Raises PermanentError for a path that is not plainly one below `/api/v2/`: an id taken from an event must lead nowhere else."""
    disguised = any(mark in path.lower() for mark in _DISGUISED)
    if _PATH.fullmatch(path) is None or disguised or {".", ".."} & set(path.split("/")):
        raise PermanentError("the path of a platform request must begin with /api/v2/ and hold plain segments", code=ReasonCode.ID_INVALID)


def _server_time(headers: Mapping[str, str]) -> datetime | None:
    moment = http_date(headers.get("Date", ""))
    return moment if moment is not None and moment.tzinfo is not None else None


async def _read(response: aiohttp.ClientResponse) -> bytes | None:
    """The whole body; None when it is longer than BODY_LIMIT."""
    body = bytearray()
    while chunk := await response.content.read(1 << 20):
        body += chunk
        if len(body) > BODY_LIMIT:
            return None
    return bytes(body)
