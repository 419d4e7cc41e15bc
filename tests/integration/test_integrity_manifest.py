"""Archive and events that were altered together are found by what the audit trail says of them."""

import hashlib
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import apsw
import orjson
import pytest

from genesys_sync.audit import AuditEntry
from genesys_sync.integrity.archive import ArchiveCheck, Wrong
from genesys_sync.integrity.expected import Slice
from genesys_sync.ledger import Ledger, open_ledger
from genesys_sync.routing import RoutedEvent
from genesys_sync.testing import FakeClock, make_event

pytestmark = pytest.mark.anyio

DAY = date(2026, 8, 1)


def identity(kind: str, number: int) -> str:
    return f"{kind * 8}-0000-4000-8000-{number:012d}"


@dataclass
class Archive:
    """Three recordings, archived as the archiver does it: file, sidecar, event and audit entry tell one story."""

    root: Path
    location: Path
    ledger: Ledger
    clock: FakeClock

    def keys(self, number: int) -> tuple[str, str]:
        folder = f"recordings/{DAY:%Y/%m/%d}/{identity('c', number)}"
        return f"{folder}/{identity('e', number)}.wav", f"{folder}/{identity('e', number)}.json"

    async def store(self, number: int, data: bytes, *, told: bool = True) -> None:
        media, sidecar = self.keys(number)
        part = {"key": media, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "contentType": "audio/wav"}
        text = orjson.dumps({"parts": [part], "revision": 1})
        for key, content in ((media, data), (sidecar, text)):
            (self.root / key).parent.mkdir(parents=True, exist_ok=True)
            (self.root / key).write_bytes(content)
        hashed = hashlib.sha256(text).hexdigest()
        facts = {"conversation_id": identity("c", number), "recording_id": identity("e", number), "day": DAY, "revision": 1}
        body = {"parts": [part], "sidecar": sidecar, "sidecarSha256": hashed, "revision": 1}
        events = [make_event("media.archived", body=body, **facts), make_event("media.verified", body={"revision": 1}, **facts)]
        await self.ledger.append([RoutedEvent(event, ()) for event in events])
        if told:
            entry = {"revision": 1, "bytes": len(data), "sha256": [part["sha256"]], "sidecar": sidecar, "sidecarSha256": hashed}
            await self.record(number, entry)

    async def record(self, number: int, facts: dict[str, Any], outcome: str = "success") -> None:
        at = datetime(2026, 8, 1, 12, tzinfo=UTC)
        entry = AuditEntry(at=at, actor="handler:a", action="recording.archive", target=identity("e", number), outcome=outcome, facts=facts)
        await self.ledger.record_audit([entry])

    def forget(self, number: int) -> None:
        """As somebody would who can write both: no trace is left in archive and events."""
        connection = apsw.Connection(str(self.location))
        connection.execute("DELETE FROM event WHERE recording_id = ?", (identity("e", number),))
        connection.close()
        for key in self.keys(number):
            (self.root / key).unlink()

    async def flaws(self) -> list[tuple[str, Wrong]]:
        check = ArchiveCheck(self.root, self.ledger, clock=self.clock, part=Slice(), show=lambda *_: None)
        return [(flaw.key, flaw.wrong) for flaw in (await check.run()).flaws]


@pytest.fixture
async def archive(tmp_path: Path, fake_clock: FakeClock) -> AsyncGenerator[Archive]:
    async with open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock=fake_clock) as ledger:
        made = Archive(tmp_path / "archive", tmp_path / "ledger.db", ledger, fake_clock)
        for number in range(3):
            await made.store(number, b"sound %d" % number)
        yield made


async def test_what_tells_one_story_is_clean(archive: Archive) -> None:
    assert await archive.flaws() == []


async def test_a_recording_taken_out_of_archive_and_events_is_missed_by_the_trail(archive: Archive) -> None:
    archive.forget(1)
    assert await archive.flaws() == [(archive.keys(1)[1], Wrong.MISSING)]


async def test_a_recording_exchanged_with_its_hashes_is_not_the_one_that_the_trail_tells_of(archive: Archive) -> None:
    archive.forget(1)
    await archive.store(1, b"another sound", told=False)
    assert await archive.flaws() == [(archive.keys(1)[1], Wrong.ALTERED)]


async def test_an_entry_written_twice_says_no_more_than_once(archive: Archive) -> None:
    media, sidecar = archive.keys(2)
    hashed = [hashlib.sha256((archive.root / key).read_bytes()).hexdigest() for key in (media, sidecar)]
    await archive.record(2, {"revision": 1, "sha256": hashed[:1], "sidecar": sidecar, "sidecarSha256": hashed[1]})
    assert await archive.flaws() == []


async def test_an_archiver_that_writes_no_entries_is_no_flaw(archive: Archive) -> None:
    await archive.store(3, b"by a handler of one's own", told=False)
    assert await archive.flaws() == []


@pytest.mark.parametrize(
    "facts",
    [
        lambda sidecar: {},
        lambda sidecar: {"revision": 1, "bytes": 4},
        lambda sidecar: {"sha256": ["00"], "sidecar": "recordings/2026/13/99/c/e.json"},
        lambda sidecar: {"sha256": ["00"], "sidecar": "elsewhere"},
        lambda sidecar: {"sha256": "00", "sidecar": sidecar},
    ],
)
async def test_an_entry_that_names_nothing_proves_nothing(archive: Archive, facts: Callable[[str], dict[str, Any]]) -> None:
    await archive.record(7, facts(archive.keys(7)[1]))
    assert await archive.flaws() == []


async def test_an_archiving_that_failed_needs_no_event(archive: Archive) -> None:
    sidecar = archive.keys(8)[1]
    await archive.record(8, {"revision": 1, "sha256": ["00"], "sidecar": sidecar, "sidecarSha256": "00"}, outcome="failure")
    assert await archive.flaws() == []
