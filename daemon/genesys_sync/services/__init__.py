"""What a handler may use, as interfaces: the implementations live in `genesys`, `storage` and `dispatch`.

Handlers import these names from `genesys_sync.plugin`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from genesys_sync.clock import Clock
from genesys_sync.redaction import Redactor
from genesys_sync.services.actions import Action, Actions
from genesys_sync.services.architect import (
    BadAudio,
    Encoding,
    Flow,
    FlowRefused,
    Flows,
    FlowTold,
    Prompt,
    PromptAsset,
    PromptAudio,
    PromptForm,
    Prompts,
    PromptSound,
    Published,
    UploadForm,
)
from genesys_sync.services.control import (
    Check,
    ControlForbidden,
    Controlled,
    ControlRefused,
    Directive,
    NotConfirmed,
    RecordingControl,
    RecordingMedia,
    RecordingStatus,
)
from genesys_sync.services.entitlements import Entitlements
from genesys_sync.services.platform import Genesys
from genesys_sync.services.recordings import Conversations, Downloaded, Look, Media, MediaPart, RecordingInfo, Recordings, SecretUrl
from genesys_sync.services.speech import (
    NoFiles,
    QueueTranscription,
    SpeechCheck,
    SpeechControl,
    SpeechForbidden,
    SpeechRefused,
    SpeechStatus,
    TranscriptFile,
    TranscriptFiles,
    TranscriptionMode,
    TranscriptionSettings,
    Transcripts,
)
from genesys_sync.services.surroundings import Audit, Http, HttpReply, Log, Scratch, Storage
from genesys_sync.services.transcription import (
    Accepted,
    Failed,
    Heard,
    NoSpeech,
    Progress,
    Provider,
    ProviderLimits,
    Speech,
    Transcribed,
    TranscriptionCheck,
    TranscriptionJob,
)
from genesys_sync.services.transcription_request import TranscriptionRequest, answer_key, request_answered, work_folder
from genesys_sync.services.uploads import Reported, Sent, UploadFile, Uploads, UploadStatus

__all__ = [
    "Accepted",
    "Action",
    "Actions",
    "Audit",
    "BadAudio",
    "Check",
    "ControlForbidden",
    "ControlRefused",
    "Controlled",
    "Conversations",
    "Directive",
    "Downloaded",
    "Encoding",
    "Entitlements",
    "Failed",
    "Flow",
    "FlowRefused",
    "FlowTold",
    "Flows",
    "Genesys",
    "Heard",
    "Http",
    "HttpReply",
    "Log",
    "Look",
    "Media",
    "MediaPart",
    "NoFiles",
    "NoSpeech",
    "NotConfirmed",
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
    "QueueTranscription",
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
    "Speech",
    "SpeechCheck",
    "SpeechControl",
    "SpeechForbidden",
    "SpeechRefused",
    "SpeechStatus",
    "Storage",
    "Transcribed",
    "TranscriptFile",
    "TranscriptFiles",
    "TranscriptionCheck",
    "TranscriptionJob",
    "TranscriptionMode",
    "TranscriptionRequest",
    "TranscriptionSettings",
    "Transcripts",
    "UploadFile",
    "UploadForm",
    "UploadStatus",
    "Uploads",
    "answer_key",
    "request_answered",
    "work_folder",
]


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that a handler is given, in `running` and `check`; what it needs later it keeps."""

    clock: Clock
    genesys: Genesys
    media: Media
    storage: Storage
    scratch: Scratch
    http: Http
    audit: Audit
    actions: Actions
    log: Log
    speech: Speech = field(default_factory=NoSpeech)
    redactor: Redactor = field(default_factory=Redactor)

    def now(self) -> datetime:
        return self.clock.now()
