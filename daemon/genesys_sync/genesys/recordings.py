"""Which recordings a conversation has, and where their media lie now. `services.Recordings`, with as few requests as can be."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import anyio
from anyio.abc import TaskGroup

from genesys_sync.clock import Clock
from genesys_sync.errors import GenesysSyncError, PermanentError, ReasonCode, TransientError
from genesys_sync.events import is_canonical_uuid
from genesys_sync.genesys.batches import ITEMS_MAX, Batches, BatchResult, item_error
from genesys_sync.genesys.client import Caller
from genesys_sync.genesys.gather import Answers, Gatherer, halving
from genesys_sync.genesys.orphans import PATH as ORPHANS
from genesys_sync.genesys.turns import LAST
from genesys_sync.metrics import Metrics
from genesys_sync.services import Look, MediaPart, RecordingInfo, SecretUrl
from genesys_sync.settings import GenesysSettings

Parts = tuple[MediaPart, ...]

FILE_STATES = frozenset({"UPLOADING", "AVAILABLE", "ARCHIVED", "RESTORING", "RESTORED", "DELETED", "ERROR"})
FETCHABLE = frozenset({"AVAILABLE", "RESTORED"})
NO_FORMATS = {"formatId": "NONE", "emailFormatId": "NONE", "chatFormatId": "NONE", "messageFormatId": "NONE"}
BODIES_MAX = 16
"""Bodies of written recordings that are read at one time."""
REMEMBERED_MAX = 10_000
TRANSCODE_PATIENCE = 60.0
"""Seconds that one `locate` with a format waits for the platform's transcoder."""
_TRANSCODE_WAIT_MIN = 1.0
_TRANSCODE_WAIT_MAX = 30.0
_CONTENT_TYPES = {
    "WAV": "audio/wav",
    "WAV_ULAW": "audio/wav",
    "WEBM": "audio/webm",
    "OGG_VORBIS": "audio/ogg",
    "OGG_OPUS": "audio/ogg",
    "MP3": "audio/mpeg",
}


@dataclass(frozen=True, slots=True)
class _Place:
    """One recording whose media somebody wants. The same one asked for twice counts once, whatever its urgency."""

    conversation_id: str
    recording_id: str
    urgency: float = field(compare=False)

    @property
    def key(self) -> tuple[str, str]:
        return self.conversation_id, self.recording_id


class RecordingService:
    """Implements `services.Recordings`."""

    def __init__(self, client: Caller, tasks: TaskGroup, settings: GenesysSettings, *, clock: Clock, metrics: Metrics) -> None:
        self._client = client
        self._unknown_states = metrics.unknown_file_states
        self._clock = clock
        self._batch_from = settings.batch_from
        self._batches = Batches(client, clock=clock, poll=settings.batch_poll)
        self._bodies = anyio.CapacityLimiter(BODIES_MAX)
        self._remembered = Remembered(life=settings.media_url_life, now=clock.monotonic)
        self._looks: Gatherer[str, Look] = Gatherer(tasks, self._look_at_all, clock=clock, window=settings.batch_gather, limit=ITEMS_MAX)
        self._places: Gatherer[_Place, Parts] = Gatherer(
            tasks, self._locate_all, clock=clock, window=settings.batch_gather, limit=ITEMS_MAX
        )

    async def look(self, conversation_id: str, *, definitive: bool = False) -> Look:
        """See `services.Recordings.look`. Raises PermanentError(ID_INVALID) for what is no canonical UUID."""
        check_id(conversation_id)
        return await (self._metadata(conversation_id) if definitive else self._looks.ask(conversation_id))

    async def locate(
        self,
        conversation_id: str,
        recording_id: str,
        *,
        format_id: str | None = None,
        fresh: bool = False,
        before: datetime | None = None,
    ) -> Parts:
        """See `services.Recordings.locate`."""
        check_id(conversation_id)
        check_id(recording_id)
        urgency = LAST if before is None else before.timestamp()
        if format_id is not None:
            return await self._transcoded(conversation_id, recording_id, format_id, urgency)
        if fresh:
            self._remembered.forget((conversation_id, recording_id))
        elif (parts := self._remembered.get((conversation_id, recording_id))) is not None:
            return parts
        return await self._places.ask(_Place(conversation_id, recording_id, urgency))

    async def locate_orphan(self, recording_id: str, *, format_id: str) -> Parts:
        """See `services.Recordings.locate_orphan`."""
        check_id(recording_id)
        return await self._fetched(f"{ORPHANS}/{recording_id}/media", format_id, LAST)

    async def get(self, conversation_id: str, recording_id: str) -> Mapping[str, Any]:
        """See `services.Recordings.get`."""
        path = _recording_path(conversation_id, recording_id)
        reply = await self._client.call("GET", path, params={"formatId": "NONE"}, shape=dict)
        return without_urls(reply.body)

    async def body(self, conversation_id: str, recording_id: str, *, before: datetime | None = None) -> bytes:
        """See `services.Recordings.body`."""
        path, urgency = _recording_path(conversation_id, recording_id), LAST if before is None else before.timestamp()
        async with self._bodies:  # each is in memory as a whole
            reply = await self._client.call("GET", path, params=NO_FORMATS, shape=dict, urgency=urgency)
        if reply.status != 200 or reply.body.get("fileState") not in FETCHABLE:
            raise TransientError("the recording cannot be had yet", code=ReasonCode.NOT_READY, correlation_id=reply.correlation_id)
        return reply.raw

    # --- looking

    async def _metadata(self, conversation_id: str) -> Look:
        reply = await self._client.call("GET", f"/api/v2/conversations/{conversation_id}/recordingmetadata", shape=list)
        infos = tuple(parse_metadata(reply.body))
        self._unknown_states.inc(sum(info.file_state not in FILE_STATES for info in infos))
        return Look(infos, definitive=True)

    async def _look_at_all(self, conversation_ids: Sequence[str]) -> Answers[str, Look]:
        if len(conversation_ids) < self._batch_from:
            return await self._look_at_each(conversation_ids)
        return await halving(self._look_by_batch, conversation_ids)

    async def _look_at_each(self, conversation_ids: Sequence[str]) -> Answers[str, Look]:
        answers: dict[str, Look | GenesysSyncError] = {}

        async def look_at(conversation_id: str) -> None:
            try:
                answers[conversation_id] = await self._metadata(conversation_id)
            except GenesysSyncError as error:
                answers[conversation_id] = error

        async with anyio.create_task_group() as tasks:
            for conversation_id in conversation_ids:
                tasks.start_soon(look_at, conversation_id)
        return answers

    async def _look_by_batch(self, conversation_ids: Sequence[str]) -> Answers[str, Look]:
        found: dict[str, list[RecordingInfo]] = {conversation_id: [] for conversation_id in conversation_ids}
        results = await self._batches.run([(conversation_id, None) for conversation_id in conversation_ids])
        for (conversation_id, recording_id), theirs in _by_recording(results).items():
            if conversation_id in found and all(result.url is not None for result in theirs):
                found[conversation_id].append(RecordingInfo(recording_id, "AVAILABLE"))
                self._remembered.put((conversation_id, recording_id), _parts(theirs))
        return {conversation_id: Look(tuple(infos), definitive=False) for conversation_id, infos in found.items()}

    # --- locating

    async def _locate_all(self, places: Sequence[_Place]) -> Answers[_Place, Parts]:
        return await halving(self._locate_by_batch, places)

    async def _locate_by_batch(self, places: Sequence[_Place]) -> Answers[_Place, Parts]:
        """A batch is as urgent as the most urgent in it."""
        found = _by_recording(await self._batches.run([place.key for place in places], urgency=min(place.urgency for place in places)))
        return {place: _judged(found.get(place.key, ())) for place in places}

    async def _transcoded(self, conversation_id: str, recording_id: str, format_id: str, urgency: float) -> Parts:
        """The single recording in another format, waiting as long as the platform's estimates say, within TRANSCODE_PATIENCE."""
        return await self._fetched(_recording_path(conversation_id, recording_id), format_id, urgency)

    async def _fetched(self, path: str, format_id: str, urgency: float) -> Parts:
        deadline = self._clock.monotonic() + TRANSCODE_PATIENCE
        while True:
            reply = await self._client.call("GET", path, params={"formatId": format_id, "download": "false"}, urgency=urgency)
            body = reply.body if isinstance(reply.body, dict) else {}
            if reply.status == 200 and (parts := parse_media_uris(body, _CONTENT_TYPES.get(format_id, ""))):
                return parts
            wait = _estimate(body)
            if reply.status == 200 or self._clock.monotonic() + wait > deadline:
                raise TransientError(
                    "the platform has not finished transcoding" if reply.status != 200 else "the platform names no media",
                    delay=timedelta(seconds=wait) if reply.status != 200 else None,
                    code=ReasonCode.NOT_READY,
                    correlation_id=reply.correlation_id,
                )
            await self._clock.sleep(wait)


class Remembered:
    """Locations that a look brought along: in memory only, few, and for a short time, because the URLs expire."""

    def __init__(self, *, life: timedelta, now: Callable[[], float], limit: int = REMEMBERED_MAX) -> None:
        self._life = life.total_seconds()
        self._now = now
        self._limit = limit
        self._parts: OrderedDict[tuple[str, str], tuple[float, Parts]] = OrderedDict()

    def put(self, key: tuple[str, str], parts: Parts) -> None:
        self._parts.pop(key, None)
        self._parts[key] = (self._now() + self._life, parts)
        while self._parts and (len(self._parts) > self._limit or next(iter(self._parts.values()))[0] <= self._now()):
            self._parts.popitem(last=False)

    def get(self, key: tuple[str, str]) -> Parts | None:
        expiry, parts = self._parts.get(key, (0.0, ()))
        return parts if parts and self._now() < expiry else None

    def forget(self, key: tuple[str, str]) -> None:
        self._parts.pop(key, None)


def check_id(text: str) -> None:
    """Raises PermanentError(ID_INVALID) for anything but a canonical lower-case UUID."""
    if not is_canonical_uuid(text):
        raise PermanentError("a conversation's or recording's id must be a canonical lower-case UUID", code=ReasonCode.ID_INVALID)


def _recording_path(conversation_id: str, recording_id: str) -> str:
    check_id(conversation_id)
    check_id(recording_id)
    return f"/api/v2/conversations/{conversation_id}/recordings/{recording_id}"


def _by_recording(results: Iterable[BatchResult]) -> dict[tuple[str, str], list[BatchResult]]:
    grouped: dict[tuple[str, str], list[BatchResult]] = {}
    for result in results:
        grouped.setdefault((result.conversation_id, result.recording_id), []).append(result)
    return grouped


def _parts(results: Iterable[BatchResult]) -> Parts:
    return tuple(MediaPart(result.url, result.content_type) for result in results if result.url is not None)


def _judged(results: Sequence[BatchResult]) -> Parts | GenesysSyncError:
    """The parts of one recording, or why there are none; a recording of which one part fails is not there yet."""
    for result in results:
        if result.error:
            return item_error(result.error)
    parts = _parts(results)
    if not parts or len(parts) < len(results):
        return TransientError("the platform names no media for this recording yet", code=ReasonCode.NOT_READY)
    return parts


def parse_metadata(listed: Iterable[Any]) -> list[RecordingInfo]:
    """`recordingmetadata`: every entry that has a valid id. Raises nothing."""
    infos: list[RecordingInfo] = []
    for item in listed:
        recording_id = item.get("id") if isinstance(item, dict) else None
        if not isinstance(recording_id, str) or not is_canonical_uuid(recording_id.lower()):
            continue
        session_id = item.get("sessionId")
        infos.append(
            RecordingInfo(
                recording_id.lower(),
                str(item.get("fileState") or ""),
                str(item.get("media") or ""),
                session_id if isinstance(session_id, str) and session_id else None,
                without_urls(item),
            )
        )
    return infos


def parse_media_uris(body: Mapping[str, Any], content_type: str) -> Parts:
    """The parts of a single recording in the order of their keys: "2" before "10". Empty when nothing is playable."""
    uris = body.get("mediaUris")
    if not isinstance(uris, dict):
        return ()
    entries = sorted(uris.items(), key=lambda item: (len(item[0]), item[0]))
    urls = [entry.get("mediaUri") for _, entry in entries if isinstance(entry, dict)]
    return tuple(MediaPart(SecretUrl(url), content_type) for url in urls if isinstance(url, str) and url)


def without_urls(item: Mapping[str, Any]) -> dict[str, Any]:
    """A copy without anything that holds a URL, at any depth: presigned ones are secrets."""
    return {key: _cleaned(value) for key, value in item.items() if key not in {"mediaUris", "selfUri"} and not _is_url(value)}


def _cleaned(value: Any) -> Any:
    if isinstance(value, dict):
        return without_urls(value)
    if isinstance(value, list):
        return [_cleaned(entry) for entry in value if not _is_url(entry)]
    return value


def _is_url(value: Any) -> bool:
    return isinstance(value, str) and "://" in value


def _estimate(body: Mapping[str, Any]) -> float:
    """Seconds to wait before asking again, by the platform's estimate, which is often none."""
    estimate = body.get("estimatedTranscodeTimeMs")
    seconds = estimate / 1000 if isinstance(estimate, int | float) and not isinstance(estimate, bool) else 5.0
    return max(_TRANSCODE_WAIT_MIN, min(_TRANSCODE_WAIT_MAX, seconds))
