"""What the audit trail says was archived, held against the ledger's events: day by day, because a day fits in memory.

Archive and events alone can be made to agree by whoever can write both: a recording taken out of both leaves nothing behind, one that was
exchanged comes with its new hash. The trail's entry `recording.archive` names the hashes that were taken while the media came in, and what
it says is proved by the chain and by checkpoints. Each such entry must have its event, with just these hashes.

An archiver of somebody's own may write no such entry, so an event without one is no flaw.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import date
from hashlib import blake2b
from typing import Any, Final

import orjson

from genesys_sync.audit import Numbered
from genesys_sync.events import Event, Topic
from genesys_sync.ledger.base import Ledger

ACTION: Final = "recording.archive"
_ROWS: Final = 2_000
_DAY: Final = re.compile(r"[a-z]+/(\d{4})/(\d{2})/(\d{2})/.+")


@dataclass(frozen=True, slots=True)
class Told:
    """One entry: what was archived, and the digest of its hashes. `key` is its sidecar's."""

    seq: int
    recording_id: str
    revision: int
    key: str
    digest: bytes


@dataclass(frozen=True, slots=True)
class Contradiction:
    """An entry to which the ledger has no event, or one that says otherwise. `sentence` is for people."""

    key: str
    altered: bool
    sentence: str


@dataclass(slots=True)
class _Sum:
    """Of the digests of one day, in no order; two that are equal are taken for the same set."""

    count: int = 0
    total: int = 0

    def add(self, told_digest: bytes) -> None:
        self.count += 1
        self.total = (self.total + int.from_bytes(told_digest, "big")) % (1 << 128)


async def contradictions(ledger: Ledger) -> AsyncIterator[Contradiction]:
    """One for each entry that no event bears out. All entries are read once, and once more where a day does not add up; what a running
    daemon adds meanwhile is no contradiction, because an entry and its event are one commit, and the events are read last."""
    sums: dict[date, _Sum] = {}
    async for day, told in _told(ledger):
        sums.setdefault(day, _Sum()).add(told.digest)
    doubtful = {day for day, of_entries in sums.items() if await _sum_of_events(ledger, day) != of_entries}
    if not doubtful:
        return
    entries: dict[date, dict[tuple[str, int, bytes], Told]] = {day: {} for day in doubtful}
    async for day, told in _told(ledger):
        if day in doubtful:
            entries[day][told.recording_id, told.revision, told.digest] = told
    for day in sorted(doubtful):
        here: dict[tuple[str, int], bytes] = {}
        async for event in _archived(ledger, day):
            here[event.recording_id or "", _revision(event.body)] = _digest_of_event(event)
        for told in entries[day].values():
            found = here.get((told.recording_id, told.revision))
            if found != told.digest:
                yield _contradiction(told, altered=found is not None)


def _contradiction(told: Told, *, altered: bool) -> Contradiction:
    entry = f"recording {told.recording_id}: entry {told.seq} of the audit trail"
    if altered:
        return Contradiction(told.key, True, f"{entry} names other hashes than the ledger's event: the ledger was altered")
    return Contradiction(told.key, False, f"{entry} says that it was archived here, and the ledger knows nothing of that any more")


async def _told(ledger: Ledger) -> AsyncIterator[tuple[date, Told]]:
    after = 0
    while page := await ledger.audit_entries(after=after, limit=_ROWS):
        for row in page:
            if (told := _of_entry(row)) is not None:
                yield told
        after = page[-1].seq


def _of_entry(row: Numbered) -> tuple[date, Told] | None:
    """None for every other entry, and for one that does not tell what it would need to: it proves nothing."""
    entry, facts = row.entry, row.entry.facts
    key, hashes = facts.get("sidecar"), facts.get("sha256")
    if entry.action != ACTION or entry.outcome != "success" or not isinstance(key, str) or not isinstance(hashes, list):
        return None
    match = _DAY.fullmatch(key)
    try:
        day = date(*map(int, match.groups())) if match is not None else None
    except ValueError:
        day = None
    if day is None:
        return None
    revision = _revision(facts)
    digest = _digest(entry.target, revision, hashes, facts.get("sidecarSha256"))
    return day, Told(row.seq, entry.target, revision, key, digest)


async def _sum_of_events(ledger: Ledger, day: date) -> _Sum:
    found = _Sum()
    async for event in _archived(ledger, day):
        found.add(_digest_of_event(event))
    return found


async def _archived(ledger: Ledger, day: date) -> AsyncIterator[Event]:
    after = ""
    while page := await ledger.events_of_day(day, [Topic.MEDIA_ARCHIVED], after=after):
        for event in page:
            yield event
        after = page[-1].id


def _digest_of_event(event: Event) -> bytes:
    body = event.body
    hashes = [part["sha256"] for part in body["parts"]]
    return _digest(event.recording_id or "", _revision(body), hashes, body.get("sidecarSha256"))


def _digest(recording_id: str, revision: int, hashes: list[Any], sidecar: object) -> bytes:
    return blake2b(orjson.dumps([recording_id, revision, hashes, sidecar]), digest_size=16).digest()


def _revision(facts: Mapping[str, Any]) -> int:
    value = facts.get("revision")
    return value if isinstance(value, int) else 1
