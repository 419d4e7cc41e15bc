"""Requests to speech services: the key that opens them, forms with a file streamed from disk, and what a refusal means."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit

import orjson
from pydantic import AfterValidator, model_validator

from genesys_sync.plugin import Failed, HttpReply, Provider, ReasonCode, Services, TranscriptionJob, TransientError
from genesys_sync_handlers._answers import retry_after
from genesys_sync_handlers._config import HandlerConfig, PositiveDuration
from genesys_sync_handlers._secrets import read_key

_CODE = re.compile(r"[A-Za-z0-9_.-]{1,60}")
_FINAL = frozenset({400, 402, 409, 413, 415, 422})
ANSWER_LIMIT = 64 << 20


def _address(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment or parts.username is not None:
        raise ValueError('must be an http or https URL without credentials, such as "https://speech.example.com"')
    return value.rstrip("/")


class ServiceConfig(HandlerConfig):
    """How a service is reached. `http` takes an address of `http.allow_private` alone."""

    url: Annotated[str, AfterValidator(_address)]
    key_file: Path | None = None
    key_env: str = ""
    timeout: PositiveDuration

    @model_validator(mode="after")
    def _one_key(self) -> ServiceConfig:
        if self.key_file is not None and self.key_env:
            raise ValueError("set key_file or key_env, not both")
        return self

    def headers(self, prefix: str) -> dict[str, str]:
        """The key, read now. Raises ConfigurationError."""
        key = read_key(prefix, self.key_file, self.key_env)
        return {"Authorization": f"Bearer {key}"} if key else {}


ServiceT = TypeVar("ServiceT", bound=ServiceConfig)


class HttpProvider(Provider[ServiceT]):
    """A provider that is a service reached over HTTP. Its key is read once, when it is opened."""

    _services: Services
    _headers: dict[str, str]

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncGenerator[None]:
        """Reads the key; holds nothing open. Raises ConfigurationError."""
        self._services = services
        self._headers = self.config.headers(f"providers.{self.name}.config")
        yield

    async def hand_over(self, path: str, job: TranscriptionJob, values: Sequence[tuple[str, str]], *, name: str) -> HttpReply:
        """The answer to a form with these fields and the job's sound under `name`. Sent again it has the same idempotency key."""
        boundary = f"genesys-sync-{job.key}"
        return await self._services.http.transfer(
            "POST",
            f"{self.config.url}{path}",
            headers={**self._headers, "Content-Type": f"multipart/form-data; boundary={boundary}", "Idempotency-Key": job.key},
            body=form(boundary, values, name=name, media=job.media, content_type=job.content_type),
            answer_limit=ANSWER_LIMIT,
            timeout=self.config.timeout,
        )


def form(boundary: str, values: Iterable[tuple[str, str]], *, name: str, media: Path, content_type: str) -> list[bytes | Path]:
    """A multipart body: these fields, then the file, which stays on disk. The file's name is made of its type: ours tells of calls."""
    pieces = bytearray()
    for field, value in values:
        pieces += f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"\r\n\r\n{value}\r\n'.encode()
    ending = media.suffix if re.fullmatch(r"\.[a-z0-9]{2,5}", media.suffix) else ".bin"
    pieces += f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="media{ending}"\r\n'.encode()
    pieces += f"Content-Type: {content_type or 'application/octet-stream'}\r\n\r\n".encode()
    return [bytes(pieces), media, f"\r\n--{boundary}--\r\n".encode()]


def parsed(reply: HttpReply) -> dict[str, Any]:
    """The JSON object of a good answer. Raises TransientError(BAD_ANSWER): a proxy's page, half a body."""
    try:
        body = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        body = None
    if not isinstance(body, dict):
        raise TransientError("the speech provider's answer is no JSON object", code=ReasonCode.BAD_ANSWER)
    return body


def refusal(reply: HttpReply, *, now: datetime) -> Failed:
    """What an answer that is not 2xx means: this recording is refused for good, or (raises TransientError) again may help. A key that is
    refused may be corrected, so it is tried again."""
    code = error_code(reply)
    said = f"the speech provider answered {reply.status}{f' {code}' if code else ''}"
    if reply.status in _FINAL:
        return Failed(code or f"http_{reply.status}", said)
    delay = retry_after(reply, now=now)
    if reply.status == 429:
        raise TransientError(said, delay=delay, code=ReasonCode.RATE_LIMITED)
    if reply.status in (401, 403):
        raise TransientError(f"{said}: look at its key", code=ReasonCode.UNAUTHORIZED)
    reason = ReasonCode.RECEIVER_UNREACHABLE if reply.status >= 500 or reply.status == 408 else ReasonCode.RECEIVER_REFUSED
    raise TransientError(said, delay=delay, code=reason)


def error_code(reply: HttpReply) -> str:
    """The service's own code, if it told one that can be printed; its sentences may quote what was said."""
    try:
        body = orjson.loads(reply.body)
    except orjson.JSONDecodeError:
        return ""
    error = body.get("error") if isinstance(body, dict) else None
    return code_of(error)


def code_of(error: object) -> str:
    """Of an error object: its `code`, else its `type`."""
    if isinstance(error, dict):
        for key in ("code", "type"):
            value = error.get(key)
            if isinstance(value, str) and _CODE.fullmatch(value):
                return value
    return ""
