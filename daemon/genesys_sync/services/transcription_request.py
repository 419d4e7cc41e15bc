"""The request for a transcript, as an event: whoever makes one makes it here, so that the same wish is the same event. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Final, Self

from genesys_sync.events import Event, Origin, Topic, event_id, iso

FOLDER: Final = "transcriptions"


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionRequest:
    """One file of sound that is to be transcribed by one provider in one locale.

    provider, locale   by their names in the settings; BCP 47
    key, sha256, size, content_type   the file in the archive
    phrases            vocabulary of the trade; it is kept in the ledger, so nothing personal
    seconds, silent    what is known of the sound; None: it is to be measured first
    revision           1; one more for each time that the same is asked for once again
    communication_id   the customer's session, where it is known
    """

    provider: str
    locale: str
    key: str
    sha256: str
    size: int
    content_type: str
    conversation_id: str | None = None
    recording_id: str | None = None
    communication_id: str | None = None
    conversation_ended_at: str | None = None
    phrases: tuple[str, ...] = ()
    redact: bool = False
    speaker_labels: bool = True
    seconds: float | None = None
    silent: bool | None = None
    revision: int = 1

    def id_for(self, organization_id: str) -> str:
        """The id of its event: by content, provider and locale, and whose recording it is."""
        return event_id(
            Topic.TRANSCRIPTION_REQUESTED,
            organization_id=organization_id,
            conversation_id=self.conversation_id,
            recording_id=self.recording_id,
            state=self._state,
            revision=self.revision,
        )

    @property
    def _state(self) -> str:
        return f"{self.sha256}:{self.provider}:{self.locale.lower()}"

    def event(self, organization_id: str, *, at: datetime, day: date, parent: Event | None = None) -> Event:
        """`day` decides in which folder its files lie: the conversation's, or today for a file of nobody's."""
        body = {
            "provider": self.provider,
            "locale": self.locale,
            "source": {"key": self.key, "sha256": self.sha256, "bytes": self.size, "contentType": self.content_type},
            "communicationId": self.communication_id,
            "conversationEndedAt": self.conversation_ended_at,
            "phrases": list(self.phrases),
            "redact": self.redact,
            "speakerLabels": self.speaker_labels,
            "seconds": self.seconds,
            "silent": self.silent,
            "revision": self.revision,
            "requestedAt": iso(at),
        }
        return Event.of(
            Topic.TRANSCRIPTION_REQUESTED,
            occurred_at=at,
            organization_id=organization_id,
            conversation_id=self.conversation_id,
            recording_id=self.recording_id,
            state=self._state,
            revision=self.revision,
            day=day,
            origin=Origin.LIVE if parent is None else Origin.DERIVED,
            parent_id=None if parent is None else parent.id,
            body=body,
        )

    @classmethod
    def of(cls, event: Event) -> Self:
        """The request that an event carries. Raises ValueError for what is none; the message quotes nothing of it."""
        body, source = event.body, event.body.get("source")
        if event.topic != Topic.TRANSCRIPTION_REQUESTED or not isinstance(source, Mapping):
            raise ValueError("the event is no request for a transcript")
        try:
            return cls(
                provider=_text(body["provider"]),
                locale=_text(body["locale"]),
                key=_text(source["key"]),
                sha256=_text(source["sha256"]),
                size=int(source["bytes"]),
                content_type=_text(source.get("contentType", "")),
                conversation_id=event.conversation_id,
                recording_id=event.recording_id,
                communication_id=_optional(body.get("communicationId")),
                conversation_ended_at=_optional(body.get("conversationEndedAt")),
                phrases=tuple(_text(phrase) for phrase in body.get("phrases") or ()),
                redact=body.get("redact") is True,
                speaker_labels=body.get("speakerLabels") is not False,
                seconds=_number(body.get("seconds")),
                silent=body["silent"] if isinstance(body.get("silent"), bool) else None,
                revision=int(body.get("revision", 1)),
            )
        except (KeyError, TypeError, ValueError):
            raise ValueError("the request for a transcript lacks something, or has it in another form") from None


def request_answered(event: Event) -> Event:
    """The request that a `transcription.answered` answers, as it was made. Raises ValueError for what is no answer."""
    asked = event.body.get("asked")
    if event.topic != Topic.TRANSCRIPTION_ANSWERED or not isinstance(asked, Mapping):
        raise ValueError("the event is no answer to a request for a transcript")
    try:
        at = datetime.fromisoformat(str(asked.get("requestedAt")))
        bare = Event.of(
            Topic.TRANSCRIPTION_REQUESTED,
            occurred_at=at,
            organization_id=event.organization_id,
            conversation_id=event.conversation_id,
            recording_id=event.recording_id,
            body=asked,
        )
    except ValueError:
        raise ValueError("the answer tells nothing of its request") from None
    made = TranscriptionRequest.of(bare).event(event.organization_id, at=at, day=event.day)
    if made.id != event.body.get("request"):
        raise ValueError("the answer belongs to another request than it says")
    return made


def work_folder(request: Event) -> str:
    """Where what belongs to a request lies in the archive until it has ended, and a file that belongs to no conversation for good."""
    return f"{FOLDER}/{request.day:%Y/%m/%d}/{request.id}"


def answer_key(request: Event) -> str:
    """Where the listener puts what the provider sent, until it has been read."""
    return f"{work_folder(request)}/answer.json"


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("not text")
    return value


def _optional(value: Any) -> str | None:
    return None if value is None else _text(value)


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
