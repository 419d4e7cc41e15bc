"""The ledgers that the contract suite runs on, and short ways to make what goes in."""

from collections.abc import AsyncGenerator, Callable, Iterator
from datetime import UTC, date, datetime
from itertools import count
from pathlib import Path
from typing import Any

import apsw
import pytest

from genesys_sync.events import Event
from genesys_sync.ledger import Ledger, open_ledger, opening
from genesys_sync.routing import RoutedEvent
from genesys_sync.testing import FakeClock

Routed = Callable[..., RoutedEvent]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def location(tmp_path: Path) -> Path:
    return tmp_path / "state" / "ledger.db"


@pytest.fixture
def url(location: Path) -> str:
    return f"sqlite:///{location}"


@pytest.fixture(params=["sqlite"])
async def ledger(request: pytest.FixtureRequest, clock: FakeClock, url: str) -> AsyncGenerator[Ledger]:
    """An empty ledger of each kind; PostgreSQL will be a second parameter."""
    assert request.param == "sqlite"
    async with open_ledger(url, clock=clock) as opened:
        yield opened


@pytest.fixture
def routed() -> Routed:
    """An event with its handlers: `routed("archive", "webhook")`; each call gives another event unless `conversation` says which."""
    numbers = count(1)

    def make(*handlers: str, topic: str = "recording.ready", conversation: str = "", day: date | None = None, **facts: Any) -> RoutedEvent:
        event = Event.of(
            topic,
            occurred_at=datetime(2026, 8, 1, 11, 59, 30, 250_000, tzinfo=UTC),
            organization_id="organisation",
            conversation_id=conversation or f"conversation-{next(numbers)}",
            day=day,
            **facts,
        )
        return RoutedEvent(event, handlers)

    return make


class Disk(apsw.VFS):
    """A disk that a test holds in its hands.

    syncs    names of the files synced, in order
    durable  content of each file when it was last synced: what a power cut leaves. A deleted file is among it until its folder
             has been synced
    refuses_sync  names of files whose fsync fails
    full     whether writes find no space
    """

    def __init__(self) -> None:
        self.syncs: list[str] = []
        self.durable: dict[str, bytes] = {}
        self.refuses_sync: Callable[[str], bool] = lambda name: False
        self.full = False
        self._deleted: set[str] = set()
        super().__init__("disk", "")

    def xOpen(self, name: Any, flags: list[int]) -> apsw.VFSFile:
        return _File(self, name, flags)

    def xDelete(self, filename: str, syncdir: bool) -> None:
        super().xDelete(filename, syncdir)
        self._deleted.add(Path(filename).name)
        if syncdir:
            self.sync_folder()

    def sync_folder(self) -> None:
        for name in self._deleted:
            self.durable.pop(name, None)
        self._deleted.clear()


class _File(apsw.VFSFile):
    def __init__(self, disk: Disk, name: Any, flags: list[int]) -> None:
        self._disk = disk
        self._path = Path(name.filename() if isinstance(name, apsw.URIFilename) else name)
        super().__init__("", name, flags)

    def xWrite(self, data: bytes, offset: int) -> None:
        if self._disk.full:
            raise apsw.exception_for(apsw.SQLITE_FULL)
        super().xWrite(data, offset)

    def xSync(self, flags: int) -> None:
        self._disk.syncs.append(self._path.name)
        if self._disk.refuses_sync(self._path.name):
            raise apsw.exception_for(apsw.SQLITE_IOERR_FSYNC)
        super().xSync(flags)
        self._disk._deleted.discard(self._path.name)
        self._disk.durable[self._path.name] = self._path.read_bytes()


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Iterator[Disk]:
    made = Disk()
    sync = opening._sync_folder

    def sync_folder(folder: Path) -> None:
        sync(folder)
        made.sync_folder()

    monkeypatch.setattr(opening, "_sync_folder", sync_folder)
    yield made
    made.unregister()
