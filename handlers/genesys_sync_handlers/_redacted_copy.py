"""What stands in the archive of a recording's redacted copy, as the copy's sidecar tells. It is written after everything that it names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

import orjson

from genesys_sync.plugin import Storage
from genesys_sync_handlers._keys import GIVEN, SIDECAR_SUFFIX, sidecar_key
from genesys_sync_handlers._spans import redacted_key, spans_folder

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Whose:
    """Whose sound it is, and where what belongs to it lies.

    name        the recording's id; of a file that was given to be transcribed, its request's
    state       what tells its events from those of others, besides the recording's id
    noted       the sidecar of the original; a given file has one in quarantine alone
    spans       the folder of its spans, and of its redacted copy
    identities  under which its spans lie there; the communication's id comes to them where the sidecar tells it
    """

    name: str
    state: str
    noted: str
    spans: str
    identities: Sequence[str]

    @property
    def copy(self) -> str:
        """The sidecar of the redacted copy."""
        return redacted_key(self.noted)

    @classmethod
    def recording(cls, day: date, conversation_id: str, recording_id: str) -> Self:
        return cls(recording_id, "", sidecar_key(day, conversation_id, recording_id), spans_folder(day, conversation_id), (recording_id,))

    @classmethod
    def given(cls, folder: str) -> Self:
        """`folder` is the request's, in the archive."""
        name = folder.rpartition("/")[2]
        return cls(name, name, f"{folder}/{GIVEN}.{SIDECAR_SUFFIX}", redacted_key(folder), (GIVEN,))


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
