"""What a muting is asked for, and what it tells. Shared by the daemon's side and the worker processes, so it imports no decoder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

from genesys_sync_handlers._report import Fault
from genesys_sync_handlers._spans import Stretch

Filling = Literal["silence", "beep"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MuteJob:
    """One file to copy.

    path, sha256  the original, and what it must be
    output        where the copy goes; made anew
    stretches     what to silence, margins included
    filling       what is heard instead
    cpu_seconds   the most processor time that the worker may use for it
    """

    path: str
    sha256: str
    content_type: str
    output: str
    stretches: Sequence[Stretch]
    filling: Filling
    cpu_seconds: int

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        return cls(**{**told, "stretches": [(float(start), float(end), int(channel)) for start, end, channel in told["stretches"]]})


@dataclass(frozen=True, slots=True, kw_only=True)
class Muted:
    """The copy that was made and proved; `fault` where none was.

    frames   samples of each channel, as many as the original has
    silenced  samples of all channels together that were replaced
    """

    fault: Fault | None = None
    detail: str = ""
    ending: str = ""
    sha256: str = ""
    size: int = 0
    channels: int = 0
    rate: int = 0
    frames: int = 0
    silenced: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, told: Mapping[str, Any]) -> Self:
        """Raises TypeError or ValueError when the worker told something else."""
        fault = told.get("fault")
        return cls(**{**told, "fault": None if fault is None else Fault(fault)})
