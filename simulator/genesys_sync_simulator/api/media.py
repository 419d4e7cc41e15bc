"""The media host: presigned GETs with ranges, and the store's own XML for everything it refuses."""

from __future__ import annotations

import re
import secrets
from xml.sax.saxutils import escape

from aiohttp import web

from genesys_sync_simulator.audio import EXTENSIONS
from genesys_sync_simulator.media import Key, MediaObject
from genesys_sync_simulator.plan import RecordingPlan
from genesys_sync_simulator.platform import Platform
from genesys_sync_simulator.presign import Refusal

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")
_SLICE = 0.05


def routes(platform: Platform) -> list[web.RouteDef]:
    """The object store."""

    async def fetch(request: web.Request) -> web.StreamResponse:
        refusal = refused_address(platform, request)
        if refusal is not None:
            return refused(refusal)
        recording = platform.world.recording(request.match_info["recordingId"])
        key = _key(request)
        if recording is None or key is None or key.part >= recording.parts:
            return refused(Refusal(404, "NoSuchKey", "The specified key does not exist."))
        if recording.fault == "media_error_once" and platform.faults.once("media_error_once", recording.id):
            return refused(Refusal(503, "SlowDown", "Please reduce your request rate."))
        return await serve(platform, request, await platform.object(recording, key.part, key.format), recording)

    return [web.route("*", "/media/{recordingId}/{part}/{file}", fetch)]


def refused_address(platform: Platform, request: web.Request) -> Refusal | None:
    """Why the store does not open what the address of a request names, if it does not."""
    return platform.presigner.refusal(
        request.method, request.path, request.query, has_authorization="Authorization" in request.headers, now=platform.now()
    )


def _key(request: web.Request) -> Key | None:
    kind, _, extension = request.match_info["file"].partition(".")
    part = request.match_info["part"]
    if EXTENSIONS.get(kind) != extension or not part.isdecimal():
        return None
    return Key(request.match_info["recordingId"], int(part), kind)


def refused(refusal: Refusal) -> web.Response:
    """The store's own error body."""
    trace = secrets.token_hex(8).upper()
    fields = [
        ("Code", refusal.code),
        ("Message", refusal.message),
        *refusal.extra,
        ("RequestId", trace),
        ("HostId", secrets.token_urlsafe(24)),
    ]
    body = "".join(f"<{name}>{escape(value)}</{name}>" for name, value in fields)
    return web.Response(
        text=f'<?xml version="1.0" encoding="UTF-8"?>\n<Error>{body}</Error>',
        status=refusal.status,
        content_type="application/xml",
        headers={"x-amz-request-id": trace},
    )


def span(header: str | None, size: int) -> tuple[int, int] | None:
    """First byte and the one after the last that a `Range` header asks for; the whole where it asks for nothing that is understood.

    None when the range lies outside. Several ranges are not understood, as with the store.
    """
    match = _RANGE.fullmatch(header) if header is not None else None
    if match is None or match[0] == "bytes=-":
        return 0, size
    first, last = match[1], match[2]
    if not first:
        wanted = int(last)
        return (max(0, size - wanted), size) if wanted and size else None
    start, stop = int(first), min(int(last) + 1, size) if last else size
    if last and int(last) < int(first):
        return 0, size
    return (start, stop) if start < size else None


async def serve(platform: Platform, request: web.Request, media: MediaObject, recording: RecordingPlan | None = None) -> web.StreamResponse:
    """The object, or the range of it that was asked for; a recording with the fault `cut_once` breaks the first time."""
    etag = f'"{media.etag}"'
    headers = {"ETag": etag, "Accept-Ranges": "bytes", "Content-Type": media.content_type, "x-amz-request-id": secrets.token_hex(8).upper()}
    if name := request.query.get("response-content-disposition"):
        headers["Content-Disposition"] = name
    if request.headers.get("If-None-Match") == etag:
        return web.Response(status=304, headers={"ETag": etag})
    if request.headers.get("If-Match", etag) not in (etag, "*"):
        return refused(Refusal(412, "PreconditionFailed", "At least one of the pre-conditions you specified did not hold"))
    # A range that hangs on another version of the object is not honoured: the whole is sent.
    asked = request.headers.get("Range") if request.headers.get("If-Range", etag) == etag else None
    wanted = span(asked, media.size)
    if wanted is None:
        extra = (("RangeRequested", asked or ""), ("ActualObjectSize", str(media.size)))
        unsatisfied = refused(Refusal(416, "InvalidRange", "The requested range is not satisfiable", extra))
        unsatisfied.headers["Content-Range"] = f"bytes */{media.size}"
        return unsatisfied
    start, stop = wanted
    response = web.StreamResponse(status=200 if (start, stop) == (0, media.size) and not _partial(asked) else 206, headers=headers)
    if response.status == 206:
        response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{media.size}"
    response.content_length = stop - start
    await response.prepare(request)
    if recording is not None and recording.fault == "cut_once" and stop - start > 1 and platform.faults.once("cut_once", recording.id):
        await _write(platform, response, media, start, start + (stop - start) // 2)
        if request.transport is not None:
            request.transport.close()
        return response
    await _write(platform, response, media, start, stop)
    await response.write_eof()
    return response


def _partial(header: str | None) -> bool:
    """Whether a range was asked for and understood: even one that covers everything is answered with 206."""
    match = _RANGE.fullmatch(header) if header is not None else None
    return match is not None and match[0] != "bytes=-" and not (match[1] and match[2] and int(match[2]) < int(match[1]))


async def _write(platform: Platform, response: web.StreamResponse, media: MediaObject, start: int, stop: int) -> None:
    pace = platform.rules.bandwidth
    if not pace:
        for piece in media.pieces(start, stop):
            await response.write(piece)
        return
    step = max(1, round(pace * _SLICE))
    for first in range(start, stop, step):
        for piece in media.pieces(first, min(first + step, stop)):
            await response.write(piece)
        await platform.clock.sleep(_SLICE)
