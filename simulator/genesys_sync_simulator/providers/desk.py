"""What the providers keep: their rules, their jobs, and how often each fault is still due."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from anyio.abc import TaskGroup

from genesys_sync_simulator.clock import Clock, iso
from genesys_sync_simulator.providers.recognise import Heard, Recogniser, Segment
from genesys_sync_simulator.scenario_speech import Providers
from genesys_sync_simulator.speech.phrases import LANGUAGES

Json = dict[str, Any]

JOB_FAULTS = ("fast", "late", "lost", "duplicated", "bad_signature")
REQUEST_FAULTS = ("rate_limited", "server_error")
LOCALES = ("de-DE", "en-AU", "en-GB", "en-US", "es-ES", "es-US", "fr-CA", "fr-FR")
REDACTED = "[redacted]"
_MOST_JOBS = 1000


@dataclass(slots=True)
class Job:
    """One transcription that was asked for. `digest` tells a repeated request from another one under the same key."""

    id: str
    key: str
    digest: str
    locale: str
    callback_url: str
    redact: bool
    speaker_labels: bool
    phrases: tuple[str, ...]
    created: float
    fault: str | None = None
    status: str = "queued"
    result: Json | None = None
    error: Json | None = None
    completed: float | None = None

    def body(self) -> Json:
        """As `GET /jobs/{id}` answers."""
        found: Json = {
            "id": self.id,
            "status": self.status,
            "idempotency_key": self.key,
            "locale": self.locale,
            "created_at": iso(self.created),
            "completed_at": iso(self.completed) if self.completed is not None else None,
            "result": self.result,
            "error": self.error,
        }
        return {name: value for name, value in found.items() if value is not None}


@dataclass(slots=True)
class Desk:
    """Everything that the running providers know. `group` and `base_url` are set once they listen."""

    rules: Providers
    clock: Clock
    recogniser: Recogniser
    jobs: dict[str, Job] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    """Job ids by idempotency key."""
    counts: Counter[str] = field(default_factory=Counter)
    fired: Counter[str] = field(default_factory=Counter)
    submitted: int = 0
    base_url: str = ""
    group: TaskGroup | None = None

    def now(self) -> float:
        """Epoch seconds."""
        return self.clock.epoch_ms() / 1000

    def spoils(self) -> str | None:
        """The fault that befalls this request, if one is due."""
        for kind in REQUEST_FAULTS:
            if self.fired[kind] < self.rules.count(kind):
                self.fired[kind] += 1
                return kind
        return None

    def add(self, job: Job) -> None:
        """A new job, with the fault that is its lot. The oldest one is forgotten when there are too many."""
        lots = [kind for kind in JOB_FAULTS for _ in range(self.rules.count(kind))]
        if self.submitted < len(lots):
            job.fault = lots[self.submitted]
        self.submitted += 1
        self.jobs[job.id], self.keys[job.key] = job, job.id
        if len(self.jobs) > _MOST_JOBS:
            oldest = self.jobs.pop(next(iter(self.jobs)))
            del self.keys[oldest.key]


def digest(*parts: bytes | str) -> str:
    """One value for everything that makes a request what it is."""
    found = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        found.update(len(data).to_bytes(8, "big") + data)
    return found.hexdigest()


def result(heard: Heard, *, redact: bool, speaker_labels: bool) -> Json:
    """The result of a job: text, segments and words; times in seconds."""
    segments = [_segment(number, one, redact=redact, speaker_labels=speaker_labels) for number, one in enumerate(heard.segments)]
    return {
        "language": LANGUAGES[heard.language].dialect if heard.language in LANGUAGES else heard.language,
        "duration": heard.seconds,
        "text": " ".join(segment["text"] for segment in segments),
        "segments": segments,
    }


def _segment(number: int, segment: Segment, *, redact: bool, speaker_labels: bool) -> Json:
    words = [
        {
            "word": REDACTED if redact and place in segment.told else word.text,
            "start": word.start,
            "end": word.end,
            "confidence": word.confidence,
        }
        for place, word in enumerate(segment.words)
    ]
    found: Json = {
        "id": number,
        "start": words[0]["start"],
        "end": words[-1]["end"],
        "text": " ".join(str(word["word"]) for word in words),
        "words": words,
    }
    return {**found, "speaker": segment.speaker} if speaker_labels else found
