"""Where things lie in the archive, and how files are named. Pure."""

from __future__ import annotations

from datetime import date

SIDECAR_SUFFIX = "json"
GIVEN = "media"
"""The name, but for its ending, of a file that was given to be transcribed, in its request's folder."""

_EXTENSIONS = {
    "audio/wav": "wav",
    "audio/x-wav": "wav",
    "audio/wave": "wav",
    "audio/vnd.wave": "wav",
    "audio/ogg": "ogg",
    "audio/opus": "ogg",
    "application/ogg": "ogg",
    "audio/webm": "webm",
    "video/webm": "webm",
    "audio/mpeg": "mp3",
    "audio/mp3": "mp3",
    "audio/mp4": "m4a",
    "audio/x-m4a": "m4a",
    "video/mp4": "mp4",
    "audio/flac": "flac",
    "application/zip": "zip",
    "message/rfc822": "eml",
    # `<recordingId>.json` is the sidecar's own name
    "application/json": "media.json",
}

_MAGIC = (
    (b"RIFF", "wav"),
    (b"RF64", "wav"),
    (b"OggS", "ogg"),
    (b"\x1aE\xdf\xa3", "webm"),
    (b"ID3", "mp3"),
    (b"fLaC", "flac"),
    (b"PK\x03\x04", "zip"),
)


def extension(content_type: str, head: bytes) -> str:
    """The file name's ending for this content type; where that says nothing, for the file's first bytes; else `bin`."""
    known = _EXTENSIONS.get(content_type.partition(";")[0].strip().lower())
    if known is not None:
        return known
    if head[4:8] == b"ftyp":
        return "m4a"
    return next((name for magic, name in _MAGIC if head.startswith(magic)), "bin")


def media_key(day: date, conversation_id: str | None, recording_id: str, part: int, ending: str) -> str:
    """The archive key of one part (the first is 1). The ids must be canonical UUIDs: the caller has checked."""
    numbered = "" if part == 1 else f"part{part}."
    return f"{_folder(day, conversation_id, recording_id)}/{recording_id}.{numbered}{ending}"


def sidecar_key(day: date, conversation_id: str | None, recording_id: str) -> str:
    """The key of the sidecar beside the media."""
    return f"{_folder(day, conversation_id, recording_id)}/{recording_id}.{SIDECAR_SUFFIX}"


def quarantine_key(key: str, revision: int) -> str:
    """Where the object under an archive key goes when it is withheld: one place for each revision."""
    folder, _, name = key.rpartition("/")
    recording_id, _, ending = name.partition(".")
    return f"quarantine/{folder}/{recording_id}.r{revision}.{ending}"


def transcript_key(day: date, conversation_id: str, communication_id: str, recording_id: str | None, ending: str) -> str:
    """The key of one form of a transcript: `raw.json` as the platform had it, `json` our model, `vtt`, `srt`, `txt`."""
    recording = "" if recording_id is None else f".{recording_id}"
    return f"{_transcripts(day, conversation_id)}/{communication_id}{recording}.{ending}"


def transcript_sidecar_key(day: date, conversation_id: str, communication_id: str) -> str:
    """The key of what is known of all transcripts of one communication."""
    return f"{_transcripts(day, conversation_id)}/{communication_id}.archive.json"


def provided_key(day: date, conversation_id: str, recording_id: str, name: str, ending: str) -> str:
    """The key of one form of a transcript that a provider made of a recording; `name` tells one such from another."""
    return f"{_transcripts(day, conversation_id)}/{recording_id}.{name}.{ending}"


def _transcripts(day: date, conversation_id: str) -> str:
    return f"transcripts/{day:%Y/%m/%d}/{conversation_id}"


def _folder(day: date, conversation_id: str | None, recording_id: str) -> str:
    """A recording without a conversation has a folder of its own."""
    if conversation_id is None:
        return f"orphans/{day:%Y/%m/%d}/{recording_id}"
    return f"recordings/{day:%Y/%m/%d}/{conversation_id}"
