"""The object store's other side: presigned PUTs, whole or (where the store can) in chunks that a later request goes on from."""

from __future__ import annotations

import random
import re
import uuid
from collections.abc import Callable, Mapping
from typing import Final

import aiohttp
from aiohttp import web
from aiohttp.http_exceptions import PayloadEncodingError

from genesys_sync_simulator.api.media import refused
from genesys_sync_simulator.parcels import Parcel
from genesys_sync_simulator.platform import Platform
from genesys_sync_simulator.presign import Refusal

_CHUNK: Final = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_QUESTION: Final = re.compile(r"bytes \*/(\d+)")
_LARGEST: Final = 5 << 30
_MOST_PARCELS: Final = 20_000
_BROKEN: Final = (OSError, aiohttp.ClientPayloadError, PayloadEncodingError)
"""How a body ends that does not come to its end."""


def offer(
    platform: Platform, folder: str, headers: Mapping[str, str], stored: Callable[[Parcel], None], *, life: float, room: int = 0
) -> tuple[Parcel, str]:
    """A new object that may be put for `life` seconds with exactly these headers, and its address."""
    path = f"/media/{folder}/{uuid.uuid4()}"
    recording = folder == "uploads"
    parcel = Parcel(path, headers, stored, room, resumable=recording and platform.scenario.uploads.resumable, spoilable=recording)
    platform.parcels[path] = parcel
    if len(platform.parcels) > _MOST_PARCELS:
        del platform.parcels[next(iter(platform.parcels))]
    return parcel, platform.base_url + platform.presigner.sign(path, now=platform.now(), life=life, method="PUT", headers=headers)


def routes(platform: Platform) -> list[web.RouteDef]:
    """Where objects are put."""

    async def put(request: web.Request) -> web.StreamResponse:
        refusal = platform.presigner.refusal(
            request.method,
            request.path,
            request.query,
            has_authorization="Authorization" in request.headers,
            now=platform.now(),
            sent=request.headers,
        )
        parcel = platform.parcels.get(request.path)
        if refusal is None and parcel is None:
            refusal = Refusal(404, "NoSuchKey", "The specified key does not exist.")
        if refusal is None and parcel is not None:
            refusal = _unacceptable(parcel, request)
        if refusal is not None or parcel is None:
            assert refusal is not None
            return refused(refusal)
        if parcel.spoilable and platform.faults.first("upload_error"):
            late = platform.faults.fired["upload_error"] % 2 == 0
            if late:
                return refused(Refusal(503, "SlowDown", "Please reduce your request rate."))
            return refused(Refusal(500, "InternalError", "We encountered an internal error. Please try again."))
        return await _taken(platform, parcel, request)

    return [web.route("*", f"/media/{folder}/{{object}}", put) for folder in ("uploads", "prompts", "flowjobs")]


def _unacceptable(parcel: Parcel, request: web.Request) -> Refusal | None:
    """What the store refuses before it reads the body."""
    ranged = request.headers.get("Content-Range")
    if ranged is not None and not parcel.resumable:
        sentence = "A header you provided implies functionality that is not implemented"
        return Refusal(501, "NotImplemented", sentence, (("Header", "Content-Range"),))
    if request.content_length is None:
        return Refusal(411, "MissingContentLength", "You must provide the Content-Length HTTP header.")
    if request.content_length > _LARGEST:
        return Refusal(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size")
    if ranged is None:
        return None
    chunk = _CHUNK.fullmatch(ranged)
    if chunk is None:
        fits = _QUESTION.fullmatch(ranged) is not None and request.content_length == 0
    else:
        first, last, whole = map(int, chunk.groups())
        fits = first <= last < whole and last - first + 1 == request.content_length
    return None if fits else Refusal(400, "InvalidArgument", "Content-Range does not agree with the body.")


async def _taken(platform: Platform, parcel: Parcel, request: web.Request) -> web.StreamResponse:
    """The request takes its turn: a question is answered, a chunk goes on where the last one ended, anything else begins anew."""
    number = parcel.open()
    chunk = _CHUNK.fullmatch(request.headers.get("Content-Range", ""))
    asked = "Content-Range" in request.headers
    if asked and (parcel.complete or chunk is None or int(chunk[1]) != parcel.size):
        return _progress(platform, parcel)
    if not asked:
        parcel.restart()
    length = request.content_length or 0
    came = await _read(platform, parcel, number, request, length)
    if came < length or parcel.writer != number:
        if not parcel.resumable and parcel.writer == number:
            parcel.restart()
        if request.transport is not None:
            request.transport.close()
        return refused(
            Refusal(400, "IncompleteBody", "You did not provide the number of bytes specified by the Content-Length HTTP header.")
        )
    if chunk is not None and parcel.size < int(chunk[3]):
        return _progress(platform, parcel)
    if not parcel.agrees:
        about = (("ExpectedDigest", parcel.headers["Content-MD5"]), ("CalculatedDigest", parcel.md5))
        parcel.restart()
        return refused(Refusal(400, "BadDigest", "The Content-MD5 you specified did not match what we received.", about))
    parcel.complete = True
    parcel.stored(parcel)
    return _progress(platform, parcel)


async def _read(platform: Platform, parcel: Parcel, number: int, request: web.Request, length: int) -> int:
    """Takes the body piece by piece, never holding it; returns how much came before it ended, broke, or was cut by a fault."""
    most = length
    if parcel.spoilable and length > 1 and platform.faults.first("upload_cut"):
        most = random.Random(f"cut {platform.scenario.seed} {platform.faults.fired['upload_cut']}").randrange(1, length)
    pace, came = platform.scenario.uploads.upload_bandwidth, 0
    try:
        while came < most and parcel.writer == number:
            piece = await request.content.read(min(1 << 16, most - came))
            if not piece:
                break
            came += len(piece)
            if parcel.writer == number:
                parcel.add(piece)
            if pace:
                await platform.clock.sleep(len(piece) / pace)
    except _BROKEN:
        return min(came, length - 1)
    return came


def _progress(platform: Platform, parcel: Parcel) -> web.Response:
    """How far the object is: 200 when it is stored, else where to go on."""
    if parcel.complete:
        return web.Response(status=200, headers={"ETag": f'"{parcel.md5}"'})
    headers = {"Range": f"bytes=0-{parcel.size - 1}"} if parcel.size else {}
    return web.Response(status=platform.scenario.uploads.resume_status, headers=headers)
