"""What is held of live transcription, beyond the process: each utterance as it would be told if it had to be told now.

An utterance that is held may still turn out to be the beginning of a number, so what is written here is hidden as if that had followed:
no more than the event would show that a stopping daemon tells. A process that begins tells what it finds here and the ledger does not know.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import orjson

from genesys_sync.feed.utterances import Told
from genesys_sync.transcripts.live import Utterance
from genesys_sync.transcripts.model import Segment, Speaker

_SCHEMA: Final = 1
_MOST: Final = 20_000
"""Utterances that are written; of more than that the last."""


class HeldBook:
    """A file that its owner alone may read. Blocking; one call at a time. `file` None: nothing outlives the process."""

    def __init__(self, file: Path | None) -> None:
        self._file = file
        self._written: bytes | None = None

    @property
    def kept(self) -> bool:
        """Whether anything outlives the process."""
        return self._file is not None

    def load(self) -> list[Told]:
        """What the process before left; a file that cannot be read is the same as none."""
        if self._file is None:
            return []
        try:
            document = orjson.loads(self._file.read_bytes())
            return [_told(item) for item in document["held"]] if document["schema"] == _SCHEMA else []
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return []

    def save(self, told: Sequence[Told]) -> str:
        """Afterwards these lie in the file, and no others: whole or not at all. Returns what went wrong."""
        if self._file is None:
            return ""
        data = orjson.dumps({"schema": _SCHEMA, "held": [_as_json(one) for one in told[-_MOST:]]})
        if data == self._written:
            return ""
        new = self._file.with_name(f"{self._file.name}.new")
        try:
            with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            new.replace(self._file)
        except OSError as error:
            return error.strerror or type(error).__name__
        self._written = data
        return ""


def _as_json(told: Told) -> dict[str, Any]:
    """Nothing of what was said but the redacted text: no words, no guesses."""
    one, segment = told.utterance, told.utterance.segment
    return {
        "conversation": one.conversation_id,
        "communication": one.communication_id,
        "utterance": one.utterance_id,
        "startedAt": None if one.started_at is None else one.started_at.isoformat(),
        "speaker": segment.speaker.label,
        "start": segment.start,
        "end": segment.end,
        "language": segment.language,
        "confidence": segment.confidence,
        "text": told.text,
        "hidden": dict(told.hidden),
    }


def _told(item: dict[str, Any]) -> Told:
    """Raises KeyError, TypeError or ValueError for what was not written by `_as_json`."""
    text, hidden = item["text"], {str(kind): int(count) for kind, count in item["hidden"].items()}
    segment = Segment(
        index=0,
        speaker=Speaker(label=str(item["speaker"])),
        text="" if text is None else str(text),
        start=float(item["start"]),
        end=float(item["end"]),
        language=item["language"],
        confidence=item["confidence"],
    )
    utterance = Utterance(
        conversation_id=str(item["conversation"]),
        communication_id=str(item["communication"]),
        utterance_id=str(item["utterance"]),
        segment=segment,
        final=True,
        started_at=None if item["startedAt"] is None else datetime.fromisoformat(item["startedAt"]),
    )
    return Told(utterance=utterance, text=None if text is None else str(text), hidden=hidden)
