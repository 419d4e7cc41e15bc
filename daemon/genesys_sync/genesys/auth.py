"""The token: asked for once however many want it, renewed early, never hammered for.

States: none or usable ──80 % of its life──► renewed with the next use; a renewal that fails leaves the old token in use until its
end. A refusal is remembered for five minutes, any other failure for a growing moment, and raised to whoever asks in between.
"""

from __future__ import annotations

import base64
import math
from copy import copy
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import anyio
import orjson

from genesys_sync.backoff import full_jitter, retry_after
from genesys_sync.clock import Clock
from genesys_sync.errors import CredentialsRefused, GenesysSyncError, ReasonCode, TransientError
from genesys_sync.genesys.answers import clean_text
from genesys_sync.logs import get_logger
from genesys_sync.scrubbing import register_secret
from genesys_sync.settings import Credentials

LIFE_MAX = 172_800.0
"""The longest life that the platform grants, in seconds; a longer one in an answer is taken as this."""
REFUSED_PAUSE = 300.0
_EARLY = 0.8
_FORCED_PAUSE = 10.0
_BODY_LIMIT = 64 << 10

_REFUSED = (
    "the login host refused the OAuth client ({told}): the client id or secret is wrong, or it belongs to another region than the one set"
)


@dataclass(frozen=True, slots=True)
class _Token:
    secret: str
    renew_at: float
    ends_at: float

    def __repr__(self) -> str:
        return f"_Token(renew_at={self.renew_at}, ends_at={self.ends_at})"


class NotAsked(TransientError):
    """The platform was to be left alone."""


class Tokens:
    """The access token of one OAuth client (client credentials grant)."""

    def __init__(
        self, session: aiohttp.ClientSession, login_url: str, credentials: Credentials, *, clock: Clock, timeout: timedelta
    ) -> None:
        self._session = session
        self._url = f"{login_url}/oauth/token"
        self._credentials = credentials
        self._clock = clock
        self._timeout = aiohttp.ClientTimeout(total=timeout.total_seconds())
        self._lock = anyio.Lock()
        self._token: _Token | None = None
        self._failure: GenesysSyncError | None = None
        self._failures = 0
        self._again_at = 0.0
        self._forced_at = -math.inf
        self._withheld = False
        self._log = get_logger(__name__)

    async def get(self) -> str:
        """A usable token. Of many that ask together one makes the request; when it is cancelled, the next one does.

        Raises CredentialsRefused, or TransientError when the login host cannot be reached or answers nonsense.
        """
        if self._withheld:
            raise NotAsked("the platform is not asked", code=ReasonCode.UNREACHABLE)
        token = self._token
        if token is not None and self._clock.monotonic() < token.renew_at:
            return token.secret
        async with self._lock:
            return await self._fresh()

    async def renew(self, *, instead_of: str | None = None) -> str:
        """A token other than `instead_of` (by default: than the present one), which the platform no longer takes.

        Whoever comes second with the same one gets what the first was given. Forced renewals are at least 10 s apart; in
        between, the present token is returned. Raises like `get`.
        """
        refused = instead_of if instead_of is not None else (self._token.secret if self._token else None)
        async with self._lock:
            now = self._clock.monotonic()
            if self._token is not None and self._token.secret == refused and now - self._forced_at >= _FORCED_PAUSE:
                self._forced_at = now
                self._token = None
            return await self._fresh()

    def withhold(self) -> None:
        """From now on none is given: whoever would ask the platform gets NotAsked."""
        self._withheld = True

    def invalidate(self) -> None:
        """Forget the token: the platform has said that it was revoked. The next use asks for another."""
        self._token = None

    def refresh(self) -> None:
        """The next use asks for another token; the present one serves for as long as none is to be had."""
        if self._token is not None:
            self._token = replace(self._token, renew_at=self._clock.monotonic())

    @property
    def ends_at(self) -> float | None:
        """The monotonic time at which the present token ends, and with it every channel that it made; None when there is none."""
        return self._token.ends_at if self._token is not None else None

    async def _fresh(self) -> str:
        """With the lock held: the present token while it is young, else a new one, else the old one to its end."""
        now = self._clock.monotonic()
        token = self._token
        if token is not None and now < token.renew_at:
            return token.secret
        usable = token is not None and now < token.ends_at
        if self._failure is not None and now < self._again_at:
            if token is not None and usable:
                return token.secret
            raise copy(self._failure)
        try:
            self._token = await self._ask()
        except (CredentialsRefused, TransientError) as error:
            self._remember(error)
            if token is not None and usable:
                self._log.warning("token_renewal_failed", reason=str(error))
                return token.secret
            raise
        self._failure, self._failures = None, 0
        register_secret(self._token.secret, replaces=token.secret if token is not None else "")
        return self._token.secret

    def _remember(self, error: CredentialsRefused | TransientError) -> None:
        self._failure = error
        self._failures += 1
        if isinstance(error, CredentialsRefused):
            pause = REFUSED_PAUSE
        elif error.delay is not None:
            pause = error.delay.total_seconds()
        else:
            pause = full_jitter(self._failures, base=1, cap=30, random=lambda: 1.0)
        self._again_at = self._clock.monotonic() + pause

    async def _ask(self) -> _Token:
        client = f"{self._credentials.client_id.get_secret_value()}:{self._credentials.client_secret.get_secret_value()}"
        try:
            async with self._session.post(
                self._url,
                data={"grant_type": "client_credentials"},
                headers={"Authorization": "Basic " + base64.b64encode(client.encode()).decode()},
                allow_redirects=False,
                timeout=self._timeout,
            ) as response:
                body = await _read(response)
                status, asked_wait = response.status, response.headers.get("Retry-After")
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            host = urlsplit(self._url).hostname
            raise TransientError(
                f"the login host {host} could not be reached ({type(error).__name__}): check genesys.region and the network",
                code=ReasonCode.UNREACHABLE,
            ) from None
        if status == 200:
            return self._parse(body)
        raise self._refusal(status, body, retry_after(asked_wait, now=self._clock.now()))

    def _parse(self, body: bytes) -> _Token:
        answer = _object(body)
        secret, life = answer.get("access_token"), answer.get("expires_in")
        if not isinstance(secret, str) or not secret or not secret.isascii() or not secret.isprintable():
            raise TransientError("AUTH_BAD_ANSWER: the login host's answer holds no access token", code=ReasonCode.BAD_ANSWER)
        if isinstance(life, bool) or not isinstance(life, int | float) or not math.isfinite(life) or life < 1:
            raise TransientError("AUTH_BAD_ANSWER: expires_in in the login host's answer is no time", code=ReasonCode.BAD_ANSWER)
        now = self._clock.monotonic()
        span = min(float(life), LIFE_MAX)
        self._log.info("token_renewed", life_seconds=round(span))
        return _Token(secret, now + _EARLY * span, now + span)

    def _refusal(self, status: int, body: bytes, wait: timedelta | None) -> CredentialsRefused | TransientError:
        told = _object(body).get("error")
        word = clean_text(told)[:60] if isinstance(told, str) else ""
        if 300 <= status < 400:
            sentence = f"REDIRECT_REFUSED: the login host answered {status}, a redirect, which is never followed: check genesys.login_url"
            return TransientError(sentence, code=ReasonCode.BAD_ANSWER, delay=wait)
        if status in {400, 401} and (word in {"invalid_client", "unauthorized_client", "invalid_grant"} or (status == 401 and not word)):
            return CredentialsRefused(_REFUSED.format(told=word or f"status {status}"))
        code = ReasonCode.RATE_LIMITED if status == 429 else ReasonCode.UNREACHABLE if status >= 500 else ReasonCode.BAD_ANSWER
        return TransientError(f"the login host answered {status} {word}".rstrip(), code=code, delay=wait)


async def _read(response: aiohttp.ClientResponse) -> bytes:
    body = bytearray()
    while len(body) <= _BODY_LIMIT and (chunk := await response.content.read(_BODY_LIMIT)):
        body += chunk
    return bytes(body)


def _object(body: bytes) -> dict[str, Any]:
    try:
        parsed = orjson.loads(body)
    except orjson.JSONDecodeError:
        return {}
    return parsed if isinstance(parsed, dict) else {}
