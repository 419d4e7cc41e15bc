"""Events: immutable facts with an id that is a pure function of the fact.

The same fact seen twice, on the socket and by back-fill, before a restart and after it, gives the same id, and the ledger
records it once. An event carries no secret, no URL and no personal data: it is kept in the ledger.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import Any, Self

Body = Mapping[str, Any]
"""What an event says beyond its identity: JSON values only."""

_TOPIC = re.compile(r"[a-z][a-z0-9_]*\.[a-z][a-z0-9_]*")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def iso(moment: datetime) -> str:
    """A time as it stands in JSON: ISO 8601, UTC, milliseconds, `Z`."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class Topic(StrEnum):
    """The kinds of event that the program itself knows; a handler of yours may emit others of the form `noun.past_participle`."""

    CONVERSATION_ENDED = "conversation.ended"
    RECORDING_CREATED = "recording.created"
    RECORDING_STATUS_CHANGED = "recording.status_changed"
    RECORDING_READY = "recording.ready"
    RECORDING_LOST = "recording.lost"
    RECORDING_ORPHANED = "recording.orphaned"
    MEDIA_ARCHIVED = "media.archived"
    MEDIA_VERIFIED = "media.verified"
    MEDIA_REJECTED = "media.rejected"
    MEDIA_REDACTED = "media.redacted"
    TRANSCRIPT_ARCHIVED = "transcript.archived"
    TRANSCRIPT_REDACTED = "transcript.redacted"
    TRANSCRIPT_MISSING = "transcript.missing"
    TRANSCRIPTION_REQUESTED = "transcription.requested"
    TRANSCRIPTION_ANSWERED = "transcription.answered"
    TRANSCRIPTION_COMPLETED = "transcription.completed"
    UTTERANCE_FINISHED = "utterance.finished"
    RECORDING_PAUSE_LEFT = "recording.pause_left"
    UPLOAD_REQUESTED = "upload.requested"
    UPLOAD_COMPLETED = "upload.completed"
    UPLOAD_FAILED = "upload.failed"
    PROMPT_TRANSCODED = "prompt.transcoded"
    FLOW_PUBLISHED = "flow.published"
    DELIVERY_DEAD_LETTERED = "delivery.dead_lettered"
    AUDIT_CHECKPOINTED = "audit.checkpointed"
    PLATFORM_UNKNOWN = "platform.unknown"


class Origin(StrEnum):
    """How an event reached us."""

    LIVE = "live"
    BACKFILL = "backfill"
    DERIVED = "derived"


def is_canonical_uuid(text: str) -> bool:
    """True for a canonical lower-case UUID and nothing else: what may come near a path or a request."""
    return _UUID.fullmatch(text) is not None


def canonical_uuid(value: object) -> str | None:
    """An id as the platform wrote it, in the canonical form by which we know it: lower case. None for what is no UUID."""
    text = value.lower() if isinstance(value, str) else ""
    return text if is_canonical_uuid(text) else None


def event_id(
    topic: str, *, organization_id: str, conversation_id: str | None, recording_id: str | None, state: str = "", revision: int = 1
) -> str:
    """32 hexadecimal digits: BLAKE2b over the facts, each preceded by its length so that no two lists of facts meet."""
    digest = hashlib.blake2b(digest_size=16)
    for fact in (topic, organization_id, conversation_id or "", recording_id or "", state, str(revision)):
        encoded = fact.encode()
        digest.update(len(encoded).to_bytes(4, "big"))
        digest.update(encoded)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One fact. Make it with `Event.of`, or from another event with `derive`.

    id               32 hexadecimal digits, a pure function of topic, organisation, conversation, recording, state and revision
    topic            `noun.past_participle`
    occurred_at      when it became true, aware, UTC
    day              the UTC day on which its conversation began (for others, on which it occurred): keeps the ledger's
                     dedupe key in order of time. It is a hint, not part of the identity
    organization_id  whose fact it is
    origin           live, backfill or derived
    parent_id        the event from which a handler derived this one
    body             JSON values; never a secret, a URL or personal data
    """

    id: str
    topic: str
    occurred_at: datetime
    day: date
    organization_id: str
    conversation_id: str | None = None
    recording_id: str | None = None
    origin: Origin = Origin.LIVE
    parent_id: str | None = None
    body: Body = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        topic: str,
        *,
        occurred_at: datetime,
        organization_id: str,
        conversation_id: str | None = None,
        recording_id: str | None = None,
        state: str = "",
        revision: int = 1,
        day: date | None = None,
        origin: Origin = Origin.LIVE,
        parent_id: str | None = None,
        body: Body | None = None,
    ) -> Self:
        """The event for these facts. Raises ValueError for a topic not of the form `noun.past_participle` or a naive time."""
        if _TOPIC.fullmatch(topic) is None:
            raise ValueError(f"topic {topic!r} is not of the form noun.past_participle")
        if occurred_at.tzinfo is None:
            raise ValueError("occurred_at must carry a time zone")
        moment = occurred_at.astimezone(UTC)
        return cls(
            id=event_id(
                topic,
                organization_id=organization_id,
                conversation_id=conversation_id,
                recording_id=recording_id,
                state=state,
                revision=revision,
            ),
            topic=topic,
            occurred_at=moment,
            day=day or moment.date(),
            organization_id=organization_id,
            conversation_id=conversation_id,
            recording_id=recording_id,
            origin=origin,
            parent_id=parent_id,
            body=dict(body or {}),
        )

    def derive(
        self,
        topic: str,
        *,
        occurred_at: datetime,
        recording_id: str | None = None,
        state: str = "",
        revision: int = 1,
        body: Body | None = None,
    ) -> Event:
        """An event that follows from this one: same organisation, conversation and day; same recording unless another is named."""
        return Event.of(
            topic,
            occurred_at=occurred_at,
            organization_id=self.organization_id,
            conversation_id=self.conversation_id,
            recording_id=recording_id or self.recording_id,
            state=state,
            revision=revision,
            day=self.day,
            origin=Origin.DERIVED,
            parent_id=self.id,
            body=body,
        )


def delivery_id(event: str, handler: str) -> str:
    """The idempotency key of one event on its way to one handler: a pure function of both, so it survives the loss of the ledger."""
    return "dlv_" + hashlib.blake2b(f"{event}\0{handler}".encode(), digest_size=16).hexdigest()
