"""What stands in the archive of a recording's redacted copy, as the copy's sidecar tells. It is written after everything that it names."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

import orjson

from genesys_sync.plugin import Storage
from genesys_sync_handlers._keys import sidecar_key
from genesys_sync_handlers._spans import redacted_key

SCHEMA = 1


def copy_sidecar_key(day: date, conversation_id: str | None, recording_id: str) -> str:
    """Where the copy's sidecar lies."""
    return redacted_key(sidecar_key(day, conversation_id, recording_id))


async def read_copy(storage: Storage, key: str) -> dict[str, Any] | None:
    """What the copy's sidecar tells: `digest` of spans and filling, `originals`, and the `body` of its event; None without a copy."""
    try:
        told = orjson.loads(await storage.read(key))
    except (FileNotFoundError, orjson.JSONDecodeError):
        return None
    return told if isinstance(told, dict) and told.get("schema") == SCHEMA else None


async def announced(storage: Storage, key: str, made: Mapping[str, Any]) -> dict[str, Any]:
    """The body of `media.redacted`; the sidecar must lie there."""
    return {**made["body"], "sidecar": key, "sidecarSha256": await storage.sha256(key)}


async def stands(storage: Storage, made: Mapping[str, Any]) -> bool:
    """Whether every file of the copy is there, unaltered."""
    try:
        return all([await storage.sha256(part["key"]) == part["sha256"] for part in made["body"]["parts"]])
    except FileNotFoundError:
        return False


async def is_all_there_is(storage: Storage, made: Mapping[str, Any]) -> bool:
    """Whether the original was removed because of this copy, all of it, by setting."""
    originals = [one["key"] for one in made["originals"]]
    if not originals or not set(originals) <= set(made["body"]["removed"]):
        return False
    return not any([await storage.size(key) is not None for key in originals]) and await stands(storage, made)
