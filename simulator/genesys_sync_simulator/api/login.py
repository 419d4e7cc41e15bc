"""The login host: `POST /oauth/token` for client credentials. Its errors have their own shape."""

from __future__ import annotations

import base64
import binascii
from urllib.parse import unquote_plus

from aiohttp import web

from genesys_sync_simulator.api.answers import reply
from genesys_sync_simulator.platform import Platform


def routes(platform: Platform) -> list[web.RouteDef]:
    """Operations of the login host."""

    async def token(request: web.Request) -> web.Response:
        if request.content_type != "application/x-www-form-urlencoded":
            return _error(400, "invalid_request", "the body must be application/x-www-form-urlencoded")
        form = {name: value for name, value in (await request.post()).items() if isinstance(value, str)}
        header = request.headers.get("Authorization")
        offered = _basic(header) if header is not None else [(form.get("client_id", ""), form.get("client_secret", ""))]
        if "grant_type" not in form:
            return _error(400, "invalid_request", "grant_type is required")
        if form["grant_type"] != "client_credentials":
            return _error(400, "unsupported_grant_type", "the simulator grants client_credentials only")
        client = next((one for pair in offered if (one := platform.tokens.authenticate(*pair)) is not None), None)
        if client is None:
            # RFC 6749 wants 401 for a refused Authorization header, and 400 for refused credentials in the body.
            return _error(401 if header is not None else 400, "invalid_client", "authentication failed")
        granted = platform.tokens.issue(client, platform.now())
        # The published answer to a life of 86 400 s is 86 399: the second that has begun is not promised.
        life = int(platform.tokens.life) - 1 if platform.tokens.life >= 2 else 1
        return reply({"access_token": granted.value, "token_type": "bearer", "expires_in": life})

    return [web.post("/oauth/token", token)]


def _basic(header: str) -> list[tuple[str, str]]:
    """Id and secret as they stand in the header, and as RFC 6749 wants them read: form-encoded first. Clients do either."""
    scheme, _, encoded = header.partition(" ")
    if scheme.lower() != "basic":
        return []
    try:
        client_id, colon, secret = base64.b64decode(encoded.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return []
    return [(client_id, secret), (unquote_plus(client_id), unquote_plus(secret))] if colon else []


def _error(status: int, code: str, description: str) -> web.Response:
    return reply({"error": code, "description": description, "error_description": description}, status=status)
