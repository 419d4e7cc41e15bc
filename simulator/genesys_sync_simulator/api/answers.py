"""How the platform answers: JSON, its error body, and the few checks that every operation shares."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Mapping, Sequence
from math import ceil
from typing import Any, TypeVar
from urllib.parse import urlencode

from aiohttp import web

from genesys_sync_simulator.oauth import Token
from genesys_sync_simulator.platform import Platform, encoded

Json = dict[str, Any]
Operation = Callable[[web.Request], Awaitable[web.StreamResponse]]
T = TypeVar("T")

TOKEN: web.RequestKey[Token] = web.RequestKey("token", Token)
CORRELATION: web.RequestKey[str] = web.RequestKey("correlation", str)
_UUID = re.compile("[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}")

VIEW_RECORDINGS = (
    "recording:recording:view",
    "recording:recordingSegment:view",
    "recording:snippetRecording:view",
    "recording:screenRecording:view",
)
"""Any of these lets a client read recordings."""


class ApiError(Exception):
    """Ends an operation with the platform's error body."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        details: Sequence[Json] = (),
        limit: Json | None = None,
    ) -> None:
        super().__init__(code)
        self.status, self.code, self.message = status, code, message
        self.params, self.headers = dict(params or {}), dict(headers or {})
        self.details, self.limit = list(details), limit

    def response(self, context_id: str) -> web.Response:
        """The published ErrorBody. `messageWithParams` holds the sentence with its parameters not filled in."""
        template = self.message
        for name, value in self.params.items():
            template = template.replace(value, f"{{{name}}}") if value else template
        body: Json = {
            "message": self.message,
            "code": self.code,
            "status": self.status,
            "messageWithParams": template,
            "messageParams": self.params,
            "contextId": context_id,
            "details": self.details,
            "errors": [],
        }
        if self.limit is not None:
            body["limit"] = self.limit
        return reply(body, status=self.status, headers=self.headers)


def get(path: str, operation: Operation) -> web.RouteDef:
    """A GET operation. HEAD is an operation of its own where the platform publishes it."""
    return web.get(path, operation, allow_head=False)


def reply(body: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> web.Response:
    """A JSON answer."""
    return web.Response(
        body=encoded(body),
        status=status,
        headers=headers,
        content_type="application/json",
    )


def empty(status: int) -> web.Response:
    """An answer without a body."""
    return web.Response(status=status)


def is_id(text: str) -> bool:
    """Whether a text has the form of the platform's ids."""
    return _UUID.fullmatch(text) is not None


def bad_request(message: str, *, code: str = "bad.request") -> ApiError:
    return ApiError(400, code, message)


def token(request: web.Request) -> Token:
    """The bearer token that the request was let in with."""
    return request[TOKEN]


def need_all(request: web.Request, *permissions: str) -> None:
    """Raises the published refusal that names the permissions the client lacks."""
    missing = [permission for permission in permissions if permission not in token(request).client.permissions]
    if missing:
        named = ", ".join(missing)
        sentence = f"Unable to perform the requested action. You are missing the following permission(s): {named}"
        raise ApiError(403, "missing.permissions", sentence, params={"permissions": named})


def need_any(request: web.Request, *permissions: str) -> None:
    """Raises the published refusal unless the client has at least one."""
    if not any(permission in token(request).client.permissions for permission in permissions):
        named = ", ".join(permissions)
        sentence = f"Unable to perform the requested action. You must have at least one of the following permissions assigned: {named}"
        raise ApiError(403, "missing.any.permissions", sentence, params={"permissions": named})


async def body(request: web.Request) -> Any:
    """The JSON body; 415 for another type, 400 for what is no JSON."""
    data = await request.read()
    if data and request.content_type != "application/json":
        raise ApiError(415, "unsupported.media.type", "The request body must be application/json.")
    try:
        return json.loads(data)
    except ValueError:
        raise bad_request("The request body is not well formed JSON.", code="invalid.json") from None


def number(request: web.Request, name: str, default: int, *, low: int = 1, high: int = 10_000_000) -> int:
    """A whole number from the query."""
    text = request.query.get(name)
    if text is None:
        return default
    try:
        value = int(text)
    except ValueError:
        value = low - 1
    if not low <= value <= high:
        raise bad_request(f"The query parameter {name} must be a whole number from {low} to {high}.", code="invalid.value")
    return value


def flag(request: web.Request, name: str, *, default: bool = False) -> bool:
    """A truth value from the query."""
    text = request.query.get(name)
    if text is None:
        return default
    if text.lower() not in ("true", "false"):
        raise bad_request(f"The query parameter {name} must be true or false.", code="invalid.value")
    return text.lower() == "true"


def several(request: web.Request, name: str) -> list[str]:
    """A list from the query, given with commas, by repetition, or both."""
    return [part for text in request.query.getall(name, []) for part in text.split(",") if part]


def paged(request: web.Request, entities: Sequence[Any], *, most: int = 500) -> web.Response:
    """One page of a listing with `pageNumber` and `pageSize`, and its links."""
    size, page = number(request, "pageSize", 25, high=most), number(request, "pageNumber", 1)
    pages = ceil(len(entities) / size)

    def link(which: int) -> str:
        return f"{request.path}?{urlencode({**request.query, 'pageSize': size, 'pageNumber': which})}"

    found: Json = {
        "entities": list(entities[(page - 1) * size : page * size]),
        "pageSize": size,
        "pageNumber": page,
        "total": len(entities),
        "firstUri": link(1),
        "selfUri": link(page),
        "lastUri": link(max(1, pages)),
        "pageCount": pages,
    }
    if page < pages:
        found["nextUri"] = link(page + 1)
    if 1 < page <= pages + 1:
        found["previousUri"] = link(page - 1)
    return reply(found)


def found(thing: T | None, code: str, message: str) -> T:
    """The thing, or the published 404."""
    if thing is None:
        raise ApiError(404, code, message)
    return thing


def limit(platform: Platform) -> Json:
    """The limit that a 429 names."""
    return {"key": "client.credentials.token.rate.per.minute", "namespace": "platform.api", "value": platform.rules.rate_limit_per_minute}
