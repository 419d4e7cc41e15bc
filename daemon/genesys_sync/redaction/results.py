"""What a redaction gives back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from genesys_sync.transcripts.model import Transcript


class RedactionFailed(Exception):
    """A transcript could not be redacted and must be withheld. The message holds nothing of its text."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """One stretch that was hidden, never what it was.

    type        `CARD`, `PHONE` …: what the mask reads
    rule        the rule that found it
    segment     index of the segment
    first_word  index into the words of the original segment, and `last_word`, one past its last; both None where it lists no words
    start, end  seconds from the recording's start; the whole segment's where it lists no words
    speaker     the speaker's label
    channel     the recording's audio channel, from 0; None where it may be any: then all of them are muted
    """

    type: str
    rule: str
    segment: int
    first_word: int | None
    last_word: int | None
    start: float
    end: float
    speaker: str
    channel: int | None

    def to_dict(self) -> dict[str, Any]:
        return {
            "type": self.type,
            "rule": self.rule,
            "segment": self.segment,
            "firstWord": self.first_word,
            "lastWord": self.last_word,
            "start": self.start,
            "end": self.end,
            "speaker": self.speaker,
            "channel": self.channel,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was hidden: type, place and rule, never the value. `hidden`: spans by type."""

    hidden: Mapping[str, int]
    spans: Sequence[Span]

    @classmethod
    def of(cls, spans: Sequence[Span]) -> Report:
        counts = Counter(span.type for span in spans)
        return cls(hidden=MappingProxyType(dict(sorted(counts.items()))), spans=spans)

    def to_dict(self) -> dict[str, Any]:
        """JSON: `{"schema": 1, "hidden": {type: spans}, "spans": […]}`."""
        return {"schema": 1, "hidden": dict(self.hidden), "spans": [span.to_dict() for span in self.spans]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Redaction:
    """The redacted transcript, what was hidden in time (for the audio), and the report on it."""

    transcript: Transcript
    spans: tuple[Span, ...]
    report: Report
