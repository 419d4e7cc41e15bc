"""The redacted copy of a written recording: made at once, for what was written needs no transcript. Each step may be repeated."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
from anyio import to_thread

from genesys_sync.plugin import PermanentError, ReasonCode, Services
from genesys_sync.redaction import RedactionFailed, Redactor
from genesys_sync_handlers._redacted_copy import SCHEMA, Whose, read_copy, stands
from genesys_sync_handlers._spans import redacted_key
from genesys_sync_handlers._written import CONTAINER, as_transcript, read, redacted

_LIMIT = 64 << 20
_DIGEST = "written"
"""In the place of the spans' digest: nothing that comes later changes the copy."""


def is_written(parts: Sequence[Mapping[str, Any]]) -> bool:
    """Whether these are a written recording, by what the verifier (or the copy's own sidecar) says of them."""
    return bool(parts) and all(part.get("container") == CONTAINER for part in parts)


async def written_copy(
    services: Services, whose: Whose, conversation_id: str, parts: Sequence[Mapping[str, Any]], *, ended_at: object, keep_original: bool
) -> dict[str, Any]:
    """What the copy's sidecar is to tell; the copy itself lies in the archive. One that is there and whole is taken as it is.

    Raises Unreadable for a body in which no messages are found, and PermanentError(REDACTION_FAILED, NOT_FOUND, MEDIA_CHANGED): nothing is
    written then.
    """
    originals = [{"key": part["key"], "sha256": part["sha256"]} for part in parts]
    made = await read_copy(services.storage, whose.copy)
    if made is not None and made["originals"] == originals and await stands(services.storage, made):
        return made
    copies, hidden = [], dict[str, int]()
    for part in originals:
        data, counts = await to_thread.run_sync(_redact, services.redactor, await _read(services, part), conversation_id, whose.name)
        key = redacted_key(part["key"])
        await services.storage.write(key, data)
        described = {"key": key, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "container": CONTAINER}
        copies.append({**described, "spans": sum(counts.values())})
        for kind, number in counts.items():
            hidden[kind] = hidden.get(kind, 0) + number
    body = {
        "revision": 1,
        "conversationEndedAt": ended_at,
        "parts": copies,
        "hidden": hidden,
        "removed": [] if keep_original else [part["key"] for part in originals],
        "verified": True,
    }
    return {"schema": SCHEMA, "digest": _DIGEST, "originals": originals, "body": body}


async def _read(services: Services, part: Mapping[str, Any]) -> bytes:
    try:
        data = await services.storage.read(part["key"], limit=_LIMIT)
    except FileNotFoundError:
        raise PermanentError(f"{part['key']} is not in the archive any more", code=ReasonCode.NOT_FOUND) from None
    if hashlib.sha256(data).hexdigest() != part["sha256"]:
        raise PermanentError(f"{part['key']} is not what was archived: its SHA-256 differs", code=ReasonCode.MEDIA_CHANGED)
    return data


def _redact(redactor: Redactor, data: bytes, conversation_id: str, recording_id: str) -> tuple[bytes, Mapping[str, int]]:
    """The copy's bytes, and what was hidden by type. It is read back and redacted once more: nothing more may be found in it."""
    try:
        writing = read(data)
        redaction = redactor.redact(as_transcript(writing, conversation_id, recording_id))
        copy = orjson.dumps(redacted(writing, redaction.transcript), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
        again = redactor.redact(as_transcript(read(copy), conversation_id, recording_id))
    except RedactionFailed as error:
        raise PermanentError(f"the recording is not redacted: {error}", code=ReasonCode.REDACTION_FAILED) from None
    if again.spans:
        raise PermanentError("the recording is not redacted: its copy still holds something to hide", code=ReasonCode.REDACTION_FAILED)
    return copy, redaction.report.hidden
