"""Tells another system, in the Standard Webhooks 1.0 form: signed, under one id over all attempts, retried for a week.

Alone, or several events in one request: then each keeps its own id, and the receiver may name those that failed. What waits for company
is a delivery under its lease: the ledger has it, and a part-filled batch goes when its time is up.

The URL may hold a token in its path or query: messages name its host alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import SplitResult, unquote, urlsplit

import anyio.to_thread
import orjson
from pydantic import Field, ValidationInfo, field_validator

from genesys_sync.plugin import (
    ConfigurationError,
    Delivery,
    Done,
    Event,
    Handler,
    HttpReply,
    Outcome,
    Park,
    PermanentError,
    Policy,
    ReasonCode,
    Services,
    Skip,
    Topic,
    TransientError,
)
from genesys_sync.standard_webhooks import signature
from genesys_sync_handlers._answers import failed_items, retry_after
from genesys_sync_handlers._config import HandlerConfig, PositiveDuration
from genesys_sync_handlers._gathering import Ending, Gathering, halves
from genesys_sync_handlers._messages import Template, batch, encode, entry, latency, wanted_file
from genesys_sync_handlers._secrets import read_secrets

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
_MALFORMED = frozenset({400, 413, 422})
"""Answers that may be about one item of a batch: its halves are offered apart until the guilty one stands alone."""
_TRANSCRIPT_LIMIT = 16 << 20


@dataclass(frozen=True, slots=True)
class _Item:
    """One delivery on its way into a request."""

    delivery: Delivery
    message: dict[str, Any]


class WebhookConfig(HandlerConfig):
    """One receiver.

    url           where to; https, unless `allow_http`; without credentials in it
    secret_files  one secret `whsec_…` in each file; several while they are rotated: each signs
    secrets_env   the environment variable that holds secrets, separated by spaces, instead of files
    allow_http    take http too: for receivers on this machine during development
    timeout       how long the receiver may take to answer
    template      what is sent: the event, the transcript itself, or the files for a document system
    batch         how many events share a request at most; 1 sends each alone
    batch_within  a batch that is not full goes so long after its first event
    """

    allow_http: bool = False
    url: str
    secret_files: tuple[Path, ...] = ()
    secrets_env: Annotated[str, Field(validate_default=True)] = ""
    timeout: PositiveDuration = timedelta(seconds=15)
    template: Template = "event"
    batch: Annotated[int, Field(ge=1, le=500)] = 1
    batch_within: PositiveDuration = timedelta(seconds=10)

    @field_validator("url")
    @classmethod
    def _addressed(cls, value: str, given: ValidationInfo) -> str:
        # the value is not shown: a path or query may be a token
        parts = _split(value)
        if parts is None or parts.scheme not in {"https", "http"} or not parts.hostname:
            raise ValueError("ENDPOINT_INVALID: must be an absolute https URL")
        if parts.scheme == "http" and not given.data.get("allow_http"):
            raise ValueError("ENDPOINT_INVALID: must begin with https:// (for a receiver on this machine, set allow_http = true)")
        if parts.username is not None or parts.password is not None:
            raise ValueError("ENDPOINT_INVALID: must not hold credentials; the receiver checks the signature")
        if parts.fragment:
            raise ValueError("ENDPOINT_INVALID: must not have a fragment")
        return value

    @field_validator("secrets_env")
    @classmethod
    def _signed(cls, value: str, given: ValidationInfo) -> str:
        if "secret_files" in given.data and bool(given.data["secret_files"]) == bool(value):
            raise ValueError("set secret_files or secrets_env, one of them")
        return value


class Webhook(Handler[WebhookConfig]):
    """Each event is sent until the receiver answers with a 2xx status. 410 parks the handler."""

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
    _gathering: Gathering[_Item]
    _keys: Sequence[bytes] = ()

    def __init__(self, name: str, config: WebhookConfig) -> None:
        super().__init__(name, config)
        self._host = urlsplit(config.url).hostname or ""
        self.endpoint = _canonical(config.url)
        if config.batch > 1:  # two batches at a time: one is on its way while the next gathers
            patience = self.policy.timeout + config.batch_within
            self.policy = replace(self.policy, concurrency=2 * config.batch, timeout=patience)

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncGenerator[None]:
        """Reads the secrets; after a rotation the daemon is restarted. Raises ConfigurationError.

        A name is not looked up here: where it leads can change, which is no reason to archive nothing. The connection tells.
        """
        self._services = services
        self._keys = await self._proved(services, names=False)
        size = min(self.config.batch, self.policy.concurrency)  # more would wait for company that cannot come
        self._gathering = Gathering(self._send, size=size, within=self.config.batch_within, clock=services.clock)
        yield

    async def check(self, services: Services) -> None:
        """Proves that the secrets can be read and used, and that requests to the address are allowed. Sends nothing: a receiver has no use
        for a trial."""
        await self._proved(services, names=True)

    async def _proved(self, services: Services, *, names: bool) -> tuple[bytes, ...]:
        """The keys. Raises ConfigurationError for those that cannot be used and for an address that may not be reached, both at once."""
        keys: tuple[bytes, ...] = ()
        problems: list[str] = []
        try:
            keys = await anyio.to_thread.run_sync(self._read_secrets)
        except ConfigurationError as error:
            problems += error.problems
        if (names or _is_address(self._host)) and not await services.http.admits(self.config.url):
            problems.append(
                f"handlers.{self.name}.config.url: ENDPOINT_INVALID: its address is private, loopback or reserved; if that is meant, add "
                'its network to http.allow_private, such as ["127.0.0.0/8"] for this machine'
            )
        if problems:
            raise ConfigurationError(problems)
        return keys

    async def handle(self, event: Event, delivery: Delivery) -> Outcome:
        """One request, or a share in one. The same id and the same message at every attempt; the receiver knows a repeat by the id."""
        if event.topic == Topic.DELIVERY_DEAD_LETTERED and event.body.get("handler") == self.name:
            return Skip("a receiver is not told of its own dead letters: each would beget another")
        transcript = await self._transcript(event) if self.config.template == "transcript" else None
        message = entry(event, template=self.config.template, transcript=transcript)
        if self.config.batch > 1:
            outcome = await self._gathering.join(delivery.id, _Item(delivery, message))
        else:
            outcome = self._judge(await self._post(delivery.id, encode(message)), delivery)
        if isinstance(outcome, Done):
            self._services.audit.record(
                "webhook.deliver", event.id, receiver=self._host, template=self.config.template, latency=latency(event)
            )
        return outcome

    async def _transcript(self, event: Event) -> object:
        """What the transcript file holds, proved by its hash; None when the event tells of none."""
        wanted = wanted_file(event)
        if wanted is None:
            return None
        key, sha256 = wanted
        try:
            data = await self._services.storage.read(key, limit=_TRANSCRIPT_LIMIT)
        except FileNotFoundError:
            raise PermanentError(f"{key} is not in the archive any more", code=ReasonCode.NOT_FOUND) from None
        if hashlib.sha256(data).hexdigest() != sha256:
            raise PermanentError(f"{key} is not what was archived: its SHA-256 differs", code=ReasonCode.MEDIA_CHANGED)
        return orjson.loads(data)

    async def _send(self, items: Mapping[str, _Item]) -> dict[str, Ending]:
        """One request for all; where the receiver finds a fault with the whole, one for each half."""
        message_id, body = batch({delivery: item.message for delivery, item in items.items()})
        try:
            reply = await self._post(message_id, body)
        except (TransientError, PermanentError) as error:
            return dict.fromkeys(items, error)
        if reply.status in _MALFORMED and len(items) > 1:
            first, second = halves(sorted(items))
            return {**await self._send({key: items[key] for key in first}), **await self._send({key: items[key] for key in second})}
        failed = failed_items(reply) if 200 <= reply.status < 300 else {}
        return {key: self._ending(reply, item.delivery, failed) for key, item in items.items()}

    def _ending(self, reply: HttpReply, delivery: Delivery, failed: Mapping[str, str] | None) -> Ending:
        if failed is None:
            return self._refusal("answered 207 without saying which items failed")
        if delivery.id in failed:
            code = failed[delivery.id]
            return self._refusal(f"answered {reply.status} and names this item as failed" + (f": {code}" if code else ""))
        try:
            return self._judge(reply, delivery)
        except TransientError as error:
            return error

    async def _post(self, message_id: str, body: bytes) -> HttpReply:
        timestamp = int(self._services.now().timestamp())
        headers = {
            "content-type": "application/json",
            "webhook-id": message_id,
            "webhook-timestamp": str(timestamp),
            "webhook-signature": signature(self._keys, message_id=message_id, timestamp=timestamp, body=body),
        }
        return await self._services.http.request("POST", self.config.url, headers=headers, body=body, timeout=self.config.timeout)

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
        raise self._refusal(f"answered {reply.status}", delay)

    def _refusal(self, what: str, delay: timedelta | None = None) -> TransientError:
        return TransientError(f"{self._host} {what}", delay=delay, code=ReasonCode.RECEIVER_REFUSED)

    def _read_secrets(self) -> tuple[bytes, ...]:
        return read_secrets(f"handlers.{self.name}.config", self.config.secret_files, self.config.secrets_env)


def _is_address(host: str) -> bool:
    """Whether the host is no name but an address, in an odd spelling too: `0177.0.0.1`, `2130706433`."""
    last = host.rstrip(".").rpartition(".")[2]
    return ":" in host or last.isdigit() or last.startswith("0x")


def _canonical(url: str) -> str:
    """One form for all that stand for the same address: small letters in scheme and host, no usual port, an empty path as `/`."""
    parts = urlsplit(url)
    scheme, host = parts.scheme.lower(), (parts.hostname or "").rstrip(".")
    port = parts.port or {"https": 443, "http": 80}[scheme]
    return f"{scheme}://{host}:{port}{unquote(parts.path) or '/'}?{parts.query}"


def _split(url: str) -> SplitResult | None:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return None
    return parts
