"""Architect: user prompts with their audio, and flows with their publication; what comes back, and how it is refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Protocol

from genesys_sync.errors import PermanentError, ReasonCode
from genesys_sync.services.recordings import SecretUrl


class Encoding(StrEnum):
    """How the samples of a prompt are coded; the platform takes these three."""

    ULAW = "ulaw"
    ALAW = "alaw"
    PCM = "pcm"


@dataclass(frozen=True, slots=True)
class PromptForm:
    """What every prompt is converted to: a WAV file, mono, without metadata.

    sample_rate  8000 or 16000
    loudness     LUFS (ITU-R BS.1770) to which it is brought; None leaves it as it is
    peak         dBFS that no sample goes beyond: a prompt that would is left that much softer
    largest      bytes; what would become larger is refused
    """

    encoding: Encoding = Encoding.PCM
    sample_rate: int = 16000
    loudness: float | None = -20.0
    peak: float = -1.0
    largest: int = 25_000_000


@dataclass(frozen=True, slots=True)
class PromptSound:
    """A converted prompt, and what it was made of.

    was       the source: its container, codec, Hz and channels, such as `mp3 44100 Hz stereo`
    gain      dB by which it was made louder (or, negative, softer)
    loudness  LUFS of the result; None where it is too soft to be measured
    limited   the peak kept it from the loudness that was asked for
    sha256    of the source, as it was read
    """

    seconds: float
    bytes: int
    was: str
    gain: float
    loudness: float | None
    limited: bool
    sha256: str


class BadAudio(PermanentError):
    """A file that cannot become a prompt; the message says why, without quoting anything of it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason, code=ReasonCode.REQUEST_REFUSED)


class PromptAudio(Protocol):
    """Converts and measures audio in processes with limited means. Packages offer one as the entry point `prompt_audio` of the group
    `genesys_sync.tools`, made with `workers` (0: one for each core) and `memory` (bytes for each)."""

    def running(self) -> AbstractAsyncContextManager[None]:
        """As long as it is used; afterwards no process of it is left."""
        ...

    async def convert(self, source: Path, into: Path, form: PromptForm) -> PromptSound:
        """Write the prompt made of `source` to `into`, whole. Raises BadAudio, and TransientError when no process starts."""
        ...

    async def seconds(self, path: Path) -> float:
        """How long a file plays. Raises as `convert`."""
        ...


@dataclass(frozen=True, slots=True)
class PromptAsset:
    """A prompt's resource in one language.

    status    verbatim: created, uploaded, transcoded, transcodeFailed
    seconds   None until it is transcoded
    format    the platform's `audioFormat`, empty until it is transcoded
    media     where its audio lies now
    upload    `uploadUri`, the deprecated place to upload to
    """

    id: str
    prompt_id: str
    language: str
    status: str
    seconds: float | None = None
    format: Mapping[str, object] = field(default_factory=dict)
    media: SecretUrl | None = None
    upload: SecretUrl | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """A user prompt; `assets` by language, in lower case."""

    id: str
    name: str
    assets: Mapping[str, PromptAsset] = field(default_factory=dict)


class UploadForm(StrEnum):
    """How a prompt's audio is uploaded: the current operation (a preview), the deprecated `uploadUri`, or whichever the platform has."""

    AUTO = "auto"
    CURRENT = "current"
    DEPRECATED = "deprecated"


class Prompts(Protocol):
    """Architect's user prompts. Raises PermanentError where the platform refuses, else TransientError."""

    async def listed(self, *, media: bool = False) -> dict[str, Prompt]:
        """Every prompt with its resources, by name in lower case; with `media` also where their audio lies."""
        ...

    async def find(self, name: str) -> Prompt | None:
        """The prompt of this name; upper and lower case are the same."""
        ...

    async def push(
        self,
        name: str,
        language: str,
        audio: Path,
        *,
        seconds: float,
        form: UploadForm = UploadForm.AUTO,
        known: Prompt | None = None,
    ) -> PromptAsset:
        """Make this WAV the prompt's audio: prompt and resource are created where they are not there (one that is there already is taken),
        the file uploaded, and the resource returned when it is transcoded and plays about `seconds`. Repeated, it uploads again. `known` is
        the prompt as it was listed, which saves a request.

        Raises BadAudio when the platform could not transcode it, NotConfirmed when it has not in time. One audit entry, `prompt.push`."""
        ...


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow as it stands. Versions are the platform's own (`3.0`), empty where there is none.

    lock    `none`, `own` (this OAuth client's) or `other`
    holder  whose lock it is, as the platform names them: for the terminal alone, it may be a person
    """

    id: str
    name: str
    type: str
    checked_in: str = ""
    published: str = ""
    lock: str = "none"
    holder: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class Published:
    """A flow whose publication has succeeded; `operation_id` is the platform's."""

    flow: Flow
    operation_id: str
    seconds: float
    correlation_id: str = ""


class FlowRefused(PermanentError):
    """The platform refused an action on a flow, or its operation ended as FAILURE. The message explains it in one sentence; `left` says
    in what state the flow was left, empty when nothing was changed."""

    def __init__(
        self,
        reason: str,
        *,
        code: ReasonCode = ReasonCode.REQUEST_REFUSED,
        correlation_id: str = "",
        status: int = 0,
        platform_code: str = "",
    ) -> None:
        super().__init__(reason, code=code, correlation_id=correlation_id)
        self.status = status
        self.platform_code = platform_code
        self.left = ""


FlowTold = Callable[[Flow, str], None]
"""Hears each step of a publication, in words for people."""


class Flows(Protocol):
    """Architect's flows. Raises FlowRefused, another PermanentError, or TransientError (NotConfirmed when an operation takes too long)."""

    async def listed(self, names: str = "*") -> Sequence[Flow]:
        """The flows whose name fits (`*` stands for anything), by name."""
        ...

    async def find(self, flow: str) -> Flow:
        """The flow of this id, or of exactly this name. Raises FlowRefused when there is none, or more than one."""
        ...

    async def using_prompt(self, prompt_id: str) -> Sequence[Flow]:
        """The flows that use a prompt, by name. While the platform rebuilds its dependency tracking this waits: half a list is none."""
        ...

    async def publish(self, flow: Flow, *, version: str = "", told: FlowTold | None = None) -> Published:
        """Check the flow out and in, and publish what was checked in; with `version`, publish that one, without a lock. Each operation is
        followed to its end. Audit entries `flow.checkout`, `flow.checkin`, `flow.publish`. What fails, or is cancelled, between checkout
        and checkin gives the lock back, as far as the platform lets it."""
        ...
