"""Requests that handlers send to other systems: no redirects, addresses judged at connect, little of the answer read."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import anyio
from anyio import to_thread

from genesys_sync.addresses import Address, guarded_socket_factory, is_public, is_within, parse_address, parse_network, was_refused
from genesys_sync.errors import PermanentError, ReasonCode, TransientError
from genesys_sync.services import HttpReply
from genesys_sync.settings import HttpSettings

BODY_LIMIT = 64 << 10
_PIECE = 1 << 20
_CONNECTIONS = 100


class OutboundHttp:
    """`services.Http`. `https` to public addresses and those of `http.allow_private`; plain `http` to the latter alone."""

    def __init__(self, sessions: Mapping[str, aiohttp.ClientSession], allowed: Mapping[str, Callable[[Address], bool]]) -> None:
        """Both by the URL's scheme."""
        self._sessions = sessions
        self._allowed = allowed

    async def admits(self, url: str) -> bool:
        """See `services.Http.admits`."""
        allowed = self._allowed.get(_scheme(url))
        if allowed is None:
            return False
        try:
            found = await anyio.getaddrinfo(urlsplit(url).hostname, None, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError):
            return True
        addresses = [parse_address(str(target[0])) for *_, target in found]
        return any(address is not None and allowed(address) for address in addresses)

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: timedelta = timedelta(seconds=15),
    ) -> HttpReply:
        return await self._answered(method, url, dict(headers or {}), body or None, BODY_LIMIT, timeout)

    async def transfer(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: Sequence[bytes | Path] = (),
        answer_limit: int = BODY_LIMIT,
        timeout: timedelta = timedelta(minutes=15),
    ) -> HttpReply:
        """See `services.Http.transfer`."""
        length = sum([len(one) if isinstance(one, bytes) else (await anyio.Path(one).stat()).st_size for one in body])
        sent = {**(headers or {}), **({"Content-Length": str(length)} if body else {})}
        reply = await self._answered(method, url, sent, _streamed(body) if body else None, answer_limit + 1, timeout)
        if len(reply.body) > answer_limit:
            raise TransientError(f"the receiver's answer is longer than {answer_limit} bytes", code=ReasonCode.BAD_ANSWER)
        return reply

    async def _answered(
        self, method: str, url: str, headers: Mapping[str, str], data: bytes | AsyncIterator[bytes] | None, limit: int, timeout: timedelta
    ) -> HttpReply:
        session = self._sessions.get(_scheme(url))
        if session is None:
            raise PermanentError(
                "the receiver's URL must be https:// (http:// for an allowed private address) and without credentials",
                code=ReasonCode.URL_REFUSED,
            )
        try:
            async with session.request(
                method,
                url,
                headers=headers,
                data=data,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=timeout.total_seconds()),
            ) as response:
                return HttpReply(response.status, response.headers.copy(), await _head_of(response.content, limit))
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
            raise PermanentError("the receiver's URL is not valid", code=ReasonCode.URL_REFUSED) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _failure(error) from None


def _scheme(url: str) -> str:
    try:
        parts = urlsplit(url)
    except ValueError:
        return ""
    return "" if parts.username is not None or parts.password is not None or not parts.hostname else parts.scheme.lower()


async def _streamed(body: Sequence[bytes | Path]) -> AsyncIterator[bytes]:
    for one in body:
        if isinstance(one, bytes):
            yield one
            continue
        # opened for each piece: whoever stops asking, as aiohttp does when the answer comes early, leaves nothing open behind
        at = 0
        while piece := await to_thread.run_sync(_piece, one, at):
            yield piece
            at += len(piece)


def _piece(path: Path, at: int) -> bytes:
    with path.open("rb") as file:
        file.seek(at)
        return file.read(_PIECE)


async def _head_of(stream: aiohttp.StreamReader, limit: int) -> bytes:
    """At most `limit` bytes; what follows is left unread, and the connection with it."""
    head = bytearray()
    while len(head) < limit and (chunk := await stream.read(limit - len(head))):
        head += chunk
    return bytes(head)


def _failure(error: Exception) -> TransientError | PermanentError:
    """The one place that judges a receiver's network errors; the texts of the library are left out, as they hold the URL."""
    if was_refused(error):
        return PermanentError(
            "the receiver's address is private, loopback or reserved; if that is meant, add its network to http.allow_private",
            code=ReasonCode.URL_REFUSED,
        )
    if isinstance(error, TimeoutError):
        return TransientError("the receiver did not answer in time", code=ReasonCode.RECEIVER_UNREACHABLE)
    if isinstance(error, aiohttp.ClientSSLError):
        return TransientError("the receiver's certificate is not trusted, or TLS failed", code=ReasonCode.RECEIVER_UNREACHABLE)
    return TransientError(f"the receiver could not be reached ({type(error).__name__})", code=ReasonCode.RECEIVER_UNREACHABLE)


@asynccontextmanager
async def connect(settings: HttpSettings) -> AsyncIterator[OutboundHttp]:
    """Open the connections' pools; closed when the context ends. Raises ConfigurationError for networks that are none."""
    private = [parse_network(text) for text in settings.allow_private]

    def secure_ok(address: Address) -> bool:
        return is_public(address) or is_within(address, private)

    def plain_ok(address: Address) -> bool:
        return is_within(address, private)

    async with _session(secure_ok) as secure, _session(plain_ok) as plain:
        yield OutboundHttp({"https": secure, "http": plain}, {"https": secure_ok, "http": plain_ok})


def _session(allowed: Callable[[Address], bool]) -> aiohttp.ClientSession:
    connector = aiohttp.TCPConnector(limit=_CONNECTIONS, use_dns_cache=False, socket_factory=guarded_socket_factory(allowed))
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False, headers={"User-Agent": "genesys-sync"}
    )
