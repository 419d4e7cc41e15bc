"""Which communications of a conversation can have a transcript, by its analytics detail record. Pure; the record holds personal data,
the answers hold none."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from genesys_sync.events import canonical_uuid
from genesys_sync.transcripts import fields

MEDIA_TYPES: Final = ("voice", "chat", "message", "email")
"""Those that the platform keeps transcripts of, as analytics names them."""
_NAMES: Final = {"call": "voice", "voice": "voice", "chat": "chat", "message": "message", "messaging": "message", "email": "email"}
_COUNTED_NOT: Final = frozenset({"wrapup", "callback", "scheduled", "dialing", "contacting", "alert"})


@dataclass(frozen=True, slots=True)
class Communication:
    """The customer's session, under whose id the platform keeps transcripts.

    media_type  one of MEDIA_TYPES
    queue_ids   the queues that it was in; where it names none, those of the whole conversation
    seconds     how long the customer was connected; None where the record does not say
    recorded    whether the session was recorded; None where it does not say
    languages   BCP 47, which the conversation's flows were played in; empty where the record does not say
    """

    id: str
    media_type: str
    queue_ids: tuple[str, ...] = ()
    seconds: float | None = None
    recorded: bool | None = None
    languages: tuple[str, ...] = ()


def communications(details: Mapping[str, Any]) -> tuple[Communication, ...]:
    """The customer's communications, each once, ordered by id; those of other external people where no customer took part."""
    participants = list(fields.objects(details, "participants"))
    everywhere = _queues(session for one in participants for session in fields.objects(one, "sessions"))
    languages = _languages(session for one in participants for session in fields.objects(one, "sessions"))
    for purpose in ("customer", "external"):
        found: dict[str, Communication] = {}
        for participant in participants:
            if fields.label(participant.get("purpose")) != purpose:
                continue
            for session in fields.objects(participant, "sessions"):
                one = _communication(session, everywhere, languages)
                if one is not None:
                    found.setdefault(one.id, one)
        if found:
            return tuple(found[name] for name in sorted(found))
    return ()


def _communication(session: Mapping[str, Any], everywhere: tuple[str, ...], languages: tuple[str, ...]) -> Communication | None:
    session_id = canonical_uuid(session.get("sessionId"))
    media_type = _NAMES.get(fields.label(session.get("mediaType")))
    if session_id is None or media_type is None:
        return None
    recorded = session.get("recording")
    return Communication(
        session_id,
        media_type,
        _queues([session]) or everywhere,
        _seconds(session),
        recorded if isinstance(recorded, bool) else None,
        languages,
    )


def _queues(sessions: Iterator[Mapping[str, Any]] | list[Mapping[str, Any]]) -> tuple[str, ...]:
    named = (canonical_uuid(segment.get("queueId")) for session in sessions for segment in fields.objects(session, "segments"))
    return tuple(dict.fromkeys(queue for queue in named if queue is not None))


def _languages(sessions: Iterator[Mapping[str, Any]]) -> tuple[str, ...]:
    flows = (flow for session in sessions if isinstance(flow := session.get("flow"), Mapping))
    named = (fields.language(flow.get(key)) for flow in flows for key in ("startingLanguage", "endingLanguage"))
    return tuple(dict.fromkeys(one for one in named if one is not None))


def _seconds(session: Mapping[str, Any]) -> float | None:
    segments = [one for one in fields.objects(session, "segments") if fields.label(one.get("segmentType")) not in _COUNTED_NOT]
    starts = [at for one in segments if (at := moment(one.get("segmentStart"))) is not None]
    ends = [at for one in segments if (at := moment(one.get("segmentEnd"))) is not None]
    return round((max(ends) - min(starts)).total_seconds(), 3) if starts and ends else None


def moment(value: object) -> datetime | None:
    """A time of analytics, aware; None for what is none, or has no zone."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return found if found is not None and found.tzinfo is not None else None
