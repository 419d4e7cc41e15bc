"""Which recordings an event asks to have transcribed: a verified recording itself, or those of a communication without a transcript."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from genesys_sync.plugin import Event, Services, Topic, is_canonical_uuid
from genesys_sync.transcripts import communications
from genesys_sync_handlers._keys import sidecar_key
from genesys_sync_handlers._report import Caution

Wish = dict[str, Any]
"""The fields of a `TranscriptionRequest` that tell of the recording."""


async def wishes(event: Event, services: Services, queues: Sequence[str]) -> list[Wish] | str:
    """One for each file with sound; or, in a few words, why there is none. Raises what asking the platform raises."""
    conversation = event.conversation_id
    if conversation is None or not is_canonical_uuid(conversation):
        return "excluded: it belongs to no conversation"
    if queues and not await _in_queues(conversation, services, frozenset(queues)):
        return "excluded: the settings name other queues"
    if event.topic == Topic.MEDIA_VERIFIED:
        found = verified(event.body, conversation, event.recording_id or "")
    else:
        found = await _of_communication(event, conversation, services)
    return found or "there is no recording with sound in the archive"


def verified(body: Mapping[str, Any], conversation_id: str, recording_id: str) -> list[Wish]:
    """What the verifier found good, with its measures. Pure."""
    warnings = body.get("warnings") or ()
    return [
        {
            **_file(part, conversation_id, recording_id, body.get("conversationEndedAt")),
            "seconds": float(part.get("duration") or 0.0),
            "silent": Caution.MEDIA_SILENT in warnings,
        }
        for part in body.get("parts") or ()
        if part.get("codec") and part.get("duration")
    ]


async def _of_communication(event: Event, conversation: str, services: Services) -> list[Wish]:
    """By the sidecars in the archive of what the platform lists: what was rejected has none there."""
    communication = event.body.get("communicationId")
    look = await services.genesys.recordings.look(conversation, definitive=True)
    found: list[Wish] = []
    for recording in look.recordings:
        if recording.media != "audio" or recording.session_id != communication or not is_canonical_uuid(recording.recording_id):
            continue
        try:
            sidecar = orjson.loads(await services.storage.read(sidecar_key(event.day, conversation, recording.recording_id)))
        except (FileNotFoundError, orjson.JSONDecodeError):
            continue
        ended = sidecar.get("conversationEndedAt")
        found += [
            {**_file(part, conversation, recording.recording_id, ended), "communication_id": communication}
            for part in sidecar.get("parts") or ()
        ]
    return found


def _file(part: Mapping[str, Any], conversation_id: str, recording_id: str, ended: object) -> Wish:
    return {
        "key": part["key"],
        "sha256": part["sha256"],
        "size": part["bytes"],
        "content_type": part.get("contentType") or _content_type(part),
        "conversation_id": conversation_id,
        "recording_id": recording_id,
        "conversation_ended_at": ended if isinstance(ended, str) else None,
    }


def _content_type(part: Mapping[str, Any]) -> str:
    container = part.get("container") or ""
    return {"mp3": "audio/mpeg", "webm": "audio/webm", "mp4": "audio/mp4"}.get(container, f"audio/{container}" if container else "")


async def _in_queues(conversation: str, services: Services, queues: frozenset[str]) -> bool:
    details = await services.genesys.conversations.details(conversation)
    return details is not None and any(not queues.isdisjoint(one.queue_ids) for one in communications(details))
