"""What a scenario may say about speech: words, transcripts, personal data in them, and the stand-in speech providers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

SPEECH_PERMISSIONS: Final = (
    "conversation:transcription:view",
    "routing:queue:edit",
    "routing:transcriptionSettings:view",
    "routing:transcriptionSettings:edit",
    "speechAndTextAnalytics:program:view",
    "speechAndTextAnalytics:program:edit",
    "speechAndTextAnalytics:settings:view",
    "speechAndTextAnalytics:settings:edit",
)
"""What a client may do about transcription unless the scenario says otherwise."""

REASONS: Final = ("not_enabled", "language", "too_short", "no_speech", "purged", "forbidden")
"""Why a call never gets a transcript."""

TRANSCRIPT_FAULTS: Final = ("offset_times",)
"""Transcript files that are not as published: the first so many, counted in the order of the calls."""

PLANTED_KINDS: Final = ("card", "ssn", "phone", "email", "iban", "date_of_birth")
"""Personal data that can be spoken."""

PLANTED_FORMS: Final = ("digits", "words", "doubles", "fillers", "broken")
"""How they are spoken: as digits, as words, with "double seven" and "oh", mixed with fillers, broken over turns."""

TRANSCRIPTION: Final = ("Disabled", "EnabledGlobally", "EnabledQueueFlow")
"""The published values of the organisation's setting."""

PROVIDER_FAULTS: Final = ("rate_limited", "server_error", "fast", "late", "lost", "duplicated", "bad_signature")
"""What goes wrong with a speech provider; the first so many requests or jobs, in this order."""


@dataclass(frozen=True, slots=True)
class Span:
    """A duration drawn anew each time between two bounds, in seconds."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Planted:
    """The share of calls in which personal data of each kind are spoken, and how. Card numbers pass the Luhn check in a share of cases."""

    card: float = 0.0
    ssn: float = 0.0
    phone: float = 0.0
    email: float = 0.0
    iban: float = 0.0
    date_of_birth: float = 0.0
    forms: tuple[str, ...] = PLANTED_FORMS
    card_valid: float = 0.9


@dataclass(frozen=True, slots=True)
class Transcripts:
    """What is said, and when the platform has it in writing. Shares are of the recorded legs; durations in seconds.

    Those that are neither late nor never are ready after `ready_after`, counted from the call's end.
    """

    setting: str = "EnabledGlobally"
    licensed: bool = True
    late: float = 0.0
    never: float = 0.0
    ready_after: Span = Span(0.2, 1.0)
    late_after: Span = Span(5.0, 20.0)
    never_reasons: tuple[str, ...] = REASONS
    languages: tuple[str, ...] = ("en-us",)
    language_changes: float = 0.0
    messages: float = 0.0
    missing_fields: float = 0.0
    live_batch: float = 1.0
    live_sign: float = 300.0
    file_life: float = 600.0
    planted: Planted = field(default_factory=Planted)


@dataclass(frozen=True, slots=True)
class Providers:
    """The stand-in speech providers; durations in seconds. `faults` are counts by kind."""

    api_key: str = "simulator-speech-key"
    callback_secret: str = field(default="whsec_c2ltdWxhdG9yLWNhbGxiYWNrLXNlY3JldA==")
    job_time: Span = Span(0.5, 2.0)
    late_after: float = 30.0
    max_bytes: int = 25_000_000
    max_seconds: float = 7200.0
    faults: tuple[tuple[str, int], ...] = ()

    def count(self, kind: str) -> int:
        """How many of `kind` were asked for; 0 when it is not named."""
        return dict(self.faults).get(kind, 0)
