"""What must lie in the archive, by the ledger's events. Pure.

| what the ledger knows of a revision | where its media must lie |
| --- | --- |
| archived and verified | in its place |
| archived, and a later revision too | in quarantine: it was refused and fetched again |
| archived and rejected | in quarantine, as far as the rejection names it |
| archived, no verdict yet | in either: the verifier may be moving it |
| rejected, archived by a ledger that is gone | in quarantine, by the names and hashes of the rejection itself |
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from genesys_sync.events import Event, Topic

TOPICS = (Topic.MEDIA_ARCHIVED, Topic.MEDIA_VERIFIED, Topic.MEDIA_REJECTED)


@dataclass(frozen=True, slots=True)
class Expected:
    """One object. It must lie at one of `places`, with these bytes.

    sha256  None for a sidecar of which only the contents are known: in quarantine it was written anew, with the reason
    size    None where only the hash is known
    parts   for a sidecar: key → SHA-256 of the media that it must name
    grows   for a sidecar: it may name more, which a later event tells of
    presence  the ledger knows its name alone, so that it is there is all that can be proved

    `recording_id` is the communication's where it is a transcript's.
    """

    recording_id: str
    places: tuple[str, ...]
    sha256: str | None
    size: int | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    grows: bool = False
    presence: bool = False


@dataclass(slots=True)
class _Known:
    archived: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    verified: set[int] = field(default_factory=set)
    rejected: dict[int, Mapping[str, Any]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Slice:
    """The part `number` of `total` (from 1): conversations by their ids, so that `total` runs cover everything exactly once."""

    number: int = 1
    total: int = 1

    def holds(self, key: str) -> bool:
        """Media and sidecars of one conversation, quarantined ones too, are in one slice."""
        folder = key.rpartition("/")[0].rpartition("/")[2]
        return int.from_bytes(hashlib.sha256(folder.encode()).digest()[:8], "big") % self.total == self.number - 1


def quarantine_key(key: str, revision: int) -> str:
    """Where the verifier puts what lay at `key` (docs/handlers/verify.md)."""
    folder, _, name = key.rpartition("/")
    recording_id, _, ending = name.partition(".")
    return f"quarantine/{folder}/{recording_id}.r{revision}.{ending}"


def expected(events: Iterable[Event]) -> list[Expected]:
    """The objects that these events speak of. For each recording all its events of `TOPICS` must be among them."""
    known: defaultdict[str, _Known] = defaultdict(_Known)
    for event in events:
        one, revision = known[event.recording_id or ""], int(event.body.get("revision", 1))
        match event.topic:
            case Topic.MEDIA_ARCHIVED:
                one.archived[revision] = event.body
            case Topic.MEDIA_VERIFIED:
                one.verified.add(revision)
            case Topic.MEDIA_REJECTED:
                one.rejected[revision] = event.body
    return [found for recording_id, one in known.items() for found in _of_recording(recording_id, one)]


def _of_recording(recording_id: str, known: _Known) -> Iterator[Expected]:
    for revision, told in known.rejected.items():
        if revision not in known.archived:
            yield from (Expected(recording_id, (one["key"],), one["sha256"], one["bytes"]) for one in told.get("held") or ())
    latest = max(known.archived, default=0)
    for revision, body in known.archived.items():
        hashes = {part["key"]: part["sha256"] for part in body["parts"]}
        withheld = revision < latest or revision in known.rejected
        decided = withheld or revision in known.verified
        for part in body["parts"]:
            places = _places(part["key"], revision, withheld=withheld, decided=decided)
            rejection = known.rejected.get(revision)
            if rejection is not None and revision == latest and places[0] not in rejection.get("quarantine", ()):
                continue  # the verifier found it nowhere, and the rejection says so
            yield Expected(recording_id, places, part["sha256"], part["bytes"])
        sidecar = body["sidecar"]
        places = _places(sidecar, revision, withheld=withheld, decided=decided)
        whole = body.get("sidecarSha256") if places == (sidecar,) else None
        yield Expected(recording_id, places, whole, parts=hashes)


def _places(key: str, revision: int, *, withheld: bool, decided: bool) -> tuple[str, ...]:
    if not decided:
        return (key, quarantine_key(key, revision))
    return (quarantine_key(key, revision),) if withheld else (key,)
