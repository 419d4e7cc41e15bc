"""Tells another system, in the Standard Webhooks 1.0 form: signed, under one id over all attempts, retried for a week.

The URL may hold a token in its path or query: messages name its host alone.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Self
from urllib.parse import SplitResult, urlsplit

import anyio.to_thread
import orjson
from pydantic import field_validator, model_validator

from genesys_sync.plugin import (
    ConfigurationError,
    Delivery,
    Done,
    Event,
    Handler,
    HttpReply,
    Outcome,
    Park,
    Policy,
    ReasonCode,
    Services,
    Skip,
    Topic,
    TransientError,
    iso,
)
from genesys_sync_handlers._config import HandlerConfig, PositiveDuration
from genesys_sync_handlers._signing import parse_secret, signature

_SCHEDULE = tuple(
    timedelta(seconds=seconds)
    for seconds in (
        5,
        300,
        1800,
        2 * 3600,
        5 * 3600,
        10 * 3600,
        14 * 3600,
        20 * 3600,
        24 * 3600,
        24 * 3600,
        24 * 3600,
        24 * 3600,
        24 * 3600,
    )
)
_GONE = 410


class WebhookConfig(HandlerConfig):
    """One receiver.

    url           where to; https, unless `allow_http`; without credentials in it
    secret_files  one secret `whsec_…` in each file; several while they are rotated: each signs
    secrets_env   the environment variable that holds secrets, separated by spaces, instead of files
    allow_http    take http too: for receivers on this machine during development
    timeout       how long the receiver may take to answer
    """

    url: str
    secret_files: tuple[Path, ...] = ()
    secrets_env: str = ""
    allow_http: bool = False
    timeout: PositiveDuration = timedelta(seconds=15)

    @field_validator("url")
    @classmethod
    def _addressed(cls, value: str) -> str:
        # the value is not shown: a path or query may be a token
        parts = _split(value)
        if parts is None or parts.scheme not in {"https", "http"} or not parts.hostname:
            raise ValueError("ENDPOINT_INVALID: must be an absolute https URL")
        if parts.username is not None or parts.password is not None:
            raise ValueError("ENDPOINT_INVALID: must not hold credentials; the receiver checks the signature")
        if parts.fragment:
            raise ValueError("ENDPOINT_INVALID: must not have a fragment")
        return value

    @model_validator(mode="after")
    def _safe(self) -> Self:
        if urlsplit(self.url).scheme == "http" and not self.allow_http:
            raise ValueError("url: ENDPOINT_INVALID: must begin with https:// (for a receiver on this machine, set allow_http = true)")
        if bool(self.secret_files) == bool(self.secrets_env):
            raise ValueError("set secret_files or secrets_env, one of them")
        return self


class Webhook(Handler[WebhookConfig]):
    """Each event becomes one request, until the receiver answers with a 2xx status. 410 parks the handler."""

    config_type = WebhookConfig
    topics = (Topic.MEDIA_VERIFIED, Topic.MEDIA_REJECTED, Topic.RECORDING_LOST, Topic.DELIVERY_DEAD_LETTERED)
    policy = Policy(
        concurrency=8,
        timeout=timedelta(minutes=1),
        attempts=len(_SCHEDULE) + 1,
        time_limit=timedelta(days=8),
        schedule=_SCHEDULE,
    )
    _services: Services
    _keys: Sequence[bytes] = ()

    def __init__(self, name: str, config: WebhookConfig) -> None:
        super().__init__(name, config)
        self._host = urlsplit(config.url).hostname or ""

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncGenerator[None]:
        """Reads the secrets; after a rotation the daemon is restarted. Raises ConfigurationError."""
        self._services = services
        self._keys = await anyio.to_thread.run_sync(self._read_secrets)
        yield

    async def check(self, services: Services) -> None:  # noqa: ARG002 - the interface's signature; secrets are files of our own
        """Proves that the secrets can be read and used. Sends nothing: a receiver has no use for a trial."""
        await anyio.to_thread.run_sync(self._read_secrets)

    async def handle(self, event: Event, delivery: Delivery) -> Outcome:
        """One request. The same id and the same body at every attempt; the receiver knows a repeat by the id."""
        if event.topic == Topic.DELIVERY_DEAD_LETTERED and event.body.get("handler") == self.name:
            return Skip("a receiver is not told of its own dead letters: each would beget another")
        body = message(event)
        timestamp = int(self._services.now().timestamp())
        headers = {
            "content-type": "application/json",
            "webhook-id": delivery.id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self._keys, message_id=delivery.id, timestamp=timestamp, body=body),
        }
        reply = await self._services.http.request("POST", self.config.url, headers=headers, body=body, timeout=self.config.timeout)
        return self._judge(reply, delivery)

    def _judge(self, reply: HttpReply, delivery: Delivery) -> Outcome:
        if 200 <= reply.status < 300:
            return Done(note=f"{self._host} answered {reply.status}")
        if reply.status == _GONE:
            return Park(
                f"{self._host} answered 410: the endpoint wants no more webhooks; when it does again, genesys-sync resume {self.name}"
            )
        # refusals that other clients take as final are retried too: a receiver may be misconfigured for an hour
        planned = _SCHEDULE[min(delivery.attempt, len(_SCHEDULE)) - 1]
        asked = retry_after(reply, now=self._services.now())
        # less than the planned wait leaves the plan in force; more is granted up to twice the plan
        delay = None if asked is None or asked <= planned else min(asked, 2 * planned)
        raise TransientError(f"{self._host} answered {reply.status}", delay=delay, code=ReasonCode.RECEIVER_REFUSED)

    def _read_secrets(self) -> tuple[bytes, ...]:
        """Every key, in the order given. Raises ConfigurationError with all faults; no message shows a secret."""
        problems: list[str] = []
        keys: list[bytes] = []
        for source, text in self._secret_texts(problems):
            try:
                keys.append(parse_secret(text))
            except ValueError as error:
                problems.append(f"{source}: {error}")
        if problems:
            raise ConfigurationError(problems)
        return tuple(keys)

    def _secret_texts(self, problems: list[str]) -> list[tuple[str, str]]:
        prefix = f"handlers.{self.name}.config"
        if self.config.secrets_env:
            source = f"{prefix}.secrets_env"
            texts = os.environ.get(self.config.secrets_env, "").split()
            if not texts:
                problems.append(f"{source}: the environment variable {self.config.secrets_env} is not set")
            return [(source, text) for text in texts]
        found: list[tuple[str, str]] = []
        for path in self.config.secret_files:
            source = f"{prefix}.secret_files: {path}"
            try:
                if _exposed(path):
                    problems.append(f"{source}: SECRET_EXPOSED: may be read by others; chmod 600 it")
                    continue
                found.append((source, path.read_text(encoding="utf-8").strip()))
            except (OSError, UnicodeDecodeError) as error:
                problems.append(f"{source}: {error.strerror if isinstance(error, OSError) else 'is not text'}")
        return found


def message(event: Event) -> bytes:
    """The request's body: a pure function of the event, so every attempt sends the same bytes."""
    data = {
        **event.body,
        "eventId": event.id,
        "organizationId": event.organization_id,
        "conversationId": event.conversation_id,
        "recordingId": event.recording_id,
    }
    return orjson.dumps({"type": str(event.topic), "timestamp": iso(event.occurred_at), "data": data}, option=orjson.OPT_SORT_KEYS)


def retry_after(reply: HttpReply, *, now: datetime) -> timedelta | None:
    """How long the receiver asks to wait, in either form of RFC 9110; None when it does not ask, or asks for nothing that can be read.

    A date is read against the receiver's own `Date`, so that a wrong clock on either side does not stretch the wait.
    """
    headers = {name.lower(): value for name, value in reply.headers.items()}
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=min(int(text), 10**9)) if len(text) < 12 else None
    moment = _date(text)
    if moment is None:
        return None
    return max(moment - (_date(headers.get("date", "")) or now), timedelta(0))


def _date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts


def _exposed(path: Path) -> bool:
    """Whether others may read the file. systemd guards its credentials folder itself, and shows group bits there for its own reasons."""
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder and path.resolve().is_relative_to(Path(folder).resolve()):
        return False
    return bool(path.stat().st_mode & 0o077)
