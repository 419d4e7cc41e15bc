"""May this file be uploaded? By what is inside it, never by its name. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Final

from genesys_sync_handlers._magic import Kind
from genesys_sync_handlers._report import Report

CONTENT_TYPES: Final[Mapping[str, str]] = {
    Kind.WAV: "audio/wav",
    Kind.OGG: "audio/ogg",
    Kind.WEBM: "audio/webm",
    Kind.MP3: "audio/mpeg",
    Kind.MP4: "audio/mp4",
    Kind.FLAC: "audio/flac",
}
"""What the platform is told of each container."""

TOO_LARGE: Final = "TOO_LARGE"
TOO_LONG: Final = "TOO_LONG"
NO_AUDIO: Final = "NO_AUDIO"
CONTAINER_REFUSED: Final = "CONTAINER_REFUSED"
CODEC_REFUSED: Final = "CODEC_REFUSED"


def refusal(report: Report, *, max_duration: timedelta, containers: frozenset[str], codecs: frozenset[str]) -> tuple[str, str] | None:
    """Reason and sentence for a file that must not be uploaded; None for one that may."""
    if report.fault is not None:
        return report.fault.value, report.detail
    if report.streams == 0:
        return NO_AUDIO, "the file holds no audio"
    if report.container not in containers or report.container not in CONTENT_TYPES:
        return CONTAINER_REFUSED, f"the container is {report.container or 'unknown'}; taken are {', '.join(sorted(containers))}"
    if report.codec not in codecs:
        return CODEC_REFUSED, f"the audio is coded as {report.codec or 'nothing known'}; taken are {', '.join(sorted(codecs))}"
    if report.duration > max_duration.total_seconds():
        return TOO_LONG, f"the file is {report.duration:.0f} s long; {max_duration.total_seconds():.0f} s are taken"
    return None
