"""Transcripts made on demand: what a speech provider is, what it is asked, and what it answers.

A provider of yours is a subclass of `Provider`, named in the settings like a handler: an entry point of group `genesys_sync.providers`,
or `use = "./plugins/mine.py:Mine"`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar

from genesys_sync.errors import PermanentError
from genesys_sync.transcripts import Mark, Segment

if TYPE_CHECKING:
    from genesys_sync.services import Services

ConfigT = TypeVar("ConfigT")


class TranscriptionCheck(StrEnum):
    """A prerequisite of a transcription, by the name under which its refusal is reported."""

    MEDIA = "media"
    """The recording is in the archive, whole and unaltered, and it is sound."""
    AUDIBLE = "audible"
    SIZE = "size"
    LENGTH = "length"
    LOCALE = "locale"
    PERMISSION = "permission"
    """The client may see recordings; of a recording of the platform's alone."""
    PRODUCT = "product"
    """The organisation has a licence, and the product that the settings ask for; of a recording of the platform's alone."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderLimits:
    """What a provider takes. None: it does not say, or has no such limit.

    locales  BCP 47; compared without regard to case
    """

    locales: frozenset[str] | None = None
    max_bytes: int | None = None
    max_seconds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscriptionJob:
    """What a provider is asked.

    key           the idempotency key: the same over all attempts and restarts, 32 hexadecimal digits
    media         a local file, to be read and streamed from where it lies
    locale        BCP 47, such as `en-US`
    phrases       words that are likely to be said
    callback_url  where the result may be sent, signed; None where nobody listens
    """

    key: str
    media: Path
    content_type: str
    locale: str
    phrases: Sequence[str] = ()
    redact: bool = False
    speaker_labels: bool = True
    callback_url: str | None = None


@dataclass(frozen=True, slots=True)
class Accepted:
    """The provider works on it, under this id."""

    job_id: str


@dataclass(frozen=True, slots=True)
class Transcribed:
    """The result, as the provider gave it; the same for the same job, however it was learnt. `Provider.read` reads it."""

    document: bytes


@dataclass(frozen=True, slots=True)
class Failed:
    """The provider will not, or could not, for good. `code` is its own, `reason` a sentence without anything personal."""

    code: str
    reason: str


Progress = Accepted | Transcribed | Failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """What a result says: segments in order of time, numbered from 0; the languages in order of first use; seconds of sound or None.

    marks  who is heard when, where the provider tells that apart from the segments: they take the speaker of the mark that fits, and
           keep their own where none does
    """

    segments: tuple[Segment, ...] = ()
    marks: tuple[Mark, ...] = ()
    languages: tuple[str, ...] = ()
    duration: float | None = None


class Provider(ABC, Generic[ConfigT]):
    """Makes transcripts. `config_type`, `submit` and `read` are required; one that answers later has `look` too, and `called_back` if it
    calls back.

    config_type  a frozen dataclass or pydantic model for the `config` table of `[providers.NAME]`; unknown keys are errors

    Every method may raise TransientError (again may help, with a delay where one is known) and PermanentError.
    """

    config_type: ClassVar[type]

    def __init__(self, name: str, config: ConfigT) -> None:
        """No I/O here: `name` is the key in the settings, `config` is validated."""
        self.name = name
        self.config = config

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncGenerator[None]:
        """Open what lives as long as the process, yield, close it."""
        yield

    async def check(self) -> None:
        """Prove, within `running`, that the configuration works. Raises ConfigurationError, TransientError or PermanentError."""
        await self.limits()

    async def limits(self) -> ProviderLimits:
        """What it takes; asked before each submission, so remember it where asking costs a request."""
        return ProviderLimits()

    @abstractmethod
    async def submit(self, job: TranscriptionJob) -> Progress:
        """Ask for a transcript. Asked again under the same key it must not work twice, as far as that is in its power."""
        ...

    async def look(self, job_id: str) -> Progress | None:
        """How the job stands; None when the provider knows no such job (it is submitted again, under the same key)."""
        return None

    def called_back(self, body: bytes) -> tuple[str, Progress] | None:
        """The idempotency key that a callback's body names, and what it says of the job; None for a body that is no such thing.
        The signature has been verified. Raises nothing."""
        return None

    @abstractmethod
    def read(self, document: bytes) -> Heard:
        """What a result says. Pure. Raises TranscriptUnreadable when it is no result at all."""
        ...


class Speech(Protocol):
    """The providers that the settings name, open, for handlers."""

    @property
    def names(self) -> Sequence[str]:
        """In the order of the settings."""
        ...

    def provider(self, name: str) -> Provider[Any]:
        """Raises PermanentError that names those there are."""
        ...

    def locale(self, name: str) -> str:
        """What the provider transcribes in where nobody says otherwise; empty where the settings name none."""
        ...

    def callback_url(self, name: str) -> str | None:
        """Where this provider may send a result; None where nobody listens, or nothing was agreed upon to sign with."""
        ...

    def measure(self, name: str, outcome: str, *, since_request: float, since_call: float | None) -> None:
        """Count a transcription that has ended, with the seconds that it took."""
        ...


class NoSpeech:
    """`Speech` where the settings name no provider."""

    names: Sequence[str] = ()

    def provider(self, name: str) -> Provider[Any]:
        """Raises PermanentError."""
        raise PermanentError(f"there is no speech provider {name!r}: add a table [providers.{name}] to the settings")

    def locale(self, name: str) -> str:
        """See `Speech.locale`."""
        return ""

    def callback_url(self, name: str) -> str | None:
        """See `Speech.callback_url`."""
        return None

    def measure(self, name: str, outcome: str, *, since_request: float, since_call: float | None) -> None:
        """Nobody asks for these."""
