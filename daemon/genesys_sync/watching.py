"""The watched folder: what is dropped into it is uploaded, once it has stopped growing.

The folder is looked at again and again, because not every file system tells of changes. At most `ASKED_MOST` files are on their way at a
time; the others stay where they are until their turn. Which file was asked for is in the ledger, so a restart asks for nothing twice.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from anyio import to_thread

from genesys_sync.clock import Clock
from genesys_sync.errors import ConfigurationError, LedgerFull, StorageError
from genesys_sync.events import Topic
from genesys_sync.ledger.base import Ledger, Standing
from genesys_sync.logs import get_logger
from genesys_sync.routing import Router
from genesys_sync.settings import UploadSettings
from genesys_sync.uploading import UploadState, ask, describe, outcome_of, state_of

ASKED_MOST: Final = 100
LISTED_MOST: Final = 10_000
"""Files that one look takes note of."""
DONE: Final = "done"
FAILED: Final = "failed"

_log = get_logger("upload.watch")


@dataclass(frozen=True, slots=True)
class Sight:
    """A file as it was seen: by its size and time of change it is known to have changed."""

    bytes: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class Still:
    """Since when (monotonic seconds) a file has looked like this."""

    sight: Sight
    since: float


@dataclass(frozen=True, slots=True)
class Underway:
    """A file that was asked for, as it was then."""

    event_id: str
    sight: Sight


def noted(before: Mapping[str, Still], seen: Mapping[str, Sight], at: float) -> dict[str, Still]:
    """What is known of the folder's files after one more look: whoever has changed begins anew, whoever is gone is forgotten. Pure."""
    return {name: kept if (kept := before.get(name)) and kept.sight == sight else Still(sight, at) for name, sight in seen.items()}


def settled(known: Mapping[str, Still], at: float, settle: float) -> list[str]:
    """The names of those that have stood still for long enough, the longest first. Pure."""
    return sorted((name for name, still in known.items() if at - still.since >= settle), key=lambda name: (known[name].since, name))


class UploadWatch:
    """Watches one folder until cancelled. `organization` gives the organisation's id, empty while it is not known."""

    def __init__(
        self,
        folder: Path,
        settings: UploadSettings,
        *,
        ledger: Ledger,
        router: Router,
        clock: Clock,
        organization: Callable[[], str],
    ) -> None:
        self._folder = folder.resolve()
        self._settle = settings.settle.total_seconds()
        self._every = settings.scan_every.total_seconds()
        self._move = settings.afterwards == "move"
        self._ledger = ledger
        self._router = router
        self._clock = clock
        self._organization = organization
        self._known: dict[str, Still] = {}
        self._asked: dict[str, Underway] = {}
        self._over: dict[str, Sight] = {}
        self._trouble = ""

    @classmethod
    def of(
        cls, settings: UploadSettings, *, ledger: Ledger, router: Router, clock: Clock, organization: Callable[[], str]
    ) -> UploadWatch | None:
        """None where no folder is named. Raises ConfigurationError when nobody would upload what is dropped into it."""
        if settings.folder is None:
            return None
        if not router.handlers_for(Topic.UPLOAD_REQUESTED):
            raise ConfigurationError(
                f'upload.folder: no handler takes {Topic.UPLOAD_REQUESTED}; add a table [handlers.upload] with use = "upload"'
            )
        return cls(settings.folder, settings, ledger=ledger, router=router, clock=clock, organization=organization)

    async def run(self) -> None:
        """Look, ask, clear away; again every `scan_every`."""
        while True:
            try:
                if self._organization():
                    await self.turn()
            except LedgerFull as error:
                self._complain(str(error))
            await self._clock.sleep(self._every)

    async def turn(self) -> None:
        """One look. What has settled is in the ledger; what has come to its end is moved away, or left and not asked for again."""
        try:
            seen = await to_thread.run_sync(_look, self._folder)
        except OSError as error:
            self._complain(f"the watched folder cannot be read: {error.strerror or type(error).__name__}")
            return
        self._trouble = ""
        now = self._clock.monotonic()
        self._known = noted(self._known, seen, now)
        self._over = {name: sight for name, sight in self._over.items() if seen.get(name) == sight}
        # one that was replaced under its name is another file: it has its own turn, and is not put away for the first
        self._asked = {name: asked for name, asked in self._asked.items() if seen.get(name) == asked.sight}
        await self._clear_away()
        for name in settled(self._known, now, self._settle):
            if len(self._asked) >= ASKED_MOST:
                break
            if name not in self._asked and name not in self._over:
                await self._ask(name)

    async def _ask(self, name: str) -> None:
        sight = self._known[name].sight
        earlier = await self._remembered(name, sight)
        if earlier is not None:
            self._asked[name] = Underway(earlier, sight)
            return
        try:
            file = await describe(self._folder / name)
        except StorageError as error:
            self._over[name] = sight
            _log.warning("file_not_taken", error=str(error), action="put it right; it is looked at again when it changes")
            return
        if Sight(file.bytes, file.modified_ns) != sight:
            return  # the next look sees that it has changed
        asked = await ask(
            file,
            ledger=self._ledger,
            router=self._router,
            clock=self._clock,
            organization_id=self._organization(),
            actor="upload.watch",
        )
        self._asked[name] = Underway(asked.event.id, sight)
        _log.info("upload_asked_for" if asked.new else "content_known_already", event_id=asked.event.id, bytes=file.bytes)

    async def _remembered(self, name: str, sight: Sight) -> str | None:
        """The upload of just this file that an earlier process asked for: it need not be read from end to end again."""
        path = str(self._folder / name)
        for upload in await self._ledger.uploads(limit=ASKED_MOST):
            body = upload.asked.event.body
            if (body.get("path"), body.get("bytes"), body.get("modifiedNs")) == (path, sight.bytes, sight.modified_ns):
                return upload.asked.event.id
        return None

    async def _clear_away(self) -> None:
        for name, asked in list(self._asked.items()):
            found = await self._ledger.events_about(asked.event_id)
            records = await self._ledger.find(asked.event_id)
            standings = [Standing(record.handler, record.state, record.reason) for record in records]
            state = state_of(standings, await outcome_of(self._ledger, found[0]) if found else None)
            if not state.final:
                continue
            del self._asked[name]
            self._over[name] = asked.sight
            _log.info("upload_over", event_id=asked.event_id, state=state.value)
            if self._move:
                await self._put_away(name, asked.sight, state)

    async def _put_away(self, name: str, sight: Sight, state: UploadState) -> None:
        try:
            await to_thread.run_sync(partial(_put_away, self._folder, name, sight, DONE if state.good else FAILED))
        except OSError as error:
            _log.warning("file_not_moved", error=error.strerror or type(error).__name__, action="move it by hand; it is not uploaded again")

    def _complain(self, trouble: str) -> None:
        """Once for each trouble, not at every look."""
        if trouble != self._trouble:
            self._trouble = trouble
            _log.error("watch_troubled", error=trouble)


def _look(folder: Path) -> dict[str, Sight]:
    """The folder's own regular files, hidden ones left out."""
    found: dict[str, Sight] = {}
    with os.scandir(folder) as entries:
        for entry in _some(entries):
            with suppress(FileNotFoundError):  # taken away meanwhile
                state = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(state.st_mode) and not entry.name.startswith("."):
                    found[entry.name] = Sight(state.st_size, state.st_mtime_ns)
    return found


def _some(entries: Iterable[os.DirEntry[str]]) -> Iterable[os.DirEntry[str]]:
    return (entry for _, entry in zip(range(LISTED_MOST), entries, strict=False))


def _put_away(folder: Path, name: str, sight: Sight, where: str) -> None:
    """Moved under its own name, or with a number where that is taken; left where it is when it is another file by now."""
    state = (folder / name).stat(follow_symlinks=False)
    if Sight(state.st_size, state.st_mtime_ns) != sight:
        return
    target = folder / where
    target.mkdir(exist_ok=True)
    source = Path(name)
    for number in range(10_000):
        place = target / (name if number == 0 else f"{source.stem}-{number}{source.suffix}")
        if not place.exists():
            (folder / name).rename(place)
            return
    raise FileExistsError(17, "ten thousand files of this name are there already")
