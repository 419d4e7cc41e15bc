"""What both providers ask of every request: a key, patience, and media that are not too large."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import BodyPartReader, web

from genesys_sync_simulator.providers.desk import Desk

_MOST_FIELDS = 100
_LONGEST_FIELD = 64_000


class Refused(Exception):
    """Ends a request with an error body: `{"error": {"message", "type", "param", "code"}}`."""

    def __init__(self, status: int, code: str, message: str, *, param: str | None = None, retry_after: int | None = None) -> None:
        super().__init__(code)
        self.status, self.code, self.message, self.param, self.retry_after = status, code, message, param, retry_after

    def response(self) -> web.Response:
        kinds = {401: "authentication_error", 429: "rate_limit_error", 500: "server_error", 503: "server_error"}
        error = {
            "message": self.message,
            "type": kinds.get(self.status, "invalid_request_error"),
            "param": self.param,
            "code": self.code,
        }
        headers = {"Retry-After": str(self.retry_after)} if self.retry_after is not None else {}
        return answer({"error": error}, status=self.status, headers=headers)


@dataclass(slots=True)
class Form:
    """A request's fields and its media. A field that may come several times holds all its values."""

    fields: dict[str, list[str]] = field(default_factory=dict)
    media: bytes | None = None

    def one(self, name: str, default: str = "") -> str:
        return self.fields.get(name, [default])[-1]

    def several(self, name: str) -> list[str]:
        return [*self.fields.get(name, []), *self.fields.get(f"{name}[]", [])]

    def flag(self, name: str) -> bool:
        """True or false; Refused for anything else."""
        text = self.one(name, "false").lower()
        if text not in ("true", "false"):
            raise Refused(400, "invalid_value", f"{name} must be true or false.", param=name)
        return text == "true"


def answer(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    text = json.dumps(body, separators=(",", ":"), ensure_ascii=False)
    return web.Response(text=text, status=status, headers=headers, content_type="application/json")


def let_in(desk: Desk, request: web.Request) -> None:
    """Counts the request. Raises Refused for a wrong key, and when a fault is due."""
    desk.counts["requests"] += 1
    if request.headers.get("Authorization") != f"Bearer {desk.rules.api_key}":
        raise Refused(401, "invalid_api_key", "The API key is missing or not known.")
    if request.method != "POST":
        return
    match desk.spoils():
        case "rate_limited":
            raise Refused(429, "rate_limit_exceeded", "Too many requests; try again in a second.", retry_after=1)
        case "server_error":
            raise Refused(503, "overloaded", "The service is overloaded for the moment.")
        case _:
            return


async def read_form(desk: Desk, request: web.Request, *, media: tuple[str, ...]) -> Form:
    """The fields and the file of a multipart body; `media` are the names that the file may have. Raises Refused."""
    form = Form({name: request.query.getall(name) for name in request.query})
    if not request.content_type.startswith("multipart/"):
        form.media = await _read(request.content, desk.rules.max_bytes)
        return form
    try:
        async for part in await request.multipart():
            if not isinstance(part, BodyPartReader) or part.name is None:
                raise Refused(400, "invalid_form", "The form has a part that is no field.")
            if part.name in media:
                form.media = await _read_part(part, desk.rules.max_bytes)
                continue
            text = (await _read_part(part, _LONGEST_FIELD)).decode("utf-8", "replace")
            form.fields.setdefault(part.name, []).append(text)
            if sum(map(len, form.fields.values())) > _MOST_FIELDS:
                raise Refused(400, "invalid_form", f"A form may have at most {_MOST_FIELDS} fields.")
    except ValueError as error:
        raise Refused(400, "invalid_form", "The body is not a well formed multipart form.") from error
    return form


async def _read(content: Any, most: int) -> bytes:
    data = bytearray()
    async for piece in content.iter_chunked(1 << 16):
        data += piece
        _within(len(data), most)
    return bytes(data)


async def _read_part(part: BodyPartReader, most: int) -> bytes:
    data = bytearray()
    while piece := await part.read_chunk(1 << 16):
        data += piece
        _within(len(data), most)
    return bytes(data)


def _within(size: int, most: int) -> None:
    if size > most:
        raise Refused(413, "file_too_large", f"The file is larger than {most} bytes.", param="file")
