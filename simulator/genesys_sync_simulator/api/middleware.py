"""What happens to every request before and after its operation: counting, the token, the rate limit, the error body, the headers."""

from __future__ import annotations

from math import ceil

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from genesys_sync_simulator.api.answers import CORRELATION, TOKEN, ApiError, limit
from genesys_sync_simulator.oauth import Token
from genesys_sync_simulator.platform import Platform, Window, correlation_id

_WINDOW = 60.0


def host_of(path: str) -> str:
    """Which of the platform's hosts a path belongs to."""
    for prefix, host in (
        ("/api/", "api"),
        ("/oauth/", "login"),
        ("/media/", "media"),
        ("/channels/", "streaming"),
        ("/simulator/", "control"),
    ):
        if path.startswith(prefix):
            return host
    return "other"


def gate(platform: Platform) -> Middleware:
    """The middleware for the whole application; only the API host's paths are guarded."""

    @web.middleware
    async def pass_through(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = host_of(request.path)
        _count(platform, request, host)
        if host in ("media", "streaming", "control"):
            return await handler(request)
        request[CORRELATION] = correlation_id()
        response = await _answered(platform, request, handler, guarded=host != "login")
        platform.statuses[response.status] += 1
        if not response.prepared:
            response.headers.update(_headers(platform, request))
        return response

    return pass_through


def _count(platform: Platform, request: web.Request, host: str) -> None:
    resource = request.match_info.route.resource
    template = resource.canonical if resource is not None else "unknown"
    platform.requests[f"{request.method} {template}"] += 1
    platform.hosts[host] += 1


async def _answered(platform: Platform, request: web.Request, handler: Handler, *, guarded: bool) -> web.StreamResponse:
    try:
        if guarded:
            request[TOKEN] = _authenticated(platform, request)
            _within_limits(platform, request)
        return await handler(request)
    except ApiError as error:
        return error.response(request[CORRELATION])
    except web.HTTPRequestEntityTooLarge:
        return _plain(request, 413, "request.entity.too.large", "The request body is larger than request.bytes.max.")
    except web.HTTPMethodNotAllowed as error:
        response = _plain(request, 405, "method.not.allowed", f"The method {request.method} is not allowed here.")
        response.headers["Allow"] = ", ".join(sorted(error.allowed_methods))
        return response
    except web.HTTPNotFound:
        return _plain(request, 404, "not.found", "The requested resource does not exist.")


def _plain(request: web.Request, status: int, code: str, message: str) -> web.Response:
    return ApiError(status, code, message).response(request[CORRELATION])


def _authenticated(platform: Platform, request: web.Request) -> Token:
    scheme, _, value = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not value.strip():
        raise ApiError(401, "authentication.required", "No authentication bearer token specified in authorization header.")
    token = platform.tokens.find(value.strip(), platform.now())
    if token is None:
        raise ApiError(401, "bad.credentials", "Invalid login credentials.")
    return token


def _within_limits(platform: Platform, request: web.Request) -> None:
    now = platform.now()
    window = _window(platform, request[TOKEN], now)
    window.count += 1
    wait = platform.faults.storm(now)
    if window.count > platform.rules.rate_limit_per_minute:
        wait = max(wait, window.begun + _WINDOW - now)
    if wait > 0:
        seconds = str(max(1, ceil(wait)))
        sentence = f"Rate limit exceeded the maximum. Retry the request in [{seconds}] seconds"
        raise ApiError(
            429, "too.many.requests", sentence, params={"seconds": seconds}, headers={"Retry-After": seconds}, limit=limit(platform)
        )
    if platform.faults.server_error():
        raise ApiError(503, "service.unavailable", "The service is temporarily unavailable.")


def _window(platform: Platform, token: Token, now: float) -> Window:
    window = platform.windows.get(token.client.id)
    if window is None or now >= window.begun + _WINDOW:
        window = platform.windows[token.client.id] = Window(now)
    return window


def _headers(platform: Platform, request: web.Request) -> dict[str, str]:
    now = platform.now()
    token = request.get(TOKEN)
    window = platform.windows.get(token.client.id, Window(now)) if token is not None else Window(now)
    return {
        "inin-ratelimit-count": str(window.count),
        "inin-ratelimit-allowed": str(platform.rules.rate_limit_per_minute),
        "inin-ratelimit-reset": str(max(0, ceil(window.begun + _WINDOW - now))),
        "ININ-Correlation-Id": request[CORRELATION],
    }
