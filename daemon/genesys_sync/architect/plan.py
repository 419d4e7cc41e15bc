"""What has to be done about a prompt, from the file, what was pushed before, and what the platform shows. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from genesys_sync.services.architect import PromptAsset, PromptForm

REPLACED: Final = "somebody else has changed its audio on the platform"
_SAME: Final = 0.005
"""Seconds by which two durations that the platform told may differ and be the same."""


class Change(StrEnum):
    """What a push would do about a file."""

    NEW = "new"
    CHANGED = "changed"
    UNCHANGED = "unchanged"
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class Known:
    """The last push of a prompt in one language, as it was recorded.

    sha256, form  of the source, and what it was converted to
    seconds, format  what the platform said of it then
    revision      which push it was, from 1
    served        SHA-256 of what the platform served then; empty where that was not recorded
    """

    resource_id: str
    sha256: str
    form: str
    seconds: float | None
    format: Mapping[str, object] = field(default_factory=dict)
    revision: int = 1
    served: str = ""


def form_text(form: PromptForm) -> str:
    """The conversion in one line; another line is another conversion."""
    loudness = "its own loudness" if form.loudness is None else f"{form.loudness:g} LUFS"
    return f"wav {form.encoding} {form.sample_rate} Hz mono, {loudness}, peak {form.peak:g} dBFS"


def judge(sha256: str, form: str, known: Known | None, asset: PromptAsset | None) -> tuple[Change, str]:
    """What to do, and why in a few words (empty where there is nothing to do)."""
    if asset is None or asset.status in ("", "created"):
        return Change.NEW, "the platform has no such prompt in this language" if asset is None else "it has no audio yet"
    if known is None or known.resource_id != asset.id:
        return Change.CHANGED, "its audio on the platform was not pushed from here"
    if known.sha256 != sha256:
        return Change.CHANGED, "the file's content is another"
    if known.form != form:
        return Change.CHANGED, f"the settings have changed: it was converted to {known.form}"
    if asset.status != "transcoded":
        return Change.CHANGED, f"the platform shows it as {asset.status}"
    if _other(known.seconds, asset.seconds) or dict(known.format) != dict(asset.format):
        return Change.CHANGED, REPLACED
    return Change.UNCHANGED, ""


def _other(then: float | None, now: float | None) -> bool:
    return then is not None and now is not None and abs(then - now) > _SAME
