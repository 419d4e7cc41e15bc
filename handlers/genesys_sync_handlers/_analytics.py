"""What the analytics detail record of a conversation says about its recordings. Pure; the record holds personal data, the answers none.

Shape (published): `{conversationStart, conversationEnd, participants: [{screenRecording?, sessions: [{sessionId, mediaType, recording?,
segments: [{segmentStart, segmentEnd, segmentType}]}]}]}`. Everything may be absent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

from genesys_sync_handlers._times import parse_iso

_NOT_CONNECTED = frozenset({"alert", "contacting", "dialing", "wrapup", "callback", "scheduled", "uploading", "converting", "transmitting"})
_LONGEST = timedelta(days=7)
_FREE_TEXT = frozenset({"subject", "wrapUpNote"})
_AS_LONG = 2.0
"""Seconds by which a recording may differ from the time that it was made in."""


def recording_started(details: Mapping[str, Any]) -> bool | None:
    """Whether any session was recorded: True, False when sessions say that they were not and none says that it was, None when none says."""
    said: list[bool] = [value for participant in _maps(details, "participants") for value in _flags(participant)]
    return any(said) if said else None


def _flags(participant: Mapping[str, Any]) -> Iterator[bool]:
    if isinstance(participant.get("screenRecording"), bool):
        yield participant["screenRecording"]
    for session in _maps(participant, "sessions"):
        for key in ("recording", "snippetRecording"):
            if isinstance(session.get(key), bool):
                yield session[key]


def candidate_durations(details: Mapping[str, Any], session_id: str | None) -> list[float]:
    """How long the recording may be, in seconds with milliseconds, ascending, each once; empty when the record does not say.

    The candidates are, for the session that the recording names (for every one, when it names none that is here), the whole session
    without wrap-up and its connected part, and the whole conversation, which is the upper bound.
    """
    found = {end - start for start, end in _candidates(details, session_id)}
    return sorted(round(span.total_seconds(), 3) for span in found if timedelta(0) < span <= _LONGEST)


def recording_began(details: Mapping[str, Any], session_id: str | None, seconds: float | None) -> datetime | None:
    """When a recording of this length began: the begin of the candidates that are as long as it; None where they begin apart, or there
    are none. The platform tells it of screen recordings alone."""
    if seconds is None:
        return None
    found = {start for start, end in _candidates(details, session_id) if abs((end - start).total_seconds() - seconds) <= _AS_LONG}
    return min(found) if found and max(found) - min(found) <= timedelta(seconds=_AS_LONG) else None


def _candidates(details: Mapping[str, Any], session_id: str | None) -> Iterator[tuple[datetime, datetime]]:
    sessions = [session for participant in _maps(details, "participants") for session in _maps(participant, "sessions")]
    named = [session for session in sessions if session_id and session.get("sessionId") == session_id]
    for session in named or sessions:
        yield from _session_spans(session)
    first, last = parse_iso(details.get("conversationStart")), parse_iso(details.get("conversationEnd"))
    if first is not None and last is not None:
        yield first, last


def without_free_text(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record without what people wrote into it: `subject` of e-mails, `wrapUpNote`, at any depth."""
    return {key: _trimmed(value) for key, value in record.items() if key not in _FREE_TEXT}


def _trimmed(value: Any) -> Any:
    if isinstance(value, Mapping):
        return without_free_text(value)
    return [_trimmed(item) for item in value] if isinstance(value, list) else value


def _session_spans(session: Mapping[str, Any]) -> Iterator[tuple[datetime, datetime]]:
    segments = [segment for segment in _maps(session, "segments") if segment.get("segmentType") != "wrapup"]
    connected = [segment for segment in segments if segment.get("segmentType") not in _NOT_CONNECTED]
    for chosen in (segments, connected):
        starts = [moment for segment in chosen if (moment := parse_iso(segment.get("segmentStart"))) is not None]
        ends = [moment for segment in chosen if (moment := parse_iso(segment.get("segmentEnd"))) is not None]
        if starts and ends:
            yield min(starts), max(ends)


def _maps(holder: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    value = holder.get(key)
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, Mapping))
