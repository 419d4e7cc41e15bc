"""PUT requests to the store: exactly the headers that were signed, the body streamed from the disk, nothing repeated by itself."""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Final

import aiohttp
import anyio
from anyio import to_thread
from yarl import URL

from genesys_sync.addresses import guarded_socket_factory, was_refused
from genesys_sync.errors import PermanentError, ReasonCode
from genesys_sync.genesys.media import HostRule
from genesys_sync.genesys.upload_rules import Kind, Step, judge
from genesys_sync.services.uploads import UploadFile

PIECE: Final = 256 << 10
_ANSWER_LIMIT: Final = 64 << 10
_SKIPPED: Final = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""What aiohttp would add by itself: the store takes what was signed, and nothing more."""
_NO_TIMEOUT: Final = aiohttp.ClientTimeout(total=None, connect=30, sock_connect=30, sock_read=None)


def session(rule: HostRule) -> aiohttp.ClientSession:
    """The session for uploads: no token, no cookies, no proxy, no header of its own, addresses judged at connect."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=32, use_dns_cache=False, socket_factory=guarded_socket_factory(rule.address_allowed)),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        trust_env=False,
    )


class Broken(Exception):
    """The transfer broke off. `all_sent`: the last byte had been handed over, so the store may hold it all."""

    def __init__(self, step: Step, *, all_sent: bool) -> None:
        super().__init__(step.code)
        self.step = step
        self.all_sent = all_sent


class Put:
    """The requests of one upload. `sent`: bytes handed over in all; `told` hears the position after each piece."""

    def __init__(self, session: aiohttp.ClientSession, file: UploadFile, patience: float, *, told: Callable[[int], None]) -> None:
        self._session = session
        self._file = file
        self._patience = patience
        self._told = told
        self._changed = False
        self.sent = 0

    async def ask(self, url: URL, headers: Mapping[str, str]) -> Step:
        """How far is the store? Raises Broken."""
        return await self._request(url, {**headers, "Content-Range": f"bytes */{self._file.bytes}"}, 0, 0, asked=True)

    async def chunk(self, url: URL, headers: Mapping[str, str], at: int, length: int) -> Step:
        """Send one chunk. Raises Broken, and PermanentError(MEDIA_CHANGED)."""
        ranged = {**headers, "Content-Range": f"bytes {at}-{at + length - 1}/{self._file.bytes}"}
        return await self._request(url, ranged, at, length, asked=False)

    async def whole(self, url: URL, headers: Mapping[str, str]) -> Step:
        """Send everything at once. Raises Broken, and PermanentError(MEDIA_CHANGED)."""
        return await self._request(url, headers, 0, self._file.bytes, asked=False)

    def require_unchanged(self) -> None:
        """Raises PermanentError(MEDIA_CHANGED) unless the file is still the one that was described."""
        try:
            now = self._file.path.stat()
        except OSError as error:
            raise _changed(f"cannot be read any more: {error.strerror}") from None
        if (now.st_size, now.st_mtime_ns) != (self._file.bytes, self._file.modified_ns) or self._changed:
            raise _changed("was changed while it was uploaded")

    async def _request(self, url: URL, headers: Mapping[str, str], at: int, length: int, *, asked: bool) -> Step:
        self.require_unchanged()
        ranged = "Content-Range" in headers
        handed = 0
        step: Step | None = None
        with anyio.move_on_after(self._patience) as scope:

            def took(size: int) -> None:
                nonlocal handed
                handed += size
                self.sent += size
                self._told(at + handed)
                scope.deadline = anyio.current_time() + self._patience

            try:
                # a generator is consumed by being sent, so aiohttp cannot send it a second time by itself
                body = self._pieces(at, length, took) if length else None
                sent = {**headers, "Content-Length": str(length)}
                async with self._session.put(
                    url, data=body, headers=sent, skip_auto_headers=_SKIPPED, allow_redirects=False, timeout=_NO_TIMEOUT
                ) as response:
                    answer = await _head_of(response)
                step = judge(response.status, response.headers, answer, total=self._file.bytes, asked=asked, ranged=ranged)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                self.require_unchanged()
                if was_refused(error):
                    raise PermanentError(
                        "the store's address is private, loopback or reserved, and is not connected to", code=ReasonCode.URL_REFUSED
                    ) from None
        if step is None:
            raise Broken(Step(Kind.AGAIN, have=0), all_sent=not asked and at + handed >= self._file.bytes)
        return step

    async def _pieces(self, at: int, length: int, took: Callable[[int], None]) -> AsyncGenerator[bytes]:
        try:
            descriptor = os.open(self._file.path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            self._changed = True
            raise
        try:
            end = at + length
            while at < end:
                piece = await to_thread.run_sync(os.pread, descriptor, min(PIECE, end - at), at)
                if not piece:
                    self._changed = True
                    raise OSError("the file has become shorter")
                yield piece
                at += len(piece)
                took(len(piece))
        finally:
            os.close(descriptor)


def _changed(how: str) -> PermanentError:
    return PermanentError(f"the file {how}; ask for its upload once more", code=ReasonCode.MEDIA_CHANGED)


async def _head_of(response: aiohttp.ClientResponse) -> bytes:
    head = bytearray()
    while len(head) < _ANSWER_LIMIT and (piece := await response.content.read(_ANSWER_LIMIT - len(head))):
        head += piece
    return bytes(head)
