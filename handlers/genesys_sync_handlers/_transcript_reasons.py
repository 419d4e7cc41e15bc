"""Why a communication has no transcript, by what the platform says; what it does not say stays unknown. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from typing import Any

from genesys_sync.plugin import NoFiles, RecordingInfo, TranscriptionSettings
from genesys_sync.transcripts import Communication

_GONE = "DELETED"
_SPEAKING = ("agentDurationPercentage", "customerDurationPercentage", "ivrDurationPercentage", "otherDurationPercentage")


class Missing(StrEnum):
    """The reasons that `transcript.missing` tells. The list is closed."""

    NOT_ENABLED = "not_enabled"
    PURGED = "purged"
    NO_SPEECH = "no_speech"
    TOO_SHORT = "too_short"
    LANGUAGE_NOT_SUPPORTED = "language_not_supported"
    FORBIDDEN = "forbidden"
    NOT_RECORDED = "not_recorded"
    NEVER_APPEARED = "never_appeared"
    EXCLUDED = "excluded"


PASSING = frozenset({Missing.FORBIDDEN, Missing.NOT_RECORDED, Missing.NEVER_APPEARED})
"""Those that may still change: they are final only when there is no further look."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is known of a communication without a transcript.

    without   the platform's answer to the question for the file
    empty     a file is there in which nothing is said
    recordings  of this communication; none where the platform lists none for it
    settings  the organisation's
    queues    whether transcription is on, for those of its queues of which that is known
    analysis  what speech analytics made of the conversation, where this is its only communication; else None
    shortest  what is shorter is not expected to have a transcript
    """

    communication: Communication
    without: NoFiles | None = NoFiles.NOT_THERE
    empty: bool = False
    recordings: Sequence[RecordingInfo] = ()
    settings: TranscriptionSettings = field(default_factory=TranscriptionSettings)
    queues: Sequence[bool] = ()
    analysis: Mapping[str, Any] | None = None
    shortest: timedelta = timedelta(0)


def missing_because(case: Case) -> Missing:
    """The first of these that what is known bears out; NEVER_APPEARED where nothing does."""
    spoken = case.communication.media_type == "voice"
    checks = (
        (case.without is NoFiles.NOT_ENABLED, Missing.NOT_ENABLED),
        (is_purged(case.recordings), Missing.PURGED),
        (case.empty, Missing.NO_SPEECH),
        (spoken and _not_enabled(case), Missing.NOT_ENABLED),
        (case.without is NoFiles.FORBIDDEN, Missing.FORBIDDEN),
        (spoken and _heard(case) == 0, Missing.NO_SPEECH),
        (spoken and _too_short(case), Missing.TOO_SHORT),
        (spoken and _not_understood(case), Missing.LANGUAGE_NOT_SUPPORTED),
        (case.communication.recorded is False and not case.recordings, Missing.NOT_RECORDED),
    )
    return next((reason for holds, reason in checks if holds), Missing.NEVER_APPEARED)


def is_purged(recordings: Sequence[RecordingInfo]) -> bool:
    """Whether there were recordings, and the platform has deleted every one: transcripts follow their recordings' retention."""
    return bool(recordings) and all(recording.file_state == _GONE for recording in recordings)


def _not_enabled(case: Case) -> bool:
    """The organisation has it off; or leaves it to queues, and those of this communication have it off."""
    if case.settings.mode == "Disabled":
        return True
    return case.settings.mode == "EnabledQueueFlow" and bool(case.queues) and not any(case.queues)


def _heard(case: Case) -> float | None:
    """Seconds in which anybody spoke, by the platform's own measure; None where it has none."""
    metrics = case.analysis.get("participantMetrics") if case.analysis is not None else None
    seconds = case.communication.seconds
    if not isinstance(metrics, Mapping) or seconds is None:
        return None
    shares = [share for name in _SPEAKING if isinstance(share := metrics.get(name), int | float) and not isinstance(share, bool)]
    return sum(shares) / 100 * seconds if shares else None


def _too_short(case: Case) -> bool:
    heard, shortest = _heard(case), case.shortest.total_seconds()
    length = case.communication.seconds
    return (length is not None and length < shortest) or (heard is not None and heard < shortest)


def _not_understood(case: Case) -> bool:
    """The languages that the conversation's flows were played in are known, and no engine lists any of them."""
    dialects, languages = case.settings.dialects or frozenset(), case.communication.languages
    return bool(dialects) and bool(languages) and dialects.isdisjoint(language.lower() for language in languages)
