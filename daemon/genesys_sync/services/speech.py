"""Transcripts on the platform: where the files of a communication lie, and why there may be none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from genesys_sync.errors import EX_NOPERM, EX_UNAVAILABLE, PermanentError, ReasonCode
from genesys_sync.services.recordings import MediaPart


class NoFiles(StrEnum):
    """Why the platform names no transcript file, as far as its answer tells."""

    NOT_THERE = "not_there"
    """Not yet, or never: the platform's 404 says no more."""
    NOT_ENABLED = "not_enabled"
    """Transcription was not on, in the platform's own words."""
    FORBIDDEN = "forbidden"


@dataclass(frozen=True, slots=True)
class TranscriptFile:
    """One transcript file, located now. `part.url` lives for about ten minutes: use it, never keep it.

    recording_id  the recording that it belongs to; None where the platform did not say
    """

    recording_id: str | None
    part: MediaPart


@dataclass(frozen=True, slots=True)
class TranscriptFiles:
    """What the platform told of the transcripts of one communication.

    files    each once; empty when there are none
    without  why there are none; None when there are
    reason   a sentence for people where it refused; no personal data
    """

    files: tuple[TranscriptFile, ...] = ()
    without: NoFiles | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class TranscriptionSettings:
    """What the organisation has set about transcription. None: it could not be asked.

    mode      verbatim: `Disabled`, `EnabledGlobally`, `EnabledQueueFlow`, or a value that we do not know
    dialects  what the engines understand, lower case (`en-us`); empty when the platform listed none
    """

    mode: str | None = None
    dialects: frozenset[str] | None = None


class Transcripts(Protocol):
    """The transcripts of conversations. Every method raises TransientError or PermanentError, with the platform's correlation id."""

    async def find(self, conversation_id: str, communication_id: str) -> TranscriptFiles:
        """Where the transcript files of a communication (the customer's session) lie now. That there are none, or that the
        platform refuses them, is an answer and no error."""
        ...

    async def settings(self) -> TranscriptionSettings:
        """What the organisation has set, remembered for some minutes. What the client may not read is None."""
        ...

    async def queue_enabled(self, queue_id: str) -> bool | None:
        """Whether the queue has transcription switched on, remembered for some minutes; None where that could not be learnt."""
        ...

    async def analysis(self, conversation_id: str) -> Mapping[str, Any] | None:
        """What speech analytics made of the conversation (`participantMetrics` …); None where it made nothing."""
        ...


class TranscriptionMode(StrEnum):
    """The organisation's setting, as the platform spells it."""

    DISABLED = "Disabled"
    GLOBALLY = "EnabledGlobally"
    QUEUES = "EnabledQueueFlow"


class SpeechCheck(StrEnum):
    """What keeps the platform from transcribing, by the name under which its refusal is reported."""

    PERMISSION = "permission"
    PRODUCT = "product"
    QUEUE = "queue"
    EFFECT = "effect"
    """It was accepted, and is not so when it is read back."""


class SpeechRefused(PermanentError):
    """A prerequisite does not hold; `check` names it."""

    exit_code = EX_UNAVAILABLE

    def __init__(self, check: SpeechCheck, reason: str, *, code: ReasonCode = ReasonCode.REQUEST_REFUSED, correlation_id: str = "") -> None:
        super().__init__(reason, code=code, correlation_id=correlation_id)
        self.check = check


class SpeechForbidden(SpeechRefused):
    """The OAuth client's role lacks the permission."""

    exit_code = EX_NOPERM

    def __init__(self, permission: str) -> None:
        reason = f"the OAuth client's role lacks {permission}; nothing was changed"
        super().__init__(SpeechCheck.PERMISSION, reason, code=ReasonCode.FORBIDDEN)


@dataclass(frozen=True, slots=True)
class QueueTranscription:
    """Whether a queue has its calls transcribed, where the organisation's setting leaves it to queues."""

    id: str
    name: str
    enabled: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStatus:
    """What is set. None: the platform did not say.

    mode            verbatim; see TranscriptionMode
    product_listed  whether a product that transcribes is among the organisation's
    queues          those that were asked for
    """

    mode: str
    confidence_threshold: int | None
    low_latency: bool | None
    pci_redaction: bool | None
    pii_redaction: bool | None
    product_listed: bool | None
    queues: tuple[QueueTranscription, ...] = ()


class SpeechControl(Protocol):
    """The platform's own transcription: what is set counts for calls that are answered afterwards. Every method raises TransientError or
    PermanentError (SpeechRefused where a prerequisite does not hold)."""

    async def status(self, queue_ids: tuple[str, ...] = ()) -> SpeechStatus:
        """What is set now."""
        ...

    async def enable(self, queue_ids: tuple[str, ...] = (), *, unlisted: bool = False) -> SpeechStatus:
        """Switch it on: for the whole organisation, or for these queues, for which a disabled organisation is set to leave it to queues and
        flows. What is on already is left alone. Returns what the platform shows afterwards. `unlisted`: though no product is listed."""
        ...
