"""What every archive promises. Parametrised over the storages; today there is one."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import anyio
import pytest

from genesys_sync.errors import ConfigurationError, StorageError, StorageFull
from genesys_sync.metrics import Metrics
from genesys_sync.storage.local import INCOMING, LocalStorage

pytestmark = pytest.mark.anyio
KEY = "recordings/2026/08/01/conversation/recording.ogg"


@pytest.fixture(params=["local"])
async def storage(request: pytest.FixtureRequest, tmp_path: Path) -> LocalStorage:
    assert request.param == "local"
    made = LocalStorage(tmp_path / "archive", min_free=0, metrics=Metrics())
    await made.open()
    return made


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "archive"


async def adopt(storage: LocalStorage, key: str, data: bytes) -> None:
    async with storage.scratch.file(".part") as path:
        path.write_bytes(data)
        await storage.adopt(path, key)


async def test_what_was_adopted_is_there_whole_and_read_back(storage: LocalStorage) -> None:
    await adopt(storage, KEY, b"audio")
    assert await storage.read(KEY) == b"audio"
    assert await storage.size(KEY) == 5
    assert await storage.sha256(KEY) == hashlib.sha256(b"audio").hexdigest()
    async with storage.local(KEY) as path:
        assert path.read_bytes() == b"audio"


async def test_what_lies_in_a_folder_is_listed_and_nothing_below_it(storage: LocalStorage) -> None:
    assert await storage.listed("redacted/nowhere") == []
    for key in ("a/c.json", "a/b.json", "a/deep/d.json", "ab.json"):
        await storage.write(key, b"x")
    assert await storage.listed("a") == ["a/b.json", "a/c.json"]
    with pytest.raises(StorageError):
        await storage.listed("../a")


async def test_writing_and_adopting_replace(storage: LocalStorage) -> None:
    await storage.write(KEY, b"one")
    await storage.write(KEY, b"two")
    assert await storage.read(KEY) == b"two"
    await adopt(storage, KEY, b"three")
    assert await storage.read(KEY) == b"three"


async def test_what_is_absent_is_told_as_absent(storage: LocalStorage) -> None:
    assert await storage.size(KEY) is None
    for attempt in (storage.read(KEY), storage.sha256(KEY), storage.move(KEY, "other/name")):
        with pytest.raises(FileNotFoundError):
            await attempt
    with pytest.raises(FileNotFoundError):
        async with storage.local(KEY):
            pass


async def test_a_read_is_limited(storage: LocalStorage) -> None:
    await storage.write(KEY, b"12345")
    assert await storage.read(KEY, limit=5) == b"12345"
    with pytest.raises(StorageError):
        await storage.read(KEY, limit=4)


async def test_a_move_can_be_repeated_and_replaces(storage: LocalStorage) -> None:
    await storage.write("quarantine/x.ogg", b"old")
    await storage.write(KEY, b"new")
    for _ in range(3):
        await storage.move(KEY, "quarantine/x.ogg")
        assert await storage.read("quarantine/x.ogg") == b"new"
        assert await storage.size(KEY) is None


async def test_a_removal_is_durable_and_can_be_repeated(storage: LocalStorage, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    await adopt(storage, KEY, b"audio")
    synced: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (synced.append(os.fstat(descriptor).st_ino), fsync(descriptor))[1])
    await storage.remove(KEY)
    assert await storage.size(KEY) is None
    assert (root / KEY).parent.stat().st_ino in synced
    await storage.remove(KEY)
    await storage.remove("never/was")


@pytest.mark.parametrize(
    "key",
    ["", "/", "/etc/passwd", "../x", "a/../../x", "a/./x", ".hidden", "a/.hidden", f"{INCOMING}/x", "a//b", "a/", "a\\b", "a\x00b", "a\n",
     "ä", "a b", "..%2fx", "a" * 201, "a/" * 600 + "a"],
)  # fmt: skip
async def test_a_key_that_could_lead_elsewhere_is_refused_and_nothing_is_made(storage: LocalStorage, root: Path, key: str) -> None:
    before = sorted(root.parent.rglob("*"))
    for attempt in (storage.write(key, b"x"), storage.read(key), storage.size(key), storage.move(KEY, key), storage.sha256(key)):
        with pytest.raises((StorageError, FileNotFoundError)):
            await attempt
    assert sorted(path for path in root.parent.rglob("*") if path.is_file()) == [path for path in before if path.is_file()]


async def test_many_at_once_into_new_folders(storage: LocalStorage) -> None:
    async with anyio.create_task_group() as tasks:
        for number in range(40):
            tasks.start_soon(storage.write, f"recordings/2026/08/{number % 3}/{number % 7}/{number}.json", b"x")
    assert [await storage.size(f"recordings/2026/08/{number % 3}/{number % 7}/{number}.json") for number in range(40)] == [1] * 40


async def test_scratch_paths_are_unique_and_gone_afterwards(storage: LocalStorage, root: Path) -> None:
    async with storage.scratch.file() as one, storage.scratch.file(".ogg") as other:
        assert one != other
        assert not one.exists()
        one.write_bytes(b"unfinished")
    assert list((root / INCOMING).iterdir()) == []


# --- what is particular to a file system


async def test_files_are_private_and_nothing_unfinished_stays(storage: LocalStorage, root: Path) -> None:
    await adopt(storage, KEY, b"audio")
    await storage.write(KEY + ".json", b"{}")
    assert (root / KEY).stat().st_mode & 0o777 == 0o600
    assert (root / KEY).parent.stat().st_mode & 0o777 == 0o700
    assert root.stat().st_mode & 0o777 == 0o700
    assert list((root / INCOMING).iterdir()) == []


async def test_the_file_is_durable_before_it_has_its_name_and_the_name_before_we_say_so(
    storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    real_fsync, real_rename = os.fsync, os.rename

    def fsync(descriptor: int) -> None:
        steps.append("fsync " + Path(f"/proc/self/fd/{descriptor}").readlink().name)
        real_fsync(descriptor)

    def rename(source: Path, target: str, **at: int) -> None:
        steps.append(f"rename {target}")
        real_rename(source, target, **at)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "rename", rename)
    await storage.write("a/b/c.json", b"x")
    assert len(steps[0]) == len("fsync ") + 32, "first the temporary file"
    assert steps[1:] == ["fsync archive", "fsync a", "rename c.json", "fsync b"]
    steps.clear()
    await storage.write("a/b/d.json", b"x")
    assert steps[1:] == ["rename d.json", "fsync b"], "folders known to be durable are not synced again"


@pytest.mark.parametrize("waiting", ["link", "dangling", "pipe", "folder"])
async def test_what_waits_at_a_name_is_reported_and_not_written_through(
    storage: LocalStorage, root: Path, tmp_path: Path, waiting: str
) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    target = root / "a" / "x.json"
    target.parent.mkdir()
    match waiting:
        case "link":
            target.symlink_to(victim)
        case "dangling":
            target.symlink_to(tmp_path / "nowhere")
        case "pipe":
            os.mkfifo(target)
        case "folder":
            target.mkdir()
    with anyio.fail_after(10):
        for attempt in (storage.write("a/x.json", b"evil"), storage.read("a/x.json"), storage.size("a/x.json")):
            with pytest.raises(StorageError, match="PATH_UNSAFE"):
                await attempt
        with pytest.raises(StorageError, match="PATH_UNSAFE"):
            await adopt(storage, "a/x.json", b"evil")
    assert victim.read_bytes() == b"precious"
    assert not (tmp_path / "nowhere").exists()


async def test_a_linked_folder_is_not_followed(storage: LocalStorage, root: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (root / "a").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="PATH_UNSAFE"):
        await storage.write("a/x.json", b"evil")
    assert list((tmp_path / "elsewhere").iterdir()) == []


async def test_a_scratch_file_that_is_a_link_or_has_a_second_name_is_not_archived(storage: LocalStorage, tmp_path: Path) -> None:
    (tmp_path / "other").write_bytes(b"x")
    async with storage.scratch.file() as path:
        path.symlink_to(tmp_path / "other")
        with pytest.raises(StorageError, match="PATH_UNSAFE"):
            await storage.adopt(path, KEY)
    async with storage.scratch.file() as path:
        path.hardlink_to(tmp_path / "other")
        with pytest.raises(StorageError, match="PATH_UNSAFE"):
            await storage.adopt(path, KEY)


async def test_opening_sweeps_what_an_earlier_process_left(storage: LocalStorage, root: Path) -> None:
    (root / INCOMING / "stale").write_bytes(b"half a recording")
    await storage.open()
    assert list((root / INCOMING).iterdir()) == []


async def test_proving_leaves_nothing_behind_and_sweeps_nothing(storage: LocalStorage, root: Path) -> None:
    (root / INCOMING / "somebody-elses").write_bytes(b"half a recording")
    await storage.prove()
    assert [path.name for path in (root / INCOMING).iterdir()] == ["somebody-elses"]


async def test_a_root_that_cannot_be_used_is_one_sentence_with_the_key(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for bad in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere")):
        with pytest.raises(ConfigurationError, match=r"^storage\.root: "):
            await LocalStorage(bad, min_free=0, metrics=Metrics()).prove()


async def test_too_little_free_space_makes_new_work_wait(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "archive", min_free=1 << 60, metrics=Metrics())
    await storage.open()
    with pytest.raises(StorageFull, match="min_free"):
        async with storage.scratch.file():
            pass
    with pytest.raises(StorageFull):
        await storage.prove()
    await storage.write(KEY, b"what has begun may finish")
