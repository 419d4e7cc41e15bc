"""Where transcripts lie, and what the platform tells of those that it does not have. `services.Transcripts`."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from genesys_sync.clock import Clock
from genesys_sync.errors import ReasonCode
from genesys_sync.events import canonical_uuid
from genesys_sync.genesys.answers import PlatformRefused
from genesys_sync.genesys.client import Caller
from genesys_sync.genesys.grants import objects
from genesys_sync.genesys.lanes import Lane
from genesys_sync.genesys.recordings import check_id
from genesys_sync.services import MediaPart, NoFiles, SecretUrl, TranscriptFile, TranscriptFiles, TranscriptionSettings

CONTENT_TYPE = "application/json"
FILES_MAX = 100
"""Files of one communication; what the platform lists beyond is not looked at."""
_REMEMBERED_FOR = 600.0
_REMEMBERED_MAX = 5_000
_CONVERSATIONS = "/api/v2/speechandtextanalytics/conversations"
_ENGINES = "/api/v2/speechandtextanalytics/programs/transcriptionengines/dialects"
_NOT_ENABLED = re.compile(r"\b(?:not|n't) (?:been )?enabled\b|\bdisabled\b", re.IGNORECASE)


class TranscriptService:
    """Implements `services.Transcripts`."""

    def __init__(self, client: Caller, *, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._remembered: OrderedDict[str, tuple[float, Any]] = OrderedDict()

    async def find(self, conversation_id: str, communication_id: str) -> TranscriptFiles:
        """See `services.Transcripts.find`. Raises PermanentError(ID_INVALID) for what is no canonical UUID."""
        check_id(conversation_id)
        check_id(communication_id)
        path = f"{_CONVERSATIONS}/{conversation_id}/communications/{communication_id}/transcripturls"
        try:
            reply = await self._client.call("GET", path, shape=dict, lane=Lane.TRANSCRIPTS)
        except PlatformRefused as error:
            without = judge_refusal(error)
            if without is None:
                raise
            return TranscriptFiles(without=without, reason=error.reason)
        files = tuple(parse_urls(reply.body))
        return TranscriptFiles(files, None if files else NoFiles.NOT_THERE)

    async def settings(self) -> TranscriptionSettings:
        """See `services.Transcripts.settings`."""
        body = await self._remember("settings", lambda: self._told("/api/v2/routing/settings/transcription"))
        mode = body.get("transcription") if isinstance(body, dict) else None
        engines = await self._remember("dialects", lambda: self._told(_ENGINES))
        return TranscriptionSettings(mode if isinstance(mode, str) else None, None if engines is None else parse_dialects(engines))

    async def queue_enabled(self, queue_id: str) -> bool | None:
        """See `services.Transcripts.queue_enabled`. Raises PermanentError(ID_INVALID) for what is no canonical UUID."""
        check_id(queue_id)
        body = await self._remember(queue_id, lambda: self._told(f"/api/v2/routing/queues/{queue_id}"))
        enabled = body.get("enableTranscription") if isinstance(body, dict) else None
        return enabled if isinstance(enabled, bool) else None

    async def analysis(self, conversation_id: str) -> Mapping[str, Any] | None:
        """See `services.Transcripts.analysis`."""
        check_id(conversation_id)
        body = await self._told(f"{_CONVERSATIONS}/{conversation_id}")
        return body if isinstance(body, dict) else None

    async def _told(self, path: str) -> Any:
        """The answer's body; None where the platform knows no such thing, or does not tell us."""
        try:
            return (await self._client.call("GET", path, lane=Lane.TRANSCRIPTS)).body
        except PlatformRefused:
            return None

    async def _remember(self, key: str, ask: Callable[[], Awaitable[Any]]) -> Any:
        now = self._clock.monotonic()
        until, known = self._remembered.get(key, (0.0, None))
        if now < until:
            return known
        answer = await ask()
        self._remembered.pop(key, None)
        self._remembered[key] = (now + _REMEMBERED_FOR, answer)
        while len(self._remembered) > _REMEMBERED_MAX:
            self._remembered.popitem(last=False)
        return answer


def judge_refusal(error: PlatformRefused) -> NoFiles | None:
    """What a refused question for transcripts says about them; None when it says nothing, and stays an error. Pure."""
    if error.code is ReasonCode.NOT_FOUND:
        return NoFiles.NOT_THERE
    if error.code is not ReasonCode.FORBIDDEN:
        return None
    not_enabled = error.platform_code == "feature.forbidden" or (not error.missing and _NOT_ENABLED.search(error.reason) is not None)
    return NoFiles.NOT_ENABLED if not_enabled else NoFiles.FORBIDDEN


def parse_urls(body: Mapping[str, Any]) -> Iterator[TranscriptFile]:
    """The files of a `transcripturls` answer: of each recording the first, and of those without one the first. Raises nothing."""
    seen: set[str | None] = set()
    for item in objects(body, "urls")[:FILES_MAX]:
        url, recording = item.get("url"), item.get("recording")
        recording_id = canonical_uuid(recording.get("id")) if isinstance(recording, dict) else None
        if isinstance(url, str) and url and recording_id not in seen:
            seen.add(recording_id)
            yield TranscriptFile(recording_id, MediaPart(SecretUrl(url), CONTENT_TYPE))


def parse_dialects(answer: object) -> frozenset[str]:
    """Every dialect that any engine lists, lower case: the answer's shape is not published, so lists of names are taken wherever
    a key `dialects` stands."""
    found: set[str] = set()
    waiting: list[object] = [answer]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            named = one.get("dialects")
            found.update(name.lower() for name in (named if isinstance(named, list) else ()) if isinstance(name, str))
            waiting.extend(value for value in one.values() if isinstance(value, dict | list))
        elif isinstance(one, list):
            waiting.extend(item for item in one if isinstance(item, dict | list))
    return frozenset(found)
