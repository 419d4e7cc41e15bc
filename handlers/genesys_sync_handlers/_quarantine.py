"""Withholding a recording: its files go to the quarantine tree, one place for each revision. Each step may be repeated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from genesys_sync.plugin import Storage
from genesys_sync_handlers._keys import quarantine_key

NO_TRANSCRIPT = "NO_TRANSCRIPT"
"""The reason of what was withheld because it could not be redacted: fetched again it would be no other."""
REVISIONS_MOST = 10
"""Copies that are ever fetched of one recording."""


async def withheld(
    storage: Storage, parts: Sequence[Mapping[str, Any]], sidecar_key: str, revision: int, *, noted: Mapping[str, Any]
) -> list[str]:
    """Afterwards parts and sidecar lie in quarantine, the sidecar, written last, with what is `noted` in it; the parts' keys there.
    A part that lies nowhere has none."""
    held = [key for part in parts if (key := await _moved(storage, part["key"], revision)) is not None]
    await _moved(storage, sidecar_key, revision)
    await storage.write(quarantine_key(sidecar_key, revision), orjson.dumps(noted, option=orjson.OPT_INDENT_2))
    return held


async def read_sidecar(storage: Storage, key: str, revision: int) -> dict[str, Any]:
    """What is noted of a recording, in its place or in quarantine; empty where nothing can be read."""
    for place in (key, quarantine_key(key, revision)):
        try:
            sidecar = orjson.loads(await storage.read(place))
        except (FileNotFoundError, orjson.JSONDecodeError):
            continue
        if isinstance(sidecar, dict):
            return sidecar
    return {}


async def unredacted(storage: Storage, sidecar_key: str) -> dict[str, Any] | None:
    """What is told of a recording that lies in quarantine, whole and unaltered, because no transcript came; None where none does."""
    for revision in range(REVISIONS_MOST, 0, -1):
        try:
            sidecar = orjson.loads(await storage.read(quarantine_key(sidecar_key, revision)))
        except (FileNotFoundError, orjson.JSONDecodeError):
            continue
        note = sidecar.get("rejected") if isinstance(sidecar, dict) else None
        if not isinstance(note, Mapping) or note.get("reason") != NO_TRANSCRIPT:
            continue
        parts = [{**part, "key": quarantine_key(part["key"], revision)} for part in sidecar.get("parts") or ()]
        try:
            whole = bool(parts) and all([await storage.sha256(part["key"]) == part["sha256"] for part in parts])
        except FileNotFoundError:
            whole = False
        if whole:
            place = quarantine_key(sidecar_key, revision)
            size = await storage.size(place)
            held = [*parts, {"key": place, "sha256": await storage.sha256(place), "bytes": size}]
            return {
                "revision": revision,
                "reason": NO_TRANSCRIPT,
                "detail": note.get("detail"),
                "quarantine": [part["key"] for part in parts],
                "held": [{name: one[name] for name in ("key", "sha256", "bytes")} for one in held],
            }
    return None


async def _moved(storage: Storage, key: str, revision: int) -> str | None:
    """Where the object lies now; None when it is nowhere."""
    place = quarantine_key(key, revision)
    if await storage.size(key) is not None:
        await storage.move(key, place)
        return place
    return None if await storage.size(place) is None else place
