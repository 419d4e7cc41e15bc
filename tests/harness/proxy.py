"""A proxy between the daemon and the platform that knows enough of HTTP and WebSocket to hurt in the right place.

It rewrites the simulator's port in what passes into its own, which has as many digits and so leaves every length as it was: the
notification socket and the media downloads come through here too.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import socket
import struct
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

_HOST = "127.0.0.1"
_HEAD = 64 * 1024
_CHUNK = 16 * 1024


@dataclass(frozen=True, slots=True)
class Toxic:
    """What becomes of one media download: `kind` is cut (FIN), reset (RST), unbounded (no Content-Length, then FIN), slow or flip;
    `share` of the body passes before; `fraction` says where in the body a bit is flipped."""

    kind: str
    share: float = 0.7
    fraction: float = 0.5


class Proxy:
    """Runs in a thread of its own from construction to `close`. Counts in `seen` what it did."""

    def __init__(self, behind: int) -> None:
        self.behind = behind
        self.seen: Counter[str] = Counter()
        self.poisoned: dict[str, str] = {}
        self.handshakes: deque[bytes] = deque()
        self.refusal = b""
        """While not empty, the answer to every upgrade."""
        self.attempts: list[float] = []
        """When upgrades were asked for; monotonic seconds."""
        self.limited: list[float] = []
        """When a request was answered with 429."""
        self.media: Callable[[str], Toxic | None] = lambda _path: None
        self.latency = 0.0
        self._down = False
        self._frozen = False
        self._links: set[_Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thaw = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._wait(self._listen())
        self.port = int(self._server.sockets[0].getsockname()[1])

    @property
    def url(self) -> str:
        return f"http://{_HOST}:{self.port}"

    def close(self) -> None:
        """Every connection ends."""
        self._wait(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def freeze(self) -> None:
        """The server's host vanishes: nothing passes in either direction and nothing is said about it; new connections get no answer."""
        self._frozen = True
        self._thaw.clear()

    def thaw(self) -> None:
        """The path is back; connections from before are dead."""
        self._frozen = False
        self._call(self._abort_all)
        self._call(self._thaw.set)

    def down(self) -> None:
        """The platform is away: what is open is reset, what is new is refused."""
        self._down = True
        self._call(self._abort_all)

    def up(self) -> None:
        """The platform is back."""
        self._down = False

    def end_sockets(self, how: int | str) -> int:
        """Ends every open notification socket with a close code, or by `fin` or `rst`; returns how many."""
        return int(self._call(lambda: sum(link.end_socket(how) for link in list(self._links))))

    def sockets(self) -> int:
        """Open notification sockets."""
        return int(self._call(lambda: sum(link.upgraded for link in self._links)))

    # --- in the loop

    async def _listen(self) -> asyncio.Server:
        while True:
            server = await asyncio.start_server(self._serve, _HOST, 0)
            if len(str(server.sockets[0].getsockname()[1])) == len(str(self.behind)):
                return server
            server.close()

    def _wait(self, coroutine: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result(10)

    def _call(self, function: Callable[[], Any]) -> Any:
        async def run() -> Any:
            return function()

        return self._wait(run())

    async def _end(self) -> None:
        self._server.close()
        self._abort_all()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(0)  # what was aborted is closed by the loop's next turn

    def _abort_all(self) -> None:
        for link in list(self._links):
            link.abort()

    async def hold(self) -> None:
        """Returns when things may pass."""
        if self.latency:
            await asyncio.sleep(self.latency)
        if self._frozen:
            self.seen["withheld"] += 1
            await self._thaw.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.seen["connections"] += 1
        if self._down:
            self.seen["refused"] += 1
            writer.transport.abort()
            return
        link = _Link(self, reader, writer)
        self._links.add(link)
        try:
            await link.run()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            self.seen["broken"] += 1
        finally:
            link.abort()
            self._links.discard(link)


@dataclass(eq=False, slots=True)
class _Link:
    """One connection of the daemon and its counterpart to the platform."""

    proxy: Proxy
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    upgraded: bool = False
    ended: bool = False
    toxic: Toxic | None = None
    path: str = ""
    carried: bytes = b""
    upstream: asyncio.StreamWriter | None = None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def run(self) -> None:
        await self.proxy.hold()
        head = await self._head(self.reader)
        if head.startswith(b"GET /channels/"):
            self.proxy.attempts.append(time.monotonic())
            if self.proxy.handshakes or self.proxy.refusal:
                self.proxy.seen["handshakes refused"] += 1
                self.writer.write(self.proxy.handshakes.popleft() if self.proxy.handshakes else self.proxy.refusal)
                await self.writer.drain()
                return
        source, self.upstream = await asyncio.open_connection(_HOST, self.proxy.behind, limit=_HEAD)
        self._look(head)
        self.upstream.write(head)
        self.tasks = [asyncio.ensure_future(self._ask()), asyncio.ensure_future(self._answer(source, head.startswith(b"GET /channels/")))]
        _, pending = await asyncio.wait(self.tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in pending:
            task.cancel()
        results = await asyncio.gather(*self.tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, OSError | asyncio.IncompleteReadError):
                raise result

    def abort(self) -> None:
        """Both sides are reset."""
        self.upgraded = False
        for side in (self.writer, self.upstream):
            if side is not None and not side.transport.is_closing():
                if side is self.writer and not self.ended:
                    linger = struct.pack("ii", 1, 0)
                    side.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
                if self.ended:
                    side.close()
                else:
                    side.transport.abort()
        for task in self.tasks:
            task.cancel()

    def end_socket(self, how: int | str) -> int:
        """Ends a notification socket between two frames; returns whether this was one."""
        if not self.upgraded or self.ended:
            return 0
        self.upgraded = False
        if how == "rst":
            self.abort()
            return 1
        self.ended = True
        if isinstance(how, int):
            self.writer.write(b"\x88\x02" + struct.pack(">H", how))
        self.writer.write_eof()
        return 1

    async def _head(self, reader: asyncio.StreamReader) -> bytes:
        return await reader.readuntil(b"\r\n\r\n")

    def _look(self, asked: bytes) -> None:
        """Whether a request for media is among what the daemon sends."""
        match = re.match(rb"GET (/media/[^ ?]+)", asked)
        if match is not None:
            self.path = match[1].decode()
            self.toxic = self.proxy.media(self.path)

    async def _ask(self) -> None:
        assert self.upstream is not None
        while chunk := await self.reader.read(_CHUNK):
            await self.proxy.hold()
            self._look(chunk)
            self.upstream.write(chunk)
            await self.upstream.drain()

    async def _answer(self, source: asyncio.StreamReader, socket_asked: bool) -> None:
        if socket_asked:
            await self._frames(source)
            return
        while chunk := await self._next(source):
            if chunk.startswith(b"HTTP/1.1 429 "):
                self.proxy.limited.append(time.monotonic())
            toxic = self._armed()
            if toxic is not None:
                if not await self._spoil(source, toxic, chunk):
                    return
                continue
            await self.proxy.hold()
            self.writer.write(self._rewritten(chunk))
            await self.writer.drain()

    async def _next(self, source: asyncio.StreamReader) -> bytes:
        """What comes next. What looked like the beginning of our address is let go when nothing follows soon: it was none."""
        if self.carried:
            with contextlib.suppress(TimeoutError):
                return await asyncio.wait_for(source.read(_CHUNK), 0.02)
            self.writer.write(self.carried)
            self.carried = b""
        return await source.read(_CHUNK)

    def _armed(self) -> Toxic | None:
        """The toxic for the answer that begins now: an answer begins only after its question, so `_ask` has set it by then."""
        toxic, self.toxic = self.toxic, None
        return toxic

    def _rewritten(self, chunk: bytes) -> bytes:
        """The platform's address becomes ours; the beginning of one at the end of a chunk waits for the next."""
        name = f"{_HOST}:{self.proxy.behind}".encode()
        text = (self.carried + chunk).replace(name, f"{_HOST}:{self.proxy.port}".encode())
        keep = next((length for length in range(len(name) - 1, 0, -1) if chunk and text.endswith(name[:length])), 0)
        self.carried = text[len(text) - keep :]
        return text[: len(text) - keep]

    async def _spoil(self, source: asyncio.StreamReader, toxic: Toxic, begun: bytes) -> bool:
        """One media answer, spoilt; whether the connection may go on."""
        seen = self.proxy.seen
        while b"\r\n\r\n" not in begun:
            more = await source.read(_CHUNK)
            if not more:
                return False
            begun += more
        head, _, body = begun.partition(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        if length is None or not head.startswith(b"HTTP/1.1 2"):
            self.writer.write(head + b"\r\n\r\n" + body)
            return True
        size = int(length[1])
        while len(body) < size:
            body += await source.readexactly(size - len(body))
        body, rest = body[:size], body[size:]
        self.proxy.poisoned[self.path] = toxic.kind
        seen[toxic.kind] += 1
        if toxic.kind == "flip":
            where = min(size - 1, int(size * toxic.fraction))
            body = body[:where] + bytes([body[where] ^ (1 << random.randrange(8))]) + body[where + 1 :]
            self.writer.write(head + b"\r\n\r\n" + body + rest)
            return True
        if toxic.kind == "slow":
            self.writer.write(head + b"\r\n\r\n")
            for index in range(size):
                self.writer.write(body[index : index + 1])
                await self.writer.drain()
                await asyncio.sleep(1)
            return False
        if toxic.kind == "unbounded":
            head = head.replace(length[0], b"") + b"\r\nConnection: close"
        self.writer.write(head + b"\r\n\r\n" + body[: int(size * toxic.share)])
        await self.writer.drain()
        await asyncio.sleep(0.05)
        self.ended = toxic.kind != "reset"
        return False

    async def _frames(self, source: asyncio.StreamReader) -> None:
        """Whole frames only, so that a close can be put between two of them."""
        head = await self._head(source)
        self.writer.write(head)
        if not head.startswith(b"HTTP/1.1 101"):
            await self.writer.drain()
            self.writer.write(await source.read())
            self.ended = True
            return
        self.upgraded = True
        self.proxy.seen["sockets"] += 1
        while True:
            frame = await source.readexactly(2)
            size = frame[1] & 0x7F
            if size >= 126:
                wide = await source.readexactly(2 if size == 126 else 8)
                frame, size = frame + wide, int.from_bytes(wide, "big")
            frame += await source.readexactly(size)
            await self.proxy.hold()
            if not self.ended:
                self.writer.write(frame)
                await self.writer.drain()
