"""The archive against the ledger: each kind of damage is found, nothing sound is accused, and slices cover everything once."""

import hashlib
import os
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest

from genesys_sync.errors import ReasonCode
from genesys_sync.events import Event
from genesys_sync.integrity.archive import ArchiveCheck, ArchiveReport, Wrong
from genesys_sync.integrity.expected import Slice, quarantine_key
from genesys_sync.ledger import Ledger, open_ledger
from genesys_sync.ledger.base import DeliveryState, Verdict
from genesys_sync.routing import RoutedEvent
from genesys_sync.testing import FakeClock, make_event

pytestmark = pytest.mark.anyio

DAYS = (date(2026, 7, 31), date(2026, 8, 1))


def identity(kind: str, number: int) -> str:
    return f"{kind * 8}-0000-4000-8000-{number:012d}"


@dataclass
class Archive:
    """A real folder and a real ledger that tell one story until a test spoils it."""

    root: Path
    ledger: Ledger
    clock: FakeClock
    keys: list[str] = field(default_factory=list)

    async def store(self, number: int, *, revision: int = 1, verdict: str = "media.verified", place: str = "", **body: Any) -> str:
        """One recording with its sidecar, archived and judged; returns the media's key. `place` is where the verifier put it."""
        day = DAYS[number % 2]
        conversation, recording = identity("c", number), identity("e", number)
        folder = f"recordings/{day:%Y/%m/%d}/{conversation}"
        media, sidecar = f"{folder}/{recording}.wav", f"{folder}/{recording}.json"
        data = b"sound %d of revision %d" % (number, revision)
        part = {"key": media, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "contentType": "audio/wav"}
        text = orjson.dumps({"parts": [part], "revision": revision})
        keys = (media, sidecar) if not place else (quarantine_key(media, revision), quarantine_key(sidecar, revision))
        for key, content in zip(keys, (data, text if not place else text + b"\n"), strict=True):
            path = self.root / key
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            self.keys.append(key)
        facts = {"conversation_id": conversation, "recording_id": recording, "day": day, "revision": revision}
        told = {"parts": [part], "sidecar": sidecar, "sidecarSha256": hashlib.sha256(text).hexdigest(), "revision": revision}
        events = [make_event("media.archived", body=told, **facts)]
        if verdict:
            events.append(make_event(verdict, body={"revision": revision, **body}, **facts))
        await self.append(*events)
        return media

    async def append(self, *events: Event, handlers: tuple[str, ...] = ()) -> None:
        await self.ledger.append([RoutedEvent(event, handlers) for event in events])

    async def check(self, part: Slice | None = None) -> ArchiveReport:
        check = ArchiveCheck(self.root, self.ledger, clock=self.clock, part=part or Slice(), show=lambda *_: None)
        return await check.run()

    async def flaws(self, part: Slice | None = None) -> list[tuple[str, Wrong]]:
        return [(flaw.key, flaw.wrong) for flaw in (await self.check(part)).flaws]


@pytest.fixture
async def archive(tmp_path: Path, fake_clock: FakeClock) -> AsyncGenerator[Archive]:
    async with open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock=fake_clock) as ledger:
        made = Archive(tmp_path / "archive", ledger, fake_clock)
        (made.root / ".incoming").mkdir(parents=True)
        for number in range(6):
            await made.store(number)
        yield made


async def test_an_untouched_archive_is_clean(archive: Archive) -> None:
    report = await archive.check()
    assert (report.flaws, report.objects, report.hashed, report.days) == ([], 12, 12, 2)
    assert report.bytes_hashed == sum((archive.root / key).stat().st_size for key in archive.keys)


async def test_an_empty_ledger_and_no_archive_are_clean(tmp_path: Path, fake_clock: FakeClock) -> None:
    async with open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock=fake_clock) as ledger:
        report = await Archive(tmp_path / "nowhere", ledger, fake_clock).check()
    assert (report.flaws, report.objects) == ([], 0)


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def link(path: Path) -> None:
    path.rename(path.with_suffix(".elsewhere"))
    path.symlink_to(path.with_suffix(".elsewhere"))


DAMAGE: list[tuple[str, Callable[[Path], Any], list[tuple[str, Wrong]]]] = [
    ("flipped", flip_a_bit, [("", Wrong.ALTERED)]),
    ("shortened", lambda path: path.write_bytes(path.read_bytes()[:-1]), [("", Wrong.ALTERED)]),
    ("lengthened", lambda path: path.write_bytes(path.read_bytes() + b"x"), [("", Wrong.ALTERED)]),
    ("emptied", lambda path: path.write_bytes(b""), [("", Wrong.ALTERED)]),
    ("removed", lambda path: path.unlink(), [("", Wrong.MISSING)]),
    ("renamed", lambda path: path.rename(path.with_suffix(".bak")), [("", Wrong.MISSING), (".bak", Wrong.FOREIGN)]),
    ("copied", lambda path: path.with_suffix(".bak").write_bytes(b"x"), [(".bak", Wrong.FOREIGN)]),
    ("linked", link, [("", Wrong.FOREIGN), ("", Wrong.MISSING), (".elsewhere", Wrong.FOREIGN)]),
    ("a pipe", lambda path: (path.unlink(), os.mkfifo(path)), [("", Wrong.FOREIGN), ("", Wrong.MISSING)]),
]


@pytest.mark.parametrize("suffix", [".wav", ".json"])
@pytest.mark.parametrize(("name", "damage", "found"), DAMAGE, ids=[row[0] for row in DAMAGE])
async def test_damage_is_found_and_nothing_else(
    archive: Archive, name: str, damage: Callable[[Path], Any], found: list[tuple[str, Wrong]], suffix: str
) -> None:
    path = (archive.root / archive.keys[4]).with_suffix(suffix)
    damage(path)
    expected = [(str((path.with_suffix(other) if other else path).relative_to(archive.root)), wrong) for other, wrong in found]
    assert sorted(await archive.flaws()) == sorted(expected)


async def test_twenty_of_twenty_flipped_bits_are_found_in_one_cycle_of_slices(archive: Archive) -> None:
    for number in range(6, 30):
        await archive.store(number)
    spoilt = sorted(archive.keys)[::3]
    assert len(spoilt) == 20
    for key in spoilt:
        flip_a_bit(archive.root / key)
    found: list[str] = []
    hashed = 0
    for number in range(1, 8):
        report = await archive.check(Slice(number, 7))
        assert report.objects == 60
        hashed += report.hashed
        found += [flaw.key for flaw in report.flaws]
    assert sorted(found) == spoilt
    assert hashed == 60


async def test_a_slice_sees_what_is_missing_everywhere(archive: Archive) -> None:
    for key in archive.keys:
        (archive.root / key).unlink()
    for number in (1, 2):
        assert len((await archive.check(Slice(number, 2))).flaws) == 12


async def test_what_was_refused_and_fetched_again_lies_in_quarantine(archive: Archive) -> None:
    await archive.store(7, revision=1, verdict="", place="quarantine")
    media = await archive.store(7, revision=2)
    assert await archive.flaws() == []
    flip_a_bit(archive.root / quarantine_key(media, 1))
    assert await archive.flaws() == [(quarantine_key(media, 1), Wrong.ALTERED)]


async def test_what_was_rejected_lies_in_quarantine_as_far_as_it_was_found(archive: Archive) -> None:
    media = f"recordings/2026/08/01/{identity('c', 7)}/{identity('e', 7)}.wav"
    held = quarantine_key(media, 1)
    await archive.store(7, verdict="media.rejected", place="quarantine", quarantine=[held])
    assert await archive.flaws() == []
    sidecar = archive.root / quarantine_key(media.replace(".wav", ".json"), 1)
    sidecar.write_bytes(sidecar.read_bytes().replace(b"sha256", b"sha257"))
    (archive.root / held).unlink()
    assert await archive.flaws() == [
        (str(sidecar.relative_to(archive.root)), Wrong.ALTERED),
        (held, Wrong.MISSING),
    ]


async def test_a_rejection_that_found_no_file_misses_none(archive: Archive) -> None:
    media = await archive.store(7, verdict="media.rejected", place="quarantine", quarantine=[])
    (archive.root / quarantine_key(media, 1)).unlink()
    assert await archive.flaws() == []


async def test_while_the_verifier_works_media_may_lie_in_either_place(archive: Archive) -> None:
    await archive.store(7, verdict="")
    await archive.store(8, verdict="", place="quarantine")
    assert await archive.flaws() == []


async def test_what_a_delivery_still_works_on_is_unfinished_and_what_one_left_is_foreign(archive: Archive, fake_clock: FakeClock) -> None:
    recording = identity("e", 9)
    event = make_event("recording.ready", conversation_id=identity("c", 9), recording_id=recording, day=DAYS[1])
    await archive.append(event, handlers=("archive",))
    path = archive.root / f"recordings/2026/08/01/{identity('c', 9)}/{recording}.wav"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half")
    report = await archive.check()
    assert (report.flaws, report.unfinished) == ([], 1)
    (claim,) = await archive.ledger.claim({"archive": 1}, worker="w", now_ms=fake_clock.epoch_ms(), lease_ms=1000)
    await archive.ledger.settle(claim, Verdict(state=DeliveryState.DEAD, reason=ReasonCode.NOT_FOUND), now_ms=fake_clock.epoch_ms())
    (flaw,) = (await archive.check()).flaws
    assert (flaw.wrong, "given up" in flaw.sentence) == (Wrong.FOREIGN, True)


async def test_what_does_not_belong_is_named_wherever_it_stands(archive: Archive) -> None:
    strangers = ["notes.txt", "recordings/2026/x.txt", "recordings/2026/13/01", "quarantine/x", "recordings/2025/01/01/c/x.wav"]
    for name in strangers:
        path = archive.root / name
        if path.suffix:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"x")
        else:
            path.mkdir(parents=True)
    assert sorted(await archive.flaws()) == sorted((name, Wrong.FOREIGN) for name in strangers)


async def test_work_that_nobody_works_on_is_stale(archive: Archive, fake_clock: FakeClock) -> None:
    now = fake_clock.now()
    for name, age in (("young.part", timedelta(hours=1)), ("old.part", timedelta(hours=7))):
        path = archive.root / ".incoming" / name
        path.write_bytes(b"x")
        os.utime(path, (0, (now - age).timestamp()))
    assert await archive.flaws() == [(".incoming/old.part", Wrong.STALE)]


async def test_what_the_daemon_stores_meanwhile_is_no_stranger(archive: Archive) -> None:
    """Files before rows: whatever was stored between the two is in the ledger by then."""
    events_of_day = archive.ledger.events_of_day
    stored = False

    async def meanwhile(*args: Any, **named: Any) -> list[Event]:
        nonlocal stored
        if not stored:
            stored = True
            await archive.store(10)
            await archive.store(11)
        return await events_of_day(*args, **named)

    archive.ledger.events_of_day = meanwhile  # type: ignore[method-assign]  # the moment between two reads
    assert await archive.flaws() == []


async def test_the_report_is_bounded_and_counts_all(archive: Archive) -> None:
    check = ArchiveCheck(archive.root, archive.ledger, clock=archive.clock, part=Slice(), show=lambda *_: None)
    check.report.limit = 3
    for key in archive.keys:
        (archive.root / key).unlink()
    report = await check.run()
    assert (len(report.flaws), report.counts) == (3, {Wrong.MISSING: 12})
