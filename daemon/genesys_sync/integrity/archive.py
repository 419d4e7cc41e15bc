"""The archive's files, held against the ledger: day by day, because an object's folder is its event's day, and a day fits in memory.

Everything is looked at each time: what is there, of what size, and what nobody knows of. Read and hashed is what the slice holds.
Nothing is written. The daemon may run meanwhile: what looks wrong is looked at once more, with the ledger's answer of then.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from functools import partial
from io import BufferedReader
from pathlib import Path

import anyio
import orjson
from anyio import CapacityLimiter, to_thread

from genesys_sync.clock import Clock
from genesys_sync.disk import translated
from genesys_sync.events import Event
from genesys_sync.integrity import expected_speech as speech
from genesys_sync.integrity.expected import TOPICS, Expected, Slice, expected
from genesys_sync.integrity.manifest import contradictions
from genesys_sync.ledger.base import DeliveryState, Ledger

STALE_AFTER = timedelta(hours=6)
"""Unfinished work in `.incoming` may be this old: no run of a handler lasts as long."""

_INCOMING = ".incoming"
_NOT_GONE = "the ledger says that redaction removed this: remove it, it holds what must not be kept"
_TREES = ("recordings", "orphans", "transcripts", "transcriptions")
_BESIDE = ("quarantine", "redacted")
_TOPS = (*_TREES, *(f"{beside}/{tree}" for beside in _BESIDE for tree in _TREES))
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_BATCH = 64
_THREADS = 4
_SIDECAR_LIMIT = 16 << 20


class Wrong(StrEnum):
    """What can be wrong with an object. The list is closed."""

    MISSING = "missing"
    ALTERED = "altered"
    FOREIGN = "foreign"
    STALE = "stale"
    UNREADABLE = "unreadable"


@dataclass(frozen=True, slots=True, order=True)
class Flaw:
    """One object that is not as it should be."""

    key: str
    wrong: Wrong
    sentence: str


@dataclass(slots=True)
class ArchiveReport:
    """What was looked at. `flaws` are the first `limit`; `counts` counts all."""

    objects: int = 0
    hashed: int = 0
    bytes_hashed: int = 0
    unfinished: int = 0
    days: int = 0
    flaws: list[Flaw] = field(default_factory=list)
    counts: dict[Wrong, int] = field(default_factory=dict)
    limit: int = 1000

    def add(self, flaw: Flaw) -> None:
        self.counts[flaw.wrong] = self.counts.get(flaw.wrong, 0) + 1
        if len(self.flaws) < self.limit:
            self.flaws.append(flaw)


Show = Callable[[ArchiveReport, date | None, int], None]
"""Shows how far it is: the report so far, the day in hand, days in all."""


class ArchiveCheck:
    """One check of one archive against one ledger."""

    def __init__(self, root: Path, ledger: Ledger, *, clock: Clock, part: Slice, show: Show) -> None:
        self._root = root.absolute()
        self._ledger = ledger
        self._clock = clock
        self._part = part
        self._show = show
        self._threads = CapacityLimiter(_THREADS)
        self.report = ArchiveReport()

    async def run(self) -> ArchiveReport:
        """Raises LedgerError when the ledger cannot be read, StorageError when the archive's folder cannot."""
        folders, strangers = await to_thread.run_sync(partial(_day_folders, self._root))
        for flaw in strangers:
            self.report.add(flaw)
        days = sorted({*folders, *await self._ledger.event_days()})
        for day in days:
            self._show(self.report, day, len(days))
            await self._check_day(day, folders.get(day, ()))
            self.report.days += 1
        async for found in contradictions(self._ledger):
            self.report.add(Flaw(found.key, Wrong.ALTERED if found.altered else Wrong.MISSING, found.sentence))
        for flaw in await to_thread.run_sync(partial(_stale, self._root, self._clock.now())):
            self.report.add(flaw)
        self._show(self.report, None, len(days))
        return self.report

    async def _check_day(self, day: date, folders: Sequence[str]) -> None:
        first = await self._look(day, folders, None)
        if not first:
            return
        keys = {flaw.key for flaw in first}
        again = {(flaw.key, flaw.wrong): flaw for flaw in await self._look(day, folders, keys)}
        for flaw in sorted(first):
            if (flaw.key, flaw.wrong) in again:
                self.report.add(flaw)

    async def _look(self, day: date, folders: Sequence[str], only: set[str] | None) -> list[Flaw]:
        """What is wrong with this day. With `only`, just these keys are read again, and nothing is counted."""
        found = await to_thread.run_sync(partial(_files, self._root, folders))
        flaws = list(found.flaws)
        events = await self._events(day)  # after the files: what was stored meanwhile is no stranger
        gone = speech.removed(events)
        wanted = (*expected(event for event in events if event.topic in TOPICS), *speech.expected_speech(events))
        due: list[tuple[str, Expected]] = []
        known: set[str] = set()
        for one in wanted:
            if not gone.isdisjoint(one.places):
                continue
            known.update(one.places)
            place = next((key for key in one.places if key in found.sizes), None)
            flaw = _placed(one, place, found.sizes)
            if flaw is not None:
                flaws.append(flaw)
            elif place is not None and self._part.holds(place) and (only is None or place in only):
                due.append((place, one))
        if only is None:
            self.report.objects += len(found.sizes)
        flaws += await self._hash(due, count=only is None)
        for key in sorted(found.sizes.keys() - known):
            flaw = Flaw(key, Wrong.FOREIGN, _NOT_GONE) if key in gone else await self._stranger(key, count=only is None)
            if flaw is not None:
                flaws.append(flaw)
        return flaws

    async def _events(self, day: date) -> list[Event]:
        events: list[Event] = []
        while page := await self._ledger.events_of_day(day, (*TOPICS, *speech.TOPICS), after=events[-1].id if events else ""):
            events += page
        return events

    async def _hash(self, due: Sequence[tuple[str, Expected]], *, count: bool) -> list[Flaw]:
        flaws: list[Flaw] = []

        async def read(batch: Sequence[tuple[str, Expected]]) -> None:
            for flaw, size in await to_thread.run_sync(partial(_read_batch, self._root, batch), limiter=self._threads):
                if flaw is not None:
                    flaws.append(flaw)
                if count:
                    self.report.hashed += 1
                    self.report.bytes_hashed += size
            self._show(self.report, None, 0)

        for start in range(0, len(due), _BATCH * _THREADS):
            async with anyio.create_task_group() as group:
                for at in range(start, min(start + _BATCH * _THREADS, len(due)), _BATCH):
                    group.start_soon(read, due[at : at + _BATCH])
        return flaws

    async def _stranger(self, key: str, *, count: bool) -> Flaw | None:
        """A file that no event names: unfinished while a delivery of its recording may still run, foreign otherwise."""
        folder, _, name = key.rpartition("/")
        # a transcript's name begins with its communication, which no event bears as an id of its own: its conversation does, and what
        # belongs to a request for a transcript lies in a folder of the request's id
        known_by = folder.rpartition("/")[2] if _is_speech(key) else name.partition(".")[0]
        deliveries = await self._ledger.find(known_by)
        if any(delivery.state in {DeliveryState.READY, DeliveryState.LEASED} for delivery in deliveries):
            self.report.unfinished += count
            return None
        if any(delivery.state is DeliveryState.DEAD for delivery in deliveries):
            return Flaw(key, Wrong.FOREIGN, "left by a delivery that was given up; the ledger does not count it as archived")
        return Flaw(key, Wrong.FOREIGN, "the ledger knows nothing of this file")


def _placed(one: Expected, place: str | None, sizes: dict[str, int]) -> Flaw | None:
    if place is not None:
        if one.size is not None and sizes[place] != one.size:
            return Flaw(place, Wrong.ALTERED, f"has {sizes[place]} bytes instead of {one.size}")
        return None
    return Flaw(one.places[0], Wrong.MISSING, _said_to_be(one))


def _said_to_be(one: Expected) -> str:
    what = "communication" if _is_speech(one.places[0]) else "recording"
    return f"{what} {one.recording_id}: the ledger says that it is here"


def _is_speech(key: str) -> bool:
    return key.startswith(("transcripts/", "transcriptions/", "redacted/"))


# --- in worker threads


@dataclass(slots=True)
class _Found:
    sizes: dict[str, int] = field(default_factory=dict)
    flaws: list[Flaw] = field(default_factory=list)


def _day_folders(root: Path) -> tuple[dict[date, tuple[str, ...]], list[Flaw]]:
    """The days that have folders, and whatever stands in the archive where nothing of ours does."""
    days: dict[date, tuple[str, ...]] = {}
    strangers: list[Flaw] = []

    def descend(folder: str, depth: int) -> None:
        for name, entry in _listed(root, folder):
            if not entry.is_dir(follow_symlinks=False):
                strangers.append(Flaw(name, Wrong.FOREIGN, "no file of the archive lies here"))
            elif depth < 3:
                descend(name, depth + 1)
            elif (day := _day(name)) is None:
                strangers.append(Flaw(name, Wrong.FOREIGN, "this is no folder of a day"))
            else:
                days[day] = (*days.get(day, ()), name)

    with translated("listing the archive"):
        for name, entry in _listed(root, ""):
            if name not in {*_TREES, *_BESIDE, _INCOMING} or not entry.is_dir(follow_symlinks=False):
                strangers.append(Flaw(name, Wrong.FOREIGN, "this does not belong to the archive"))
        strangers += [
            Flaw(name, Wrong.FOREIGN, "this does not belong to the archive")
            for beside in _BESIDE
            for name, _ in _listed(root, beside)
            if name not in _TOPS
        ]
        for top in _TOPS:
            if (root / top).is_dir() and not (root / top).is_symlink():
                descend(top, 1)
    return days, strangers


def _listed(root: Path, folder: str) -> Iterator[tuple[str, os.DirEntry[str]]]:
    try:
        with os.scandir(root / folder) as entries:
            found = sorted(entries, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return
    for entry in found:
        yield (f"{folder}/{entry.name}" if folder else entry.name), entry


def _day(folder: str) -> date | None:
    try:
        return date.fromisoformat("-".join(folder.split("/")[-3:]))
    except ValueError:
        return None


def _files(root: Path, folders: Sequence[str]) -> _Found:
    """Regular files with their sizes; whatever else stands there is a flaw."""
    found = _Found()
    waiting = list(folders)
    with translated("listing the archive"):
        while waiting:
            for name, entry in _listed(root, waiting.pop()):
                try:
                    mode = entry.stat(follow_symlinks=False)
                except FileNotFoundError:
                    continue  # moved while we looked
                if stat.S_ISDIR(mode.st_mode):
                    waiting.append(name)
                elif stat.S_ISREG(mode.st_mode):
                    found.sizes[name] = mode.st_size
                else:
                    found.flaws.append(Flaw(name, Wrong.FOREIGN, "PATH_UNSAFE: a link, pipe or device; look who put it there"))
    return found


def _read_batch(root: Path, batch: Sequence[tuple[str, Expected]]) -> list[tuple[Flaw | None, int]]:
    return [_read_one(root, key, one) for key, one in batch]


def _read_one(root: Path, key: str, one: Expected) -> tuple[Flaw | None, int]:
    """The flaw, if there is one, and how many bytes were read: from the disk, as far as the system lets us ask for that."""
    try:
        with open_object(root, key) as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            size = os.fstat(file.fileno()).st_size
            if one.presence:
                return None, size
            if one.sha256 is None:
                return sidecar_flaw(key, one, file.read(_SIDECAR_LIMIT)), size
            found = hashlib.file_digest(file, "sha256").hexdigest()
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)  # a scrub leaves the daemon's cache alone
    except FileNotFoundError:
        return Flaw(key, Wrong.MISSING, _said_to_be(one)), 0
    except OSError as error:
        return Flaw(key, Wrong.UNREADABLE, error.strerror or type(error).__name__), 0
    if found != one.sha256:
        return Flaw(key, Wrong.ALTERED, f"its SHA-256 is {found}, and was {one.sha256}"), size
    return None, size


def open_object(root: Path, key: str) -> BufferedReader:
    """A file of the archive, to read; a link is none, and a pipe or device does not hold anybody up. Raises OSError."""
    return os.fdopen(os.open(root / key, _READ), "rb")


def sidecar_flaw(key: str, one: Expected, text: bytes) -> Flaw | None:
    """What is wrong with a sidecar of which only the contents are known."""
    try:
        named = {part["key"]: part["sha256"] for part in orjson.loads(text)["parts"]}
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return Flaw(key, Wrong.ALTERED, "the sidecar cannot be read")
    sound = one.parts.items() <= named.items() if one.grows else named == one.parts
    return None if sound else Flaw(key, Wrong.ALTERED, "the sidecar names other media or other hashes than the ledger")


def _stale(root: Path, now: datetime) -> list[Flaw]:
    flaws = []
    with translated("listing unfinished work"):
        for name, entry in _listed(root, _INCOMING):
            try:
                age = now - datetime.fromtimestamp(entry.stat(follow_symlinks=False).st_mtime, UTC)
            except FileNotFoundError:
                continue
            if age > STALE_AFTER:
                flaws.append(Flaw(name, Wrong.STALE, f"unfinished work, untouched for {int(age.total_seconds() // 3600)} h"))
    return flaws
