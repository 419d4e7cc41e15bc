"""Who speaks: segments are given the speakers of diarization marks, and the roles and names of those who took part. Pure.

A segment takes the mark whose midpoint lies within half a second of its own, the nearest of several; where none does, it keeps the
speaker that its maker named.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

from genesys_sync.transcripts import fields
from genesys_sync.transcripts.model import Segment, Speaker, Transcript

TOLERANCE: Final = 0.5
"""Seconds between the midpoints of a segment and of its mark."""

_OUTSIDE: Final = frozenset({"customer", "external"})
_STAFF: Final = frozenset({"agent", "user", "supervisor", "manager", "internal", "station", "voicemail"})
_LABELS_OUTSIDE: Final = frozenset({"external", "customer"})
_LABELS_INSIDE: Final = frozenset({"internal", "agent"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """A diarization mark: this speaker is heard from `start` to `end`, in seconds from the recording's start."""

    start: float
    end: float
    speaker: Speaker

    @property
    def midpoint(self) -> float:
        return (self.start + self.end) / 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Participant:
    """Somebody who took part.

    role         the platform's purpose: `customer`, `agent`, `ivr`, `acd` …
    name         personal data
    start, end   milliseconds since 1970; None: from the beginning, to the end
    """

    role: str | None
    name: str | None = None
    user_id: str | None = None
    start: float | None = None
    end: float | None = None


def align(transcript: Transcript, marks: Iterable[Mark]) -> Transcript:
    """The transcript with the speakers of the marks where one is near enough. Of marks equally near the earlier, then the one that
    stands first. Which channel a segment is heard in it knows by itself, if its mark does not."""
    ordered = sorted(marks, key=lambda mark: mark.midpoint)
    midpoints = [mark.midpoint for mark in ordered]
    return replace(transcript, segments=tuple(_aligned(segment, ordered, midpoints) for segment in transcript.segments))


def _aligned(segment: Segment, marks: Sequence[Mark], midpoints: Sequence[float]) -> Segment:
    middle = (segment.start + segment.end) / 2
    near = marks[bisect_left(midpoints, middle - TOLERANCE) : bisect_right(midpoints, middle + TOLERANCE)]
    if not near:
        return segment
    speaker = min(near, key=lambda mark: abs(mark.midpoint - middle)).speaker
    return replace(segment, speaker=speaker if speaker.channel is not None else replace(speaker, channel=segment.speaker.channel))


def in_channels(transcript: Transcript, channels: Mapping[str, int]) -> Transcript:
    """The transcript in which the speakers of these labels are heard in these channels, from 0; and those who are of no side by their
    label, and heard in one of them, have its label. Where transcript and channels contradict each other it may be any channel."""
    labels = {channel: label for label, channel in channels.items()}
    return replace(transcript, segments=tuple(_placed(one, channels, labels) for one in transcript.segments))


def _placed(segment: Segment, channels: Mapping[str, int], labels: Mapping[int, str]) -> Segment:
    speaker = segment.speaker
    if speaker.channel is not None and not _sides(speaker.label):
        return replace(segment, speaker=replace(speaker, label=labels.get(speaker.channel, speaker.label)))
    wanted = channels.get(speaker.label, speaker.channel)
    return replace(segment, speaker=replace(speaker, channel=wanted if speaker.channel in (None, wanted) else None))


def name_speakers(transcript: Transcript, people: Sequence[Participant]) -> Transcript:
    """The transcript in which speakers have the role, the id and the name of whoever took part while they spoke. Of those on the
    segment's side (internal: staff before machines) the one who overlaps longest, the earlier of two; nobody where none overlaps."""
    if not people:
        return transcript
    base = None if transcript.started_at is None else fields.epoch_ms(transcript.started_at)
    merged = _merged(people)
    return replace(transcript, segments=tuple(_named(segment, merged, base) for segment in transcript.segments))


def alone_on_their_side(people: Sequence[Participant]) -> list[Participant]:
    """Those who were the only one of their side (customer, staff) all the time, without times: whatever is said on it they say. For a
    transcript of which nobody knows when it begins."""
    found = []
    for side in (_OUTSIDE, _STAFF):
        theirs = [one for one in _merged(people) if one.role in side]
        if len({one.user_id or one.name for one in theirs}) == 1:
            found.append(replace(theirs[0], start=None, end=None))
    return found


def _merged(people: Sequence[Participant]) -> list[Participant]:
    """Names known from one source are known for the same person in another."""
    names = {one.user_id: one.name for one in people if one.user_id and one.name}
    return [replace(one, name=one.name or names.get(one.user_id)) if one.user_id else one for one in people]


def _named(segment: Segment, people: Sequence[Participant], base: float | None) -> Segment:
    speaker = segment.speaker
    for side in _sides(speaker.label):
        found = max(((_overlap(segment, one, base), -place) for place, one in enumerate(people) if one.role in side), default=None)
        if found is not None and found[0] > 0:
            one = people[-found[1]]
            return replace(
                segment,
                speaker=replace(
                    speaker, role=speaker.role or one.role, name=speaker.name or one.name, user_id=speaker.user_id or one.user_id
                ),
            )
    return segment


def _sides(label: str) -> tuple[frozenset[str | None] | _Rest, ...]:
    if label in _LABELS_OUTSIDE:
        return (frozenset[str | None](_OUTSIDE),)
    if label in _LABELS_INSIDE:
        return frozenset[str | None](_STAFF), _Rest()
    return ()


class _Rest:
    """The roles that are neither staff nor outside: IVR, bots, queues."""

    def __contains__(self, role: object) -> bool:
        return role is not None and role not in _STAFF and role not in _OUTSIDE


def _overlap(segment: Segment, one: Participant, base: float | None) -> float:
    """Seconds that a segment and a participant have in common; a moment within counts for a thousandth."""
    if base is None:
        return 0.001 if one.start is None and one.end is None else 0.0
    start = 0.0 if one.start is None else (one.start - base) / 1000
    end = segment.end if one.end is None else (one.end - base) / 1000
    common = min(segment.end, end) - max(segment.start, start)
    if common > 0:
        return common
    return 0.001 if start <= segment.start <= end else 0.0


def people_of(details: Mapping[str, Any]) -> list[Participant]:
    """Who took part, by the analytics detail record of the conversation: a participant for each session, with its name."""
    found: list[Participant] = []
    for participant in fields.objects(details, "participants"):
        role = fields.label(participant.get("purpose")) or None
        name = fields.text(participant.get("participantName")) or None
        user = fields.text(participant.get("userId")) or None
        for session in fields.objects(participant, "sessions"):
            segments = list(fields.objects(session, "segments"))
            starts = [at for segment in segments if (at := _epoch_ms(segment.get("segmentStart"))) is not None]
            ends = [at for segment in segments if (at := _epoch_ms(segment.get("segmentEnd"))) is not None]
            if starts:
                found.append(Participant(role=role, name=name, user_id=user, start=min(starts), end=max(ends, default=None)))
    return found


def _epoch_ms(value: object) -> float | None:
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return None if moment is None or moment.tzinfo is None else fields.epoch_ms(moment)
