"""THE PUBLIC INTERFACE for handlers: built-in ones use nothing else, and neither should yours.

A handler is a class that does one thing with one event. It is named in `settings.toml`, and is either an entry point of group
`genesys_sync.handlers` in an installed package or a class in a single file:

    [handlers.tell-crm]
    use = "./plugins/tell_crm.py:TellCrm"
    topics = ["media.verified"]

    [handlers.tell-crm.config]
    tenant = "acme"

| the handler…                                     | attempt counted | the delivery becomes                                          |
| ------------------------------------------------ | --------------- | ------------------------------------------------------------- |
| returns Done                                     | yes             | done, in one commit with what it emits                        |
| returns Skip                                     | yes             | skipped: final, not a failure                                 |
| returns Snooze                                   | no              | ready again later; its wall-clock limit still runs            |
| returns Park                                     | no              | ready again, but the handler takes nothing until resumed      |
| raises TransientError, or anything unforeseen    | yes             | ready after the back-off; dead when attempts or time run out   |
| … with the code RATE_LIMITED                     | no              | ready after its delay or the back-off; never dead              |
| raises PermanentError                            | yes             | dead at once, with a reason code                              |
| raises StorageFull or StorageError               | no              | ready after a while; dead only when time runs out              |
| exceeds its timeout                              | yes             | as transient; still running 5 s later: reported as stuck      |
| is cancelled while draining                      | no              | released at once                                              |
| its process dies                                 | yes             | the lease expires and it is ready again; ends as a dead letter |
| finishes after losing its lease                  | —               | result discarded (fencing)                                    |

At least once, never concurrently for one (event, handler) while the lease holds: `handle` must be safe to run twice.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import ClassVar, Generic, TypeVar

from genesys_sync.clock import Clock
from genesys_sync.errors import (
    ConfigurationError,
    MediaUrlExpired,
    PermanentError,
    ReasonCode,
    StorageError,
    StorageFull,
    TransientError,
)
from genesys_sync.events import Event, Origin, Topic, is_canonical_uuid, iso
from genesys_sync.services import (
    Accepted,
    Action,
    Actions,
    Audit,
    BadAudio,
    Check,
    ControlForbidden,
    Controlled,
    ControlRefused,
    Conversations,
    Directive,
    Downloaded,
    Encoding,
    Entitlements,
    Failed,
    Flow,
    FlowRefused,
    Flows,
    FlowTold,
    Genesys,
    Heard,
    Http,
    HttpReply,
    Log,
    Look,
    Media,
    MediaPart,
    NoFiles,
    NotConfirmed,
    Progress,
    Prompt,
    PromptAsset,
    PromptAudio,
    PromptForm,
    Prompts,
    PromptSound,
    Provider,
    ProviderLimits,
    Published,
    RecordingControl,
    RecordingInfo,
    RecordingMedia,
    Recordings,
    RecordingStatus,
    Reported,
    Scratch,
    SecretUrl,
    Sent,
    Services,
    Speech,
    Storage,
    Transcribed,
    TranscriptFile,
    TranscriptFiles,
    TranscriptionCheck,
    TranscriptionJob,
    TranscriptionRequest,
    TranscriptionSettings,
    Transcripts,
    UploadFile,
    UploadForm,
    Uploads,
    UploadStatus,
    answer_key,
    request_answered,
    work_folder,
)
from genesys_sync.units import Duration, Size

__all__ = [
    "Accepted",
    "Action",
    "Actions",
    "Audit",
    "BadAudio",
    "Check",
    "Clock",
    "ConfigurationError",
    "ControlForbidden",
    "ControlRefused",
    "Controlled",
    "Conversations",
    "Delivery",
    "Directive",
    "Done",
    "Downloaded",
    "Duration",
    "Encoding",
    "Entitlements",
    "Event",
    "Failed",
    "Flow",
    "FlowRefused",
    "FlowTold",
    "Flows",
    "Genesys",
    "Handler",
    "Heard",
    "Http",
    "HttpReply",
    "Log",
    "Look",
    "Media",
    "MediaPart",
    "MediaUrlExpired",
    "NoFiles",
    "NotConfirmed",
    "Origin",
    "Outcome",
    "Park",
    "PermanentError",
    "Policy",
    "Progress",
    "Prompt",
    "PromptAsset",
    "PromptAudio",
    "PromptForm",
    "PromptSound",
    "Prompts",
    "Provider",
    "ProviderLimits",
    "Published",
    "ReasonCode",
    "RecordingControl",
    "RecordingInfo",
    "RecordingMedia",
    "RecordingStatus",
    "Recordings",
    "Reported",
    "Scratch",
    "SecretUrl",
    "Sent",
    "Services",
    "Size",
    "Skip",
    "Snooze",
    "Speech",
    "Storage",
    "StorageError",
    "StorageFull",
    "Topic",
    "Transcribed",
    "TranscriptFile",
    "TranscriptFiles",
    "TranscriptionCheck",
    "TranscriptionJob",
    "TranscriptionRequest",
    "TranscriptionSettings",
    "Transcripts",
    "TransientError",
    "UploadFile",
    "UploadForm",
    "UploadStatus",
    "Uploads",
    "answer_key",
    "is_canonical_uuid",
    "iso",
    "request_answered",
    "work_folder",
]

ConfigT = TypeVar("ConfigT")


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivery:
    """One event on its way to one handler.

    id          the idempotency key: the same over all attempts, restarts and replays
    handler     the name in the settings
    attempt     1 for the first counted run
    snoozes     how often it was put off by Snooze
    created_at  when the event was committed to the ledger
    """

    id: str
    handler: str
    attempt: int
    snoozes: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Done:
    """Finished. `emit` is recorded in the same commit; `note` is kept with the delivery for people (no personal data)."""

    emit: Sequence[Event] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Skip:
    """Nothing to do, and that is final. The reason is kept."""

    reason: str


@dataclass(frozen=True, slots=True)
class Snooze:
    """Not yet: again after `delay`, without counting an attempt. What is emitted is recorded all the same."""

    reason: str
    delay: timedelta
    emit: Sequence[Event] = ()


@dataclass(frozen=True, slots=True)
class Park:
    """The other side does not want to be called again (HTTP 410): this handler takes nothing more until
    `genesys-sync resume NAME`. Its deliveries wait in the ledger; none is lost."""

    reason: str


Outcome = Done | Skip | Snooze | Park


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How deliveries to a handler are worked off. Every field can be set in the settings under the same name.

    concurrency   runs of this handler at one time
    timeout       one run may take this long
    attempts      counted runs before the delivery is dead
    time_limit    wall-clock limit since the event was recorded; past it the next failure or snooze is final
    backoff_base, backoff_cap   wait after attempt n: drawn evenly from 0 to min(cap, base * 2^(n-1))
    schedule      fixed waits instead of the back-off; the last one repeats
    """

    concurrency: int = 8
    timeout: timedelta = timedelta(minutes=5)
    attempts: int = 10
    time_limit: timedelta = timedelta(days=7)
    backoff_base: timedelta = timedelta(seconds=5)
    backoff_cap: timedelta = timedelta(minutes=15)
    schedule: Sequence[timedelta] = ()


class Handler(ABC, Generic[ConfigT]):
    """Does one thing with one event. Only `config_type` and `handle` are required.

    config_type  a frozen dataclass or pydantic model for the `config` table in the settings; unknown keys are errors
    topics       the topics it takes when the settings name none; globs allowed
    policy       the policy where the settings do not say otherwise; a handler may set its own in `__init__`, where it follows from
                 the configuration. From `running` on it is the one in force
    endpoint     where it sends what it takes, written in one way however the settings write it; empty: nowhere. Two handlers that take a
                 topic in common may not share it, or every such event would be told twice. Set in `__init__`; never shown
    resumable    a run that ended with its process is gone on with where it was, and what could crash runs in processes of its own: so
                 being killed many times in a row (`dispatch.max_crashes`) is not held against its deliveries
    """

    config_type: ClassVar[type]
    topics: ClassVar[Sequence[str]] = ()
    policy: Policy = Policy()
    endpoint: str = ""
    resumable: ClassVar[bool] = False

    def __init__(self, name: str, config: ConfigT) -> None:
        """No I/O here: `name` is the key in the settings, `config` is validated."""
        self.name = name
        self.config = config

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncGenerator[None]:
        """Open what lives as long as the process, yield, close it. Entered once; a failure here stops the daemon's start."""
        yield

    async def check(self, services: Services) -> None:
        """Prove that the configuration works, for `genesys-sync check`. Raises ConfigurationError, one sentence a fault."""

    @abstractmethod
    async def handle(self, event: Event, delivery: Delivery) -> Outcome:
        """Handle one event. Runs concurrently with itself for other events; must be safe to run twice for one."""
        ...
