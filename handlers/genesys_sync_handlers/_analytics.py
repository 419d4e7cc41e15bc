"""What the analytics detail record of a conversation says about its recordings. Pure; the record holds personal data, the answers none.

Shape (published): `{conversationStart, conversationEnd, participants: [{screenRecording?, sessions: [{sessionId, mediaType, recording?,
segments: [{segmentStart, segmentEnd, segmentType}]}]}]}`. Everything may be absent.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any

from genesys_sync_handlers._times import parse_iso

_NOT_CONNECTED = frozenset({"alert", "contacting", "dialing", "wrapup", "callback", "scheduled", "uploading", "converting", "transmitting"})
_LONGEST = timedelta(days=7)


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
    sessions = [session for participant in _maps(details, "participants") for session in _maps(participant, "sessions")]
    named = [session for session in sessions if session_id and session.get("sessionId") == session_id]
    found = {span for session in named or sessions for span in _session_spans(session)}
    whole = _span(details.get("conversationStart"), details.get("conversationEnd"))
    if whole is not None:
        found.add(whole)
    return sorted(round(span.total_seconds(), 3) for span in found if timedelta(0) < span <= _LONGEST)


def _session_spans(session: Mapping[str, Any]) -> Iterator[timedelta]:
    segments = [segment for segment in _maps(session, "segments") if segment.get("segmentType") != "wrapup"]
    connected = [segment for segment in segments if segment.get("segmentType") not in _NOT_CONNECTED]
    for chosen in (segments, connected):
        starts = [moment for segment in chosen if (moment := parse_iso(segment.get("segmentStart"))) is not None]
        ends = [moment for segment in chosen if (moment := parse_iso(segment.get("segmentEnd"))) is not None]
        if starts and ends:
            yield max(ends) - min(starts)


def _span(start: object, end: object) -> timedelta | None:
    first, last = parse_iso(start), parse_iso(end)
    return None if first is None or last is None else last - first


def _maps(holder: Mapping[str, Any], key: str) -> Iterator[Mapping[str, Any]]:
    value = holder.get(key)
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, Mapping))
