"""What a scenario file may say, and its defaults. docs/reference/simulator.md shows each key with one sentence."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from genesys_sync_simulator.scenario_acting import ACTING_PERMISSIONS, Architect, Control, Uploads
from genesys_sync_simulator.scenario_digital import Digital
from genesys_sync_simulator.scenario_speech import SPEECH_PERMISSIONS, Providers, Span, Transcripts

FORMATS: Final = ("WAV", "WAV_ULAW", "OGG_OPUS", "OGG_VORBIS", "WEBM", "MP3")
"""The published `formatId` values that name an audio file."""

MEDIA_FAULTS: Final = ("error_page", "header_only", "truncated", "silent")
"""Recordings whose file is not what it claims to be."""

STATE_FAULTS: Final = ("deleted", "archived", "error_state")
"""Recordings whose metadata never come to AVAILABLE."""

DELAY_FAULTS: Final = ("unknown_state", "cut_once", "expired_url_once", "media_error_once")
"""Recordings that are good in the end, after trouble on the way."""

RECORDING_FAULTS: Final = (*MEDIA_FAULTS, *STATE_FAULTS, *DELAY_FAULTS)

EVENT_FAULTS: Final = ("duplicate_events", "reorder_events")
"""Frames that come twice, or after a later one of the same conversation."""

MOMENT_FAULTS: Final = ("drop_socket", "socket_closing", "silent_stall", "rate_limit", "server_error_once", "revoke_token")
"""Faults of the platform as a whole: each fires at a moment while the calls are played."""

ANALYTICS_FAULTS: Final = ("details_job_failed", "details_job_expired", "page_shift")
"""Details jobs that come to nothing, and pages of the details query that shift while they are read: the first so many of each."""

PERMISSIONS: Final = (
    "analytics:conversationDetail:view",
    "conversation:communication:view",
    "recording:recording:view",
    "recording:recording:editRetention",
    "recording:orphan:view",
    "routing:queue:view",
    "speechAndTextAnalytics:data:view",
    *SPEECH_PERMISSIONS,
    *ACTING_PERMISSIONS,
)
"""What a client may do unless the scenario says otherwise."""

OTHER_PERMISSIONS: Final = (
    "analytics:agentConversationDetail:view",
    "architect:flowOutcome:view",
    "conversation:participant:wrapup",
    "quality:evaluation:view",
    "recording:recording:viewSensitiveData",
    "recording:recordingSegment:view",
    "recording:screenRecording:view",
    "recording:snippetRecording:view",
    "speechAndTextAnalytics:aiSummary:view",
    "speechAndTextAnalytics:reprocessInteractions:add",
    "speechAndTextAnalytics:reprocessInteractions:delete",
    "speechAndTextAnalytics:reprocessInteractions:view",
    "speechAndTextAnalytics:sentimentData:view",
    "usage:events:view",
)
"""What an operation or a topic asks for as well, and a scenario may grant."""


class ScenarioError(Exception):
    """The scenario cannot be played. `problems` holds one sentence for each fault, each beginning with the key's path."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(problems))


@dataclass(frozen=True, slots=True)
class Extra:
    """One additional call with one recording whose size is given: a WAV made on the fly, never held in memory."""

    bytes: int
    end_after: float = 1.0
    sample_rate: int = 48_000
    channels: int = 2


@dataclass(frozen=True, slots=True)
class Calls:
    """How many calls, how fast, how long, and between whom. Durations in seconds."""

    count: int = 20
    per_second: float = 2.0
    duration: Span = field(default=Span(2.0, 6.0))
    ring: float = 0.25
    wrapup_after: float = 0.5
    end_together: bool = False
    recordings_per_call: tuple[int, ...] = (1,)
    queues: int = 3
    agents: int = 12
    head_start: float = 0.0
    on_request: bool = False
    extra: tuple[Extra, ...] = ()


@dataclass(frozen=True, slots=True)
class Recordings:
    """What is recorded, and when the platform owns up to it, counted from the end of the call in seconds."""

    formats: tuple[str, ...] = FORMATS
    channels: tuple[int, ...] = (1, 2)
    appear_after: Span = field(default=Span(0.2, 0.4))
    available_after: Span = field(default=Span(0.5, 3.0))
    multipart: int = 0
    orphans: int = 0


@dataclass(frozen=True, slots=True)
class PlatformRules:
    """The platform's own limits and delays; durations in seconds."""

    rate_limit_per_minute: int = 300
    heartbeat: float = 30.0
    token_life: float = 86_400.0
    channel_life: float = 86_400.0
    max_channels: int = 20
    max_topics: int = 1000
    url_life: float = 3600.0
    batch_job_time: float = 1.0
    batch_unavailable: str = "error"
    transcode_time: float = 1.0
    restore_time: float = 2.0
    analytics_delay: float = 0.0
    data_lake_lag: float = 0.0
    socket_closing_grace: float = 60.0
    bandwidth: int = 0


@dataclass(frozen=True, slots=True)
class Moment:
    """One fault of the platform as a whole, `at` seconds after the first call."""

    kind: str
    at: float


@dataclass(frozen=True, slots=True)
class Faults:
    """How many of each kind. Recordings and moments are chosen by the seed; `at` fixes moments."""

    counts: tuple[tuple[str, int], ...] = ()
    at: tuple[Moment, ...] = ()
    drop_socket_for: float = 1.5
    rate_limit_for: float = 2.0

    def count(self, kind: str) -> int:
        """How many of `kind` were asked for; 0 when it is not named."""
        return dict(self.counts).get(kind, 0)


@dataclass(frozen=True, slots=True)
class Client:
    """One OAuth client of the organisation."""

    id: str
    secret: str
    name: str = "genesys-sync"
    permissions: tuple[str, ...] = PERMISSIONS
    user: bool = False
    """Its tokens stand for a user, as those of an authorization code do."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that decides the world. Two equal scenarios make equal worlds: ids, bytes, faults."""

    name: str = "default"
    seed: int = 1
    start: str = "on-subscribe"
    calls: Calls = field(default_factory=Calls)
    recordings: Recordings = field(default_factory=Recordings)
    platform: PlatformRules = field(default_factory=PlatformRules)
    control: Control = field(default_factory=Control)
    uploads: Uploads = field(default_factory=Uploads)
    architect: Architect = field(default_factory=Architect)
    faults: Faults = field(default_factory=Faults)
    clients: tuple[Client, ...] = ()
    digital: Digital = field(default_factory=Digital)
    transcripts: Transcripts | None = None
    """None: nobody's words are known, the sound only resembles speech, and transcription is disabled."""
    providers: Providers = field(default_factory=Providers)
