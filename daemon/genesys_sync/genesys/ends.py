"""When everybody had left a conversation, by its detail record, and whether that is another end than one that is known. Pure.

Conversations are taken up again under the same id: e-mails for 30 days, messages whenever somebody writes. What tells such an end from
the same one told once more is that it lies later. The socket's end and analytics' may differ by the agent's wrap-up, so that is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any, Final

from genesys_sync.genesys.details_query import parse_time

_SAME: Final = timedelta(seconds=5)
"""Ends nearer than this are one: what was recorded between them, the looks after the first one find."""


def left_at(record: Mapping[str, Any]) -> datetime | None:
    """When the last party had left; None while the conversation goes on, or where nobody can read when. It is `conversationEnd`, unless
    somebody's wrap-up reaches up to there: then the end of the last segment that is none."""
    ended = parse_time(record.get("conversationEnd"))
    if ended is None:
        return None
    segments = list(_segments(record))
    if not any(wrapping and end >= ended for wrapping, end in segments):
        return ended
    return max((min(end, ended) for wrapping, end in segments if not wrapping), default=ended)


def ended_again(known: datetime, left: datetime | None) -> bool:
    """Whether a conversation of which this end is known has been taken up since; not where nobody says when it was left."""
    return left is not None and left > known + _SAME


def _segments(record: Mapping[str, Any]) -> Iterator[tuple[bool, datetime]]:
    """Whether it is a wrap-up, and its end, of each segment that has one."""
    for participant in _objects(record.get("participants")):
        for session in _objects(participant.get("sessions")):
            for segment in _objects(session.get("segments")):
                if (end := parse_time(segment.get("segmentEnd"))) is not None:
                    yield segment.get("segmentType") == "wrapup", end


def _objects(value: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, Mapping))
