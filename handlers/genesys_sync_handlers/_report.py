"""What an inspection says. Shared by the daemon's side and the worker processes, so it imports nothing of the daemon."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Self


class Fault(StrEnum):
    """Why a file is withheld. The list is closed."""

    EMPTY = "EMPTY"
    ERROR_PAGE = "ERROR_PAGE"
    CONTAINER_FORBIDDEN = "CONTAINER_FORBIDDEN"
    NOT_MEDIA = "NOT_MEDIA"
    HEADER_ONLY = "HEADER_ONLY"
    TRUNCATED = "TRUNCATED"
    JUNK_APPENDED = "JUNK_APPENDED"
    DECODE_FAILED = "DECODE_FAILED"
    DURATION_MISMATCH = "DURATION_MISMATCH"
    MEDIA_SILENT = "MEDIA_SILENT"
    MEDIA_ALTERED = "MEDIA_ALTERED"
    MEDIA_MISSING = "MEDIA_MISSING"
    VERIFIER_CRASHED = "VERIFIER_CRASHED"
    VERIFIER_OVERRUN = "VERIFIER_OVERRUN"
    VERIFIER_MEMORY = "VERIFIER_MEMORY"


class Caution(StrEnum):
    """What is odd about a file that is accepted all the same."""

    MEDIA_SILENT = "MEDIA_SILENT"
    CHANNEL_SILENT = "CHANNEL_SILENT"
    DURATION_UNCONFIRMED = "DURATION_UNCONFIRMED"
    CONTENT_TYPE_MISMATCH = "CONTENT_TYPE_MISMATCH"
    LENGTH_UNSTATED = "LENGTH_UNSTATED"
    END_MISSING = "END_MISSING"
    TIMESTAMP_GAP = "TIMESTAMP_GAP"
    FORMAT_UNUSUAL = "FORMAT_UNUSUAL"
    FORMAT_UNKNOWN = "FORMAT_UNKNOWN"


class Damage(Exception):
    """The file is not what it claims to be. `detail` is a sentence for people; it quotes nothing from the file."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One file to inspect.

    sha256        what was recorded when it was stored, lower-case hexadecimal
    content_type  what the store said it is
    audio         whether it must be audio or video; False for chats, mails and messages
    level         `full` decodes every packet; `structure` reads them without decoding
    cpu_seconds   the most processor time that the worker may use for it
    """

    path: str
    sha256: str
    content_type: str
    audio: bool
    level: str
    cpu_seconds: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What was found in one file. `fault` is None for a good one; measures are zero or empty where none could be taken.

    duration   seconds of the longest stream, counted in decoded samples (by packets at level `structure`)
    container  wav, ogg, webm, mp3, mp4, flac, zip, json, eml, or empty
    """

    fault: Fault | None = None
    detail: str = ""
    warnings: Sequence[str] = ()
    sha256: str = ""
    size: int = 0
    container: str = ""
    codec: str = ""
    sample_rate: int = 0
    channels: int = 0
    duration: float = 0.0
    streams: int = field(default=0)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """Raises TypeError or ValueError when the worker told something else."""
        fault = told.get("fault")
        return cls(**{**told, "fault": None if fault is None else Fault(fault), "warnings": tuple(told.get("warnings", ()))})
