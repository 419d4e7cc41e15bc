"""The archive on a local file system: what a method returned from is on the disk, whole, under its name.

The recipe: temporary file → fsync(file) → rename → fsync(folder), and fsync of every folder above that this process has not yet
seen durable. Every step is taken below a folder descriptor without following links: a symbolic link, pipe or device that waits
at a name is reported (PATH_UNSAFE), never written through.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import stat
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import TypeVar
from uuid import uuid4

import anyio
from anyio import CapacityLimiter, to_thread

from genesys_sync.disk import apart, free_bytes, fsync_folder, lies_apart, translated
from genesys_sync.errors import ConfigurationError, StorageError, StorageFull
from genesys_sync.metrics import Metrics

INCOMING = ".incoming"
_KEY = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*(?:/[A-Za-z0-9_-][A-Za-z0-9._-]*)*")
_KEY_LIMIT = 1024
_PART_LIMIT = 200
_THREADS = 8
_DURABLE_MAX = 4096
_REMOVE_PATIENCE = 10.0
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# a pipe at the name would block the open for ever without O_NONBLOCK; regular files do not mind it
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

T = TypeVar("T")


def check_key(key: str) -> tuple[Sequence[str], str]:
    """The folders and the name of a key. Raises StorageError for anything that could lead elsewhere."""
    parts = key.split("/")
    if len(key) > _KEY_LIMIT or _KEY.fullmatch(key) is None or any(len(part) > _PART_LIMIT for part in parts):
        raise StorageError("an archive key is a relative path of ASCII letters, digits, '.', '_' and '-', no part beginning with a dot")
    return parts[:-1], parts[-1]


class LocalStorage:
    """Implements `services.Storage` below `root`; `scratch` implements `services.Scratch` on the same file system.

    Files are 0600 and folders 0700. Blocking work runs in at most eight threads.
    """

    def __init__(self, root: Path, *, min_free: int, metrics: Metrics) -> None:
        self._root = root.absolute()
        self._threads = CapacityLimiter(_THREADS)
        self._durable: OrderedDict[str, None] = OrderedDict()
        self.scratch = LocalScratch(self._root, min_free=min_free, metrics=metrics, threads=self._threads)

    async def open(self) -> None:
        """Make the folders if they are missing, and sweep what unfinished work of an earlier process left behind.

        For the one process that writes: it would sweep another's work away. Raises ConfigurationError or StorageError.
        """
        await self._run(self._prepare)
        await self.scratch.sweep()

    async def prove(self) -> None:
        """Prove that the archive can be written durably; leaves nothing behind but the folders. Sweeps nothing.

        Raises ConfigurationError for a root that cannot be used, StorageFull when too little space is free.
        """
        await self._run(self._prepare)
        await self._run(self._prove)
        await self.scratch.room()

    async def adopt(self, source: Path, key: str) -> None:
        """See `services.Storage.adopt`. The source must lie on the archive's file system; adopting twice is an error, as it is gone."""
        await self._run(lambda: self._adopt(source, key))

    async def write(self, key: str, data: bytes) -> None:
        """See `services.Storage.write`."""
        await self._run(lambda: self._write(key, data))

    async def read(self, key: str, *, limit: int = 16 << 20) -> bytes:
        """See `services.Storage.read`."""
        return await self._run(lambda: self._read(key, limit))

    async def size(self, key: str) -> int | None:
        """See `services.Storage.size`."""
        return await self._run(lambda: self._size(key))

    async def listed(self, folder: str) -> Sequence[str]:
        """See `services.Storage.listed`."""
        return await self._run(lambda: self._listed(folder))

    async def sha256(self, key: str) -> str:
        """See `services.Storage.sha256`."""
        return await self._run(lambda: self._sha256(key))

    async def move(self, key: str, to: str) -> None:
        """See `services.Storage.move`. Raises FileNotFoundError when neither is there."""
        await self._run(lambda: self._move(key, to))

    async def remove(self, key: str) -> None:
        """See `services.Storage.remove`. Raises StorageError for what is no regular file."""
        await self._run(lambda: self._delete(key))

    def local(self, key: str) -> AbstractAsyncContextManager[Path]:
        """See `services.Storage.local`."""
        return self._local(key)

    @asynccontextmanager
    async def _local(self, key: str) -> AsyncIterator[Path]:
        if await self.size(key) is None:
            raise FileNotFoundError(key)
        yield self._root / key

    async def _run(self, work: Callable[[], T]) -> T:
        # not abandoned when cancelled: a rename that has begun is finished, and its folder fsynced
        return await to_thread.run_sync(work, limiter=self._threads)

    # --- in worker threads

    def _prepare(self) -> None:
        try:
            for folder in _missing(self._root / INCOMING):
                folder.mkdir(mode=0o700, exist_ok=True)
                fsync_folder(folder.parent)
            elsewhere = apart(self._root)
        except OSError as error:
            raise ConfigurationError(f"storage.root: DATA_DIR_UNSAFE: {self._root}: {error.strerror or type(error).__name__}") from error
        if (self._root / INCOMING).is_symlink():
            raise ConfigurationError(f"storage.root: DATA_DIR_UNSAFE: {self._root / INCOMING} is a symbolic link; a folder must lie there")
        if elsewhere:
            raise ConfigurationError(f"storage.root: DATA_DIR_UNSAFE: {lies_apart(self._root, elsewhere)}")

    def _prove(self) -> None:
        probe = self._root / INCOMING / f"probe-{uuid4().hex}"
        try:
            with translated("proving that the archive can be written"):
                _write_new(probe, b"genesys-sync")
                fsync_folder(probe.parent)
        except StorageFull:
            raise
        except StorageError as error:
            raise ConfigurationError(f"storage.root: DATA_DIR_UNSAFE: {self._root}: {error}") from error
        finally:
            with suppress(OSError):
                probe.unlink()

    def _adopt(self, source: Path, key: str) -> None:
        with translated(f"archiving {key}"):
            with _opened(source) as file:
                os.fchmod(file.fileno(), 0o600)
                os.fsync(file.fileno())
            self._put(source, key)

    def _write(self, key: str, data: bytes) -> None:
        check_key(key)
        temporary = self._root / INCOMING / uuid4().hex
        with translated(f"writing {key}"):
            try:
                _write_new(temporary, data)
                self._put(temporary, key)
            except BaseException:
                with suppress(OSError):
                    temporary.unlink()
                raise

    def _put(self, source: Path, key: str) -> None:
        """The rename and what makes it durable; the file itself is fsynced already."""
        with self._folder(key, make=True) as (folder, name):
            _regular_or_absent(folder, name)
            os.rename(source, name, dst_dir_fd=folder)
            os.fsync(folder)

    def _read(self, key: str, limit: int) -> bytes:
        with self._file(key) as file, translated(f"reading {key}"):
            if os.fstat(file.fileno()).st_size > limit:
                raise StorageError(f"{key} is larger than {limit} bytes")
            return file.read(limit)

    def _size(self, key: str) -> int | None:
        try:
            with self._file(key) as file:
                return os.fstat(file.fileno()).st_size
        except FileNotFoundError:
            return None

    def _listed(self, folder: str) -> list[str]:
        with (
            translated(f"listing {folder}"),
            suppress(FileNotFoundError),
            self._folder(f"{folder}/any") as (descriptor, _),
            os.scandir(descriptor) as entries,
        ):
            return sorted(f"{folder}/{entry.name}" for entry in entries if entry.is_file(follow_symlinks=False))
        return []

    def _sha256(self, key: str) -> str:
        with self._file(key) as file, translated(f"reading {key}"):
            return hashlib.file_digest(file, "sha256").hexdigest()

    def _move(self, key: str, to: str) -> None:
        with translated(f"moving {key}", absent_is_answer=True):
            try:
                with self._folder(key) as (source, name), self._folder(to, make=True) as (target, new_name):
                    if not _regular_or_absent(source, name):
                        raise FileNotFoundError(errno.ENOENT, "no such object", key)
                    _regular_or_absent(target, new_name)
                    os.rename(name, new_name, src_dir_fd=source, dst_dir_fd=target)
                    os.fsync(target)
                    os.fsync(source)
            except FileNotFoundError:
                if self._size(to) is None:
                    raise

    def _delete(self, key: str) -> None:
        with translated(f"removing {key}", absent_is_answer=True), suppress(FileNotFoundError), self._folder(key) as (folder, name):
            if _regular_or_absent(folder, name):
                os.unlink(name, dir_fd=folder)
            os.fsync(folder)

    @contextmanager
    def _file(self, key: str) -> Iterator[BufferedReader]:
        """The object, opened for reading. Raises FileNotFoundError; StorageError for what is no regular file."""
        with translated(f"opening {key}", absent_is_answer=True), self._folder(key) as (folder, name):
            file = _open_regular(name, folder)
        with file:
            yield file

    @contextmanager
    def _folder(self, key: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """A descriptor of the folder that holds `key`, reached without following a link, and the name in it."""
        folders, name = check_key(key)
        descriptor = os.open(self._root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        path = ""
        try:
            for part in folders:
                path += f"/{part}"
                made = make and _make_folder(descriptor, part)
                if make and (made or path not in self._durable):
                    os.fsync(descriptor)
                    self._seen_durable(path)
                below = os.open(part, _FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor, name
        finally:
            os.close(descriptor)

    def _seen_durable(self, path: str) -> None:
        self._durable[path] = None
        while len(self._durable) > _DURABLE_MAX:
            with suppress(KeyError):
                self._durable.popitem(last=False)


class LocalScratch:
    """Implements `services.Scratch`: room for unfinished work in `.incoming` of the archive, where a rename suffices to finish it."""

    def __init__(self, root: Path, *, min_free: int, metrics: Metrics, threads: CapacityLimiter) -> None:
        self._root = root
        self._folder = root / INCOMING
        self._min_free = min_free
        self._metrics = metrics
        self._threads = threads

    def file(self, suffix: str = "") -> AbstractAsyncContextManager[Path]:
        """See `services.Scratch.file`. Raises StorageFull when less than `storage.min_free` is left: new work waits, while
        what has begun may still finish."""
        return self._file(suffix)

    @asynccontextmanager
    async def _file(self, suffix: str) -> AsyncIterator[Path]:
        if _KEY.fullmatch(f"x{suffix}") is None or "/" in suffix:
            raise StorageError("a suffix holds ASCII letters, digits, '.', '_' and '-' only")
        await self.room()
        path = self._folder / f"{uuid4().hex}{suffix}"
        try:
            yield path
        finally:
            with anyio.move_on_after(_REMOVE_PATIENCE, shield=True):
                await to_thread.run_sync(lambda: _remove(path), limiter=self._threads, abandon_on_cancel=True)

    async def room(self) -> int:
        """Bytes free on the archive's file system. Raises StorageFull when fewer than `storage.min_free`."""

        def measure() -> int:
            with translated("looking for free space"):
                return free_bytes(self._root)

        free = await to_thread.run_sync(measure, limiter=self._threads)
        self._metrics.storage_free_bytes.set(free)
        if free < self._min_free:
            raise StorageFull(f"{free} bytes are free in {self._root}, and storage.min_free asks for {self._min_free}; the work waits")
        return free

    async def sweep(self) -> int:
        """Remove what is left from an earlier process; returns how many files."""

        def remove_all() -> int:
            with translated("sweeping unfinished work"), os.scandir(self._folder) as entries:
                return sum(_remove(Path(entry.path)) for entry in entries if not entry.is_dir(follow_symlinks=False))

        return await to_thread.run_sync(remove_all, limiter=self._threads)


def _missing(folder: Path) -> list[Path]:
    """The folders on this path that do not exist, topmost first."""
    missing: list[Path] = []
    while not folder.exists():
        missing.append(folder)
        folder = folder.parent
    return missing[::-1]


def _remove(path: Path) -> bool:
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    return True


def _make_folder(parent: int, name: str) -> bool:
    try:
        os.mkdir(name, mode=0o700, dir_fd=parent)
    except FileExistsError:
        return False
    return True


def _write_new(path: Path, data: bytes) -> None:
    with os.fdopen(os.open(path, _NEW, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _open_regular(path: Path | str, folder: int | None = None) -> BufferedReader:
    """Raises StorageError for a pipe, a device or a folder, OSError(ELOOP) for a link."""
    file = os.fdopen(os.open(path, _READ, dir_fd=folder), "rb")
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise StorageError("PATH_UNSAFE: something that is no regular file stands at the name of an archive object; look who put it there")
    return file


@contextmanager
def _opened(source: Path) -> Iterator[BufferedReader]:
    with _open_regular(source) as file:
        if os.fstat(file.fileno()).st_nlink != 1:
            raise StorageError("PATH_UNSAFE: a scratch file has a second name, so somebody else could change it after it was archived")
        yield file


def _regular_or_absent(folder: int, name: str) -> bool:
    """True for a regular file, False for nothing. Raises StorageError for anything else: a rename would quietly replace a link."""
    try:
        mode = os.lstat(name, dir_fd=folder).st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISREG(mode):
        raise StorageError(f"PATH_UNSAFE: {name} exists and is no regular file; look who put it there, then remove it")
    return True
