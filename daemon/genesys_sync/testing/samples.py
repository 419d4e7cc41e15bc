"""Events for tests."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any, Final

from genesys_sync.events import Event, Origin

ORGANIZATION_ID: Final = "0a0a0a0a-0000-4000-8000-000000000001"
CONVERSATION_ID: Final = "c0c0c0c0-0000-4000-8000-000000000001"
RECORDING_ID: Final = "e0e0e0e0-0000-4000-8000-000000000001"
COMMUNICATION_ID: Final = "d0d0d0d0-0000-4000-8000-000000000001"

_RECORDINGS = ("recording.", "media.")
_ENDED = "2026-08-01T11:59:00.000Z"
_TRANSCRIPT = f"transcripts/2026/08/01/{CONVERSATION_ID}/{COMMUNICATION_ID}"
_BODIES: dict[str, dict[str, Any]] = {
    "conversation.ended": {
        "startedAt": "2026-08-01T11:55:00.000Z",
        "endedAt": _ENDED,
        "mediaTypes": ["voice"],
        "queueIds": [],
        "recordingSeen": True,
    },
    "recording.created": {"media": "audio", "sessionId": None, "fileState": "UPLOADING"},
    "recording.status_changed": {"fileState": "AVAILABLE"},
    "recording.ready": {"media": "audio", "sessionId": None, "conversationEndedAt": _ENDED, "revision": 1},
    "recording.lost": {"reason": "DELETED_UPSTREAM", "fileState": "DELETED"},
    "media.archived": {
        "revision": 1,
        "conversationEndedAt": _ENDED,
        "media": "audio",
        "parts": [
            {
                "key": f"recordings/2026/08/01/{CONVERSATION_ID}/{RECORDING_ID}.wav",
                "sha256": "0" * 64,
                "bytes": 16044,
                "contentType": "audio/wav",
                "lengthStated": True,
            }
        ],
        "sidecar": f"recordings/2026/08/01/{CONVERSATION_ID}/{RECORDING_ID}.json",
        "sidecarSha256": "0" * 64,
        "expected": {"durations": [1.0], "source": "analytics"},
    },
    "media.verified": {
        "revision": 1,
        "conversationEndedAt": _ENDED,
        "parts": [
            {
                "key": f"recordings/2026/08/01/{CONVERSATION_ID}/{RECORDING_ID}.wav",
                "sha256": "0" * 64,
                "bytes": 16044,
                "container": "wav",
                "codec": "pcm_s16le",
                "sampleRate": 8000,
                "channels": 1,
                "duration": 1.0,
            }
        ],
        "warnings": [],
    },
    "media.rejected": {
        "revision": 1,
        "reason": "HEADER_ONLY",
        "detail": "the file ends after its header",
        "quarantine": [f"quarantine/2026/08/01/{CONVERSATION_ID}/{RECORDING_ID}.r1.wav"],
    },
    "transcript.archived": {
        "communicationId": COMMUNICATION_ID,
        "recordingIds": [],
        "source": "platform",
        "mediaType": "voice",
        "languages": ["en-US"],
        "segments": 2,
        "words": 9,
        "transcriptDurationSeconds": 9.0,
        "raw": {"key": f"{_TRANSCRIPT}.raw.json", "sha256": "0" * 64, "bytes": 1000},
        "transcript": {"key": f"{_TRANSCRIPT}.json", "sha256": "0" * 64, "bytes": 800},
        "forms": [],
        "sidecar": f"{_TRANSCRIPT}.archive.json",
        "conversationEndedAt": _ENDED,
        "revision": 1,
    },
    "transcript.missing": {"communicationId": COMMUNICATION_ID, "reason": "never_appeared", "looks": 9},
    "audit.checkpointed": {"size": 1, "root": "0" * 64},
    "delivery.dead_lettered": {
        "handler": "archive",
        "deliveryId": "dlv_" + "0" * 32,
        "topic": "recording.ready",
        "reason": "ATTEMPTS_EXHAUSTED",
        "attempts": 10,
    },
}


def make_event(
    topic: str,
    *,
    occurred_at: datetime = datetime(2026, 8, 1, 12, tzinfo=UTC),
    organization_id: str = ORGANIZATION_ID,
    conversation_id: str | None = CONVERSATION_ID,
    recording_id: str | None = None,
    state: str = "",
    revision: int = 1,
    day: date | None = None,
    origin: Origin = Origin.LIVE,
    body: dict[str, Any] | None = None,
) -> Event:
    """An event of this topic with a body as the program itself makes it; what is named here takes its place.

    Keys of `body` are put over those of the sample body. Events about recordings and media carry a recording id unless one is
    named. The same arguments give the same event: for two events name two conversations, recordings, states or revisions.
    """
    if recording_id is None and topic.startswith(_RECORDINGS):
        recording_id = RECORDING_ID
    sample = _BODIES.get(topic, {})
    if "revision" in sample:
        sample = {**sample, "revision": revision}
    return Event.of(
        topic,
        occurred_at=occurred_at,
        organization_id=organization_id,
        conversation_id=conversation_id,
        recording_id=recording_id,
        state=state,
        revision=revision,
        day=day,
        origin=origin,
        body={**sample, **(body or {})},
    )
