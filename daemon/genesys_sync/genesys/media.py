"""Downloads from the platform's media store: presigned URLs, fetched without our token, streamed with flat memory, resumed, hashed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import aiohttp
import anyio
from anyio import CapacityLimiter, to_thread
from yarl import URL

from genesys_sync.addresses import LOOPBACK, Address, guarded_socket_factory, is_public, is_within, parse_address, was_refused
from genesys_sync.backoff import full_jitter
from genesys_sync.clock import Clock
from genesys_sync.errors import GenesysSyncError, MediaUrlExpired, PermanentError, ReasonCode, StorageError, TransientError
from genesys_sync.genesys.transfer import Begin, Known, Pace, Sink, begin, refusal, strong_etag
from genesys_sync.logs import get_logger
from genesys_sync.metrics import Metrics
from genesys_sync.services import Downloaded, MediaPart, SecretUrl
from genesys_sync.settings import GenesysSettings

CHUNK = 256 << 10
"""aiohttp hands out up to 256 KiB at a time; smaller reads cost more than twice the time."""
BATCH = 512 << 10
"""Bytes for one visit to a worker thread, which hashes and writes them together."""
INTERRUPTIONS_MAX = 8
_BACKOFF_BASE = 0.5
_BACKOFF_CAP = 15.0
_WRITERS = 8
_REFUSAL_LIMIT = 64 << 10
_DISCARD_PATIENCE = 10.0
_ANY_BYTES = frozenset({"", "application/octet-stream", "binary/octet-stream"})
_PRINTABLE = re.compile(r"[\x21-\x5b\x5d-\x7e]{1,16384}")
_HOST = re.compile(r"[a-z0-9](?:[a-z0-9.\-]*[a-z0-9])?|[0-9a-f:.]*:[0-9a-f:.]*")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Means:
    """What all transfers share."""

    session: aiohttp.ClientSession
    floor: int
    patience: float
    clock: Clock
    count: Callable[[float], None]
    random: Callable[[], float]
    writers: CapacityLimiter


class HostRule:
    """Which URLs media may come from: `https` on an allowed host; on this machine alone also `http`, where the API itself is here."""

    def __init__(self, patterns: tuple[str, ...], *, api: str) -> None:
        self._patterns = tuple(pattern.lower() for pattern in patterns)
        self.local = is_local(urlsplit(api).hostname or "")

    def check(self, url: SecretUrl) -> URL:
        """The URL as it will be requested, not a character changed: it is signed. It is judged by the parser that connects, since
        two parsers may disagree on what the host is. Raises PermanentError(URL_REFUSED); the message names the host alone."""
        text = url.reveal()
        try:
            parsed = URL(text, encoded=True)
            host = (parsed.host or "").lower()
            well_formed = parsed.user is None and parsed.password is None and (parsed.port or 0) > 0
        except ValueError:
            raise PermanentError("the media URL is not valid", code=ReasonCode.URL_REFUSED) from None
        if not well_formed or not _PRINTABLE.fullmatch(text) or not _HOST.fullmatch(host) or not self._allowed(parsed.scheme, host):
            shown = host if _HOST.fullmatch(host) else "a host with a strange name"
            raise PermanentError(
                f"media are not fetched from {shown[:100]} by {parsed.scheme[:10]}; if they should be, add the host to genesys.media_hosts",
                code=ReasonCode.URL_REFUSED,
            )
        return parsed

    def _allowed(self, scheme: str, host: str) -> bool:
        if self.local and is_local(host):
            return scheme in {"http", "https"}
        return scheme == "https" and any(host_matches(host, pattern) for pattern in self._patterns)

    def address_allowed(self, address: Address) -> bool:
        return is_public(address) or (self.local and is_within(address, LOOPBACK))


def host_matches(host: str, pattern: str) -> bool:
    """Label by label: `*.example.com` takes any number of labels before, at least one; nothing else is a wildcard."""
    if pattern.startswith("*."):
        return host.endswith(pattern[1:]) and len(host) > len(pattern) - 1 and not host.startswith(".")
    return host == pattern


def is_local(host: str) -> bool:
    address = parse_address(host)
    return host == "localhost" if address is None else is_within(address, LOOPBACK)


def session(rule: HostRule, settings: GenesysSettings) -> aiohttp.ClientSession:
    """The session for media: no token, no cookies, no proxy, bodies as they were stored, addresses judged at connect."""
    patience = settings.download_patience.total_seconds()
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=100, use_dns_cache=False, socket_factory=guarded_socket_factory(rule.address_allowed)),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=None, connect=patience, sock_connect=patience, sock_read=patience),
        headers={"User-Agent": "genesys-sync", "Accept-Encoding": "identity"},
        auto_decompress=False,
        trust_env=False,
    )


class MediaStore:
    """Implements `services.Media`."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        rule: HostRule,
        settings: GenesysSettings,
        *,
        clock: Clock,
        metrics: Metrics,
        random: Callable[[], float],
    ) -> None:
        self._rule = rule
        self._metrics = metrics
        self._slots = anyio.CapacityLimiter(settings.downloads)
        self._means = _Means(
            session=session,
            floor=settings.download_floor,
            patience=settings.download_patience.total_seconds(),
            clock=clock,
            count=metrics.media_bytes.inc,
            random=random,
            writers=CapacityLimiter(_WRITERS),
        )

    async def download(self, part: MediaPart, into: Path) -> Downloaded:
        """See `services.Media.download`. Also raises StorageFull, where the stated length does not fit even before the first byte."""
        outcome = "cancelled"
        try:
            transfer = _Transfer(self._means, part, self._rule.check(part.url), Sink(into))
            async with self._slots:
                downloaded = await transfer.run()
            outcome = "complete"
        except GenesysSyncError as error:
            outcome = _outcome(error)
            raise
        finally:
            self._metrics.media_downloads.labels(outcome=outcome).inc()
        return downloaded


def _outcome(error: GenesysSyncError) -> str:
    if isinstance(error, TransientError | PermanentError):
        return error.code.lower()
    return "storage_failed" if isinstance(error, StorageError) else "failed"


class _Interrupted(Exception):
    """The transfer broke off; `error` is what to raise when it has done so too often."""

    def __init__(self, error: TransientError) -> None:
        super().__init__(error.reason)
        self.error = error


class _Transfer:
    """One download, from its first request to a finished file or none."""

    def __init__(self, means: _Means, part: MediaPart, url: URL, sink: Sink) -> None:
        self._means = means
        self._part = part
        self._url = url
        self._sink = sink
        self._known = Known()
        self._content_type = part.content_type
        self._etag: str | None = None
        self._length_stated = False
        self._resumed = 0
        self._log = get_logger(__name__)

    async def run(self) -> Downloaded:
        finished = False
        try:
            await self._in_thread(self._sink.open)
            await self._fetch()
            sha256 = await to_thread.run_sync(self._sink.finish, limiter=self._means.writers)
            finished = True
        finally:
            if not finished:
                with anyio.move_on_after(_DISCARD_PATIENCE, shield=True):
                    await to_thread.run_sync(self._sink.discard, abandon_on_cancel=True)
        return Downloaded(
            size=self._sink.size,
            sha256=sha256,
            content_type=self._content_type,
            etag=self._etag,
            length_stated=self._length_stated,
            resumed=self._resumed,
        )

    async def _in_thread(self, work: Callable[[], None]) -> None:
        await to_thread.run_sync(work, limiter=self._means.writers)

    async def _fetch(self) -> None:
        """Ask until the whole object is here, or has broken off too often."""
        interruptions = 0
        while True:
            try:
                if await self._attempt():
                    return
                interruptions += 1
                error = TransientError("the media store gives no usable range of the object", code=ReasonCode.DOWNLOAD_INTERRUPTED)
            except _Interrupted as interruption:
                interruptions += 1
                error = interruption.error
            if interruptions > INTERRUPTIONS_MAX:
                raise error
            self._log.debug("download_interrupted", reason=error.reason, have=self._sink.size, resumable=self._known.resumable)
            if self._sink.size and not self._known.resumable:
                await self._in_thread(self._sink.restart)
            await self._means.clock.sleep(full_jitter(interruptions, base=_BACKOFF_BASE, cap=_BACKOFF_CAP, random=self._means.random))

    async def _attempt(self) -> bool:
        """One request. True when the object is complete; False when it must be asked for from its beginning."""
        headers = {}
        if self._sink.size and self._known.etag is not None:
            headers = {"Range": f"bytes={self._sink.size}-", "If-Range": self._known.etag}
        try:
            async with self._means.session.get(self._url, headers=headers, allow_redirects=False) as response:
                return await self._take(response)
        except (aiohttp.InvalidURL, aiohttp.NonHttpUrlClientError):
            raise PermanentError("the media URL is not valid", code=ReasonCode.URL_REFUSED) from None
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._broken(error) from None

    async def _take(self, response: aiohttp.ClientResponse) -> bool:
        if response.status not in {200, 206, 416}:
            error = refusal(response.status, await _head_of(response))
            if response.status >= 500 and isinstance(error, TransientError) and not isinstance(error, MediaUrlExpired):
                raise _Interrupted(error)
            raise error
        how = begin(response.status, response.headers, have=self._sink.size, known=self._known)
        if how is Begin.RESTART:
            self._known = Known()
            await self._in_thread(self._sink.restart)
            return False
        if how is Begin.ANEW:
            if self._sink.size:
                await self._in_thread(self._sink.restart)
            self._introduce(response)
        else:
            self._resumed += 1
        await self._stream(response)
        return True

    def _introduce(self, response: aiohttp.ClientResponse) -> None:
        """Take up what the first answer, or one that begins anew, tells of the object."""
        length = _stated_length(response.headers)
        self._known = Known(etag=strong_etag(response.headers), total=length)
        self._etag = response.headers.get("ETag")
        self._length_stated = length is not None
        self._content_type = _content_type(response.headers.get("Content-Type", ""), self._part.content_type)

    async def _stream(self, response: aiohttp.ClientResponse) -> None:
        if self._known.total is not None:
            await self._in_thread(lambda: self._sink.expect((self._known.total or 0) - self._sink.size))
        pace = Pace(floor=self._means.floor, patience=self._means.patience)
        clock = self._means.clock
        batch: list[bytes] = []
        held = 0
        try:
            while True:
                asked = clock.monotonic()
                chunk = await response.content.read(CHUNK)
                if not chunk:
                    break
                if pace.too_slow(clock.monotonic() - asked, len(chunk)):
                    raise TransientError("the media store sends too slowly", code=ReasonCode.DOWNLOAD_TOO_SLOW)
                batch.append(chunk)
                held += len(chunk)
                if held >= BATCH:
                    full, batch, held = batch, [], 0
                    await self._write(full)
        except (aiohttp.ClientError, OSError) as error:
            # what arrived before the break is good, and is where the next request goes on
            if batch:
                await self._write(batch)
            raise self._broken(error) from None
        if batch:
            await self._write(batch)
        if self._known.total is not None and self._sink.size != self._known.total:
            raise _Interrupted(self._short())

    async def _write(self, batch: list[bytes]) -> None:
        await self._in_thread(lambda: self._sink.write(batch))
        self._means.count(sum(map(len, batch)))

    def _short(self) -> TransientError:
        return TransientError(
            f"of {self._known.total} bytes that the media store stated {self._sink.size} arrived", code=ReasonCode.BODY_LENGTH_MISMATCH
        )

    def _broken(self, error: Exception) -> GenesysSyncError | _Interrupted:
        """The one place that judges the network's errors; the library's texts are left out, as they hold the URL."""
        if was_refused(error):
            return PermanentError(
                f"{self._part.url!r}: its address is private, loopback or reserved, and is not connected to", code=ReasonCode.URL_REFUSED
            )
        if isinstance(error, aiohttp.SocketTimeoutError):
            return TransientError("the media store has stopped sending", code=ReasonCode.DOWNLOAD_TOO_SLOW)
        if isinstance(error, aiohttp.ClientPayloadError) and self._known.total is not None:
            return _Interrupted(self._short())
        return _Interrupted(TransientError(f"the transfer broke off ({type(error).__name__})", code=ReasonCode.DOWNLOAD_INTERRUPTED))


def _content_type(stated: str, known: str) -> str:
    """What the store states; what the platform said where the store only says that these are bytes, as S3 does by default."""
    return known if known and stated.partition(";")[0].strip().lower() in _ANY_BYTES else stated


def _stated_length(headers: Mapping[str, str]) -> int | None:
    text = headers.get("Content-Length", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else None


async def _head_of(response: aiohttp.ClientResponse) -> bytes:
    head = bytearray()
    while len(head) < _REFUSAL_LIMIT and (chunk := await response.content.read(_REFUSAL_LIMIT - len(head))):
        head += chunk
    return bytes(head)
