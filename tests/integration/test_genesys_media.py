"""Downloads against a real store that cuts, stalls, lies and expires."""

from __future__ import annotations

import hashlib
import random
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web

from genesys_sync.clock import SystemClock
from genesys_sync.errors import MediaUrlExpired, PermanentError, ReasonCode, StorageError, StorageFull, TransientError
from genesys_sync.genesys import media
from genesys_sync.metrics import Metrics
from genesys_sync.services import MediaPart, SecretUrl
from genesys_sync.settings import GenesysSettings

pytestmark = pytest.mark.anyio
Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]
BODY = random.Random(7).randbytes(1_500_000)
SHA256 = hashlib.sha256(BODY).hexdigest()


class Store:
    """A store with one object. `cuts` are the lengths after which the next answers break off, once the client has counted a
    batch of the bytes more than before."""

    def __init__(self, metrics: Metrics | None = None) -> None:
        self.metrics = metrics
        self.counted = 0.0
        self.body = BODY
        self.etag: str | None = '"v1"'
        self.cuts: list[int | None] = []
        self.requests: list[web.Request] = []
        self.ranges = True

    async def __call__(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        start = 0
        wanted = request.headers.get("Range")
        if wanted is not None and self.ranges and request.headers.get("If-Range") == self.etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        response = web.StreamResponse(status=206 if start else 200, headers={"Content-Type": "audio/ogg"})
        if self.etag is not None:
            response.headers["ETag"] = self.etag
        if start:
            response.headers["Content-Range"] = f"bytes {start}-{len(self.body) - 1}/{len(self.body)}"
        response.content_length = len(self.body) - start
        await response.prepare(request)
        cut = self.cuts.pop(0) if self.cuts else None
        await response.write(self.body[start : len(self.body) if cut is None else start + cut])
        if cut is not None:
            assert request.transport is not None
            while self.metrics is not None and self._count() < self.counted + media.BATCH:
                await anyio.sleep(0.001)
            self.counted = self._count()
            request.transport.close()
        return response

    def _count(self) -> float:
        assert self.metrics is not None
        return self.metrics.registry.get_sample_value("genesys_sync_media_bytes_total") or 0.0


@asynccontextmanager
async def media_store(metrics: Metrics | None = None, *, api: str = "http://127.0.0.1:1", **more: Any) -> AsyncIterator[media.MediaStore]:
    settings = GenesysSettings(api_url=api, login_url="http://127.0.0.1:1", **more)
    rule = media.HostRule(settings.media_hosts, api=settings.api)
    async with media.session(rule, settings) as session:
        yield media.MediaStore(session, rule, settings, clock=SystemClock(), metrics=metrics or Metrics(), random=lambda: 0.0)


def part(url: str) -> MediaPart:
    return MediaPart(SecretUrl(f"{url}/bucket/key?X-Amz-Signature=deadbeef%2F%7E"), "audio/x")


async def test_the_bytes_arrive_hashed_without_our_token_and_the_signed_url_unchanged(serve: Serve, tmp_path: Path) -> None:
    store, metrics = Store(), Metrics()
    async with media_store(metrics) as downloads:
        done = await downloads.download(part(await serve(store)), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == BODY
    assert (done.size, done.sha256, done.content_type, done.etag) == (len(BODY), SHA256, "audio/ogg", '"v1"')
    assert (done.length_stated, done.resumed) == (True, 0)
    assert "Authorization" not in store.requests[0].headers
    assert store.requests[0].raw_path == "/bucket/key?X-Amz-Signature=deadbeef%2F%7E"
    assert metrics.registry.get_sample_value("genesys_sync_media_bytes_total") == len(BODY)
    assert metrics.registry.get_sample_value("genesys_sync_media_downloads_total", {"outcome": "complete"}) == 1


async def test_an_interrupted_transfer_goes_on_where_it_broke(serve: Serve, tmp_path: Path) -> None:
    metrics = Metrics()
    store = Store(metrics)
    store.cuts = [600_000, 600_000]
    async with media_store(metrics) as downloads:
        done = await downloads.download(part(await serve(store)), tmp_path / "a")
    assert (done.sha256, done.resumed, len(store.requests)) == (SHA256, 2, 3)
    assert (tmp_path / "a").read_bytes() == BODY
    starts = [int(request.headers["Range"][6:-1]) for request in store.requests[1:]]
    assert media.BATCH <= starts[0] <= 600_000
    assert starts[0] + media.BATCH <= starts[1] <= starts[0] + 600_000
    assert {request.headers["If-Range"] for request in store.requests[1:]} == {'"v1"'}


async def test_an_object_that_changed_meanwhile_is_fetched_anew(serve: Serve, tmp_path: Path) -> None:
    metrics = Metrics()
    store = Store(metrics)
    store.cuts = [600_000]
    changed = random.Random(8).randbytes(900_000)

    async def answer(request: web.Request) -> web.StreamResponse:
        if store.requests:
            store.body, store.etag = changed, '"v2"'
        return await store(request)

    async with media_store(metrics) as downloads:
        done = await downloads.download(part(await serve(answer)), tmp_path / "a")
    assert (done.sha256, done.etag, done.resumed) == (hashlib.sha256(changed).hexdigest(), '"v2"', 0)
    assert (tmp_path / "a").read_bytes() == changed


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
async def test_without_a_strong_etag_a_broken_transfer_begins_anew(serve: Serve, tmp_path: Path, etag: str | None) -> None:
    metrics = Metrics()
    store = Store(metrics)
    store.etag, store.cuts = etag, [600_000]
    async with media_store(metrics) as downloads:
        done = await downloads.download(part(await serve(store)), tmp_path / "a")
    assert (done.sha256, done.resumed) == (SHA256, 0)
    assert all("Range" not in request.headers for request in store.requests)


async def test_a_range_that_the_store_refuses_begins_anew(serve: Serve, tmp_path: Path) -> None:
    metrics = Metrics()
    store = Store(metrics)
    store.cuts = [600_000]

    async def answer(request: web.Request) -> web.StreamResponse:
        if "Range" in request.headers:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{len(BODY)}"})
        return await store(request)

    async with media_store(metrics) as downloads:
        done = await downloads.download(part(await serve(answer)), tmp_path / "a")
    assert (done.sha256, done.resumed) == (SHA256, 0)


async def test_a_transfer_that_always_breaks_ends_with_the_length_that_was_stated_and_leaves_no_file(serve: Serve, tmp_path: Path) -> None:
    store, metrics = Store(), Metrics()
    store.cuts, store.ranges = [1000] * 100, False
    async with media_store(metrics) as downloads:
        with pytest.raises(TransientError, match=r"of 1500000 bytes that the media store stated (0|1000) arrived") as error:
            await downloads.download(part(await serve(store)), tmp_path / "a")
    assert error.value.code is ReasonCode.BODY_LENGTH_MISMATCH
    assert len(store.requests) == media.INTERRUPTIONS_MAX + 1
    assert list(tmp_path.iterdir()) == []
    assert metrics.registry.get_sample_value("genesys_sync_media_downloads_total", {"outcome": "body_length_mismatch"}) == 1


async def test_a_body_without_a_length_is_taken_and_said_to_be_so(serve: Serve, tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.enable_chunked_encoding()
        await response.prepare(request)
        await response.write(BODY)
        return response

    async with media_store() as downloads:
        done = await downloads.download(part(await serve(answer)), tmp_path / "a")
    assert (done.sha256, done.length_stated) == (SHA256, False)


@pytest.mark.parametrize(
    ("stated", "told"),
    [
        ("binary/octet-stream", "audio/x"),
        ("Application/Octet-Stream; x=y", "audio/x"),
        ("audio/wav; codecs=1", "audio/wav; codecs=1"),
        ("text/html", "text/html"),
    ],
)
async def test_a_store_that_only_says_bytes_leaves_the_platforms_word(serve: Serve, tmp_path: Path, stated: str, told: str) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"x", headers={"Content-Type": stated})

    async with media_store() as store:
        assert (await store.download(part(await serve(answer)), tmp_path / "x")).content_type == told


async def test_nothing_at_all_is_a_download_for_the_verifier_to_judge(serve: Serve, tmp_path: Path) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=b"")

    async with media_store() as downloads:
        done = await downloads.download(part(await serve(answer)), tmp_path / "a")
    assert (done.size, (tmp_path / "a").stat().st_size) == (0, 0)


async def test_an_expired_url_is_told_apart(serve: Serve, tmp_path: Path) -> None:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(status=403, body=b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>")

    async with media_store() as downloads:
        with pytest.raises(MediaUrlExpired):
            await downloads.download(part(await serve(answer)), tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


async def test_an_url_that_expires_in_the_middle_is_told_as_expired(serve: Serve, tmp_path: Path) -> None:
    metrics = Metrics()
    store = Store(metrics)
    store.cuts = [600_000]

    async def answer(request: web.Request) -> web.StreamResponse:
        if "Range" in request.headers:
            return web.Response(status=403, body=b"<Error><Message>Request has expired</Message></Error>")
        return await store(request)

    async with media_store(metrics) as downloads:
        with pytest.raises(MediaUrlExpired):
            await downloads.download(part(await serve(answer)), tmp_path / "a")


async def test_a_store_in_trouble_is_asked_again(serve: Serve, tmp_path: Path) -> None:
    store, troubles = Store(), [503, 500]

    async def answer(request: web.Request) -> web.StreamResponse:
        return web.Response(status=troubles.pop()) if troubles else await store(request)

    async with media_store() as downloads:
        assert (await downloads.download(part(await serve(answer)), tmp_path / "a")).sha256 == SHA256


async def test_a_redirect_is_never_followed(serve: Serve, tmp_path: Path) -> None:
    visited = []

    async def answer(request: web.Request) -> web.StreamResponse:
        visited.append(request.path)
        return web.Response(status=302, headers={"Location": "/elsewhere"})

    async with media_store() as downloads:
        with pytest.raises(PermanentError) as error:
            await downloads.download(part(await serve(answer)), tmp_path / "a")
    assert error.value.code is ReasonCode.URL_REFUSED
    assert visited == ["/bucket/key"]


@pytest.mark.parametrize("trickle", [False, True])
async def test_a_store_that_stalls_or_trickles_is_given_up(serve: Serve, tmp_path: Path, trickle: bool) -> None:
    over = anyio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 1000
        await response.prepare(request)
        while not over.is_set():
            await response.write(b"x")
            with anyio.move_on_after(0.02 if trickle else 30):
                await over.wait()
        return response

    async with media_store(download_patience="300ms", download_floor="1KiB") as downloads:
        with pytest.raises(TransientError) as error:
            await downloads.download(part(await serve(answer)), tmp_path / "a")
        over.set()
    assert error.value.code is ReasonCode.DOWNLOAD_TOO_SLOW
    assert list(tmp_path.iterdir()) == []


async def test_what_cannot_fit_is_refused_before_it_is_fetched(serve: Serve, tmp_path: Path) -> None:
    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 1 << 60
        await response.prepare(request)
        return response

    async with media_store() as downloads:
        with pytest.raises(StorageFull):
            await downloads.download(part(await serve(answer)), tmp_path / "a")
    assert list(tmp_path.iterdir()) == []


async def test_a_file_that_is_already_there_is_neither_written_nor_removed(serve: Serve, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"precious")
    async with media_store() as downloads:
        with pytest.raises(StorageError, match="PATH_UNSAFE"):
            await downloads.download(part(await serve(Store())), tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"precious"


async def test_a_cancelled_download_leaves_no_file(serve: Serve, tmp_path: Path) -> None:
    begun = anyio.Event()
    over = anyio.Event()

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 10_000_000
        await response.prepare(request)
        await response.write(BODY)
        begun.set()
        await over.wait()
        return response

    async with media_store() as downloads, anyio.create_task_group() as tasks:
        tasks.start_soon(downloads.download, part(await serve(answer)), tmp_path / "a")
        await begun.wait()
        tasks.cancel_scope.cancel()
    over.set()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "0177.0.0.1", "127.1", "0x7f.1", "[::ffff:127.0.0.1]"])
async def test_a_host_on_the_list_that_leads_to_this_machine_is_not_connected_to(serve: Serve, tmp_path: Path, host: str) -> None:
    """The list may be wrong, or the name may resolve to something else than it did: the address decides."""
    store = Store()
    port = (await serve(store)).rpartition(":")[2]
    hosts = (host.strip("[]"), "localhost")
    async with media_store(api="https://api.mypurecloud.com", media_hosts=hosts) as downloads:
        with pytest.raises(PermanentError) as error:
            await downloads.download(part(f"https://{host}:{port}"), tmp_path / "a")
    assert error.value.code is ReasonCode.URL_REFUSED
    assert store.requests == []
    assert "deadbeef" not in str(error.value)


async def test_memory_stays_flat_over_300_megabytes(serve: Serve, tmp_path: Path) -> None:
    block = random.Random(9).randbytes(1 << 20)

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = 300 << 20
        await response.prepare(request)
        for _ in range(300):
            await response.write(block)
        return response

    async with media_store() as downloads:
        url = await serve(answer)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(downloads.download, part(await serve(Store())), tmp_path / "warm")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        done = await downloads.download(part(url), tmp_path / "a")
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    (tmp_path / "a").unlink()
    assert done.size == 300 << 20
    assert grown < 30 << 10, f"{grown} KiB"
