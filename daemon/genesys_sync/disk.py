"""What storage and downloads share about the disk: one translation of the operating system's errors, and how to make a name durable."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from genesys_sync.errors import StorageError, StorageFull

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
_SENTENCES = {
    errno.EROFS: "the file system is mounted read-only",
    errno.EACCES: "this user may not write there",
    errno.EPERM: "this user may not write there",
    errno.EIO: "the disk reported an input/output error",
    errno.EXDEV: "source and target lie on different file systems",
    errno.ELOOP: "PATH_UNSAFE: a symbolic link stands where a file or folder belongs; remove it after finding out who put it there",
    errno.ENOTDIR: "PATH_UNSAFE: something that is no folder stands where a folder belongs",
    errno.EISDIR: "PATH_UNSAFE: a folder stands where a file belongs",
    errno.ENXIO: "PATH_UNSAFE: a pipe or device stands where a file belongs",
}

NETWORK: Final = frozenset(
    {"nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "ceph", "glusterfs", "lustre", "afs", "fuse.sshfs", "fuse.s3fs", "fuse.rclone"}
)
"""File systems whose other end is another machine: locks, shared memory and fsync are not what they are on a disk."""
PERISHABLE: Final = frozenset({"tmpfs", "ramfs", "overlay"})
"""File systems that end with the machine, or with the container."""
MOUNTS = Path("/proc/self/mountinfo")


def storage_error(error: OSError, doing: str) -> StorageError:
    """The one translation of a disk error: StorageFull where space or quota is used up, StorageError for the rest.

    `doing` says what was tried, such as "writing recordings/…"; it must hold no secret, and neither does the result.
    """
    if error.errno in _FULL:
        return StorageFull(f"{doing}: no space left on the file system; free some, the work waits")
    reason = _SENTENCES.get(error.errno or 0) or error.strerror or type(error).__name__
    return StorageError(f"{doing}: {reason}")


@contextmanager
def translated(doing: str, *, absent_is_answer: bool = False) -> Iterator[None]:
    """Disk errors leave this block as StorageError or StorageFull; FileNotFoundError as itself where absence is an answer."""
    try:
        yield
    except FileNotFoundError as error:
        if absent_is_answer:
            raise
        raise storage_error(error, doing) from error
    except OSError as error:
        raise storage_error(error, doing) from error


def unsafe(path: Path) -> str:
    """Why what is committed there need not be there after a crash, with the path; empty for a disk of this machine, or one not known."""
    kind = file_system(path)
    if kind in PERISHABLE:
        return f"{path} lies on {kind}, which ends with the machine or the container"
    if kind in NETWORK:
        return (
            f"{path} lies on {kind}, a network file system, whose server decides what is durable and where two machines can write at once"
        )
    return ""


def apart(root: Path) -> list[str]:
    """The folders in `root` that lie on another file system than `root`: no file can be renamed into them."""
    device = root.stat().st_dev
    with os.scandir(root) as entries:
        return sorted(one.name for one in entries if one.is_dir(follow_symlinks=False) and one.stat().st_dev != device)


def lies_apart(root: Path, names: Sequence[str]) -> str:
    """The sentence about these folders."""
    one = len(names) == 1
    return (
        f"{', '.join(names)} in {root} {'is' if one else 'are'} of another file system, where no file can be renamed to from there: "
        f"unmount {'it' if one else 'them'}, and let the whole of storage.root be one"
    )


def fsync_folder(path: Path | str, *, dir_fd: int | None = None) -> None:
    """Names made in or moved into this folder survive a power cut after this."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=dir_fd)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def free_bytes(path: Path) -> int:
    """Bytes that this user may still write on the path's file system."""
    status = os.statvfs(path)
    return status.f_bavail * status.f_frsize


def free_share(path: Path) -> float:
    """The part of the path's file system that this user may still write, from 0 to 1; of the folder above where it is not there yet.
    1 where the system tells of no size."""
    there = path.absolute()
    while not there.exists():
        there = there.parent
    status = os.statvfs(there)
    return status.f_bavail / status.f_blocks if status.f_blocks else 1.0


def file_system(path: Path) -> str:
    """The kind of file system that the path lies on, or will lie on once it is made, as the kernel calls it: `ext4`, `nfs4`; empty where
    it cannot be told."""
    try:
        mounts = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
    whole = path.absolute().resolve()
    best, kind = -1, ""
    for line in mounts.splitlines():
        fields, _, rest = line.partition(" - ")
        point = Path(re.sub(r"\\([0-7]{3})", lambda octal: chr(int(octal[1], 8)), fields.split(" ")[4]))
        if whole.is_relative_to(point) and len(point.parts) >= best:  # of two mounts at one point the later one covers the other
            best, kind = len(point.parts), rest.split(" ", 1)[0]
    return kind
