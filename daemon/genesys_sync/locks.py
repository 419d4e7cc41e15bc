"""Exclusive locks on files, which name their holder. The kernel lets go of them when the process ends, however it ends."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass
from pathlib import Path

DAEMON = "run"
"""The command that is the daemon."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Who has a lock: a process, and the command of ours that it runs; a pid of 0 and an empty command are not known."""

    pid: int
    command: str

    @property
    def daemon(self) -> bool:
        """Whether it is the daemon; earlier releases did not say, and it was nearly always the daemon."""
        return self.command in (DAEMON, "")

    def __str__(self) -> str:
        name = "another genesys-sync" if self.daemon else f"another command, `genesys-sync {self.command}`"
        return f"{name} (pid {self.pid or 'unknown'})"


class Held(Exception):
    """Somebody else has the lock."""

    def __init__(self, holder: Holder) -> None:
        super().__init__(str(holder))
        self.holder = holder


class FileLock:
    """An exclusive lock on a file of its own.

    The file stays where it is: removing it would let two processes lock two files of one name.
    """

    def __init__(self, path: Path, command: str = "") -> None:
        """Take the lock, for this command of ours. Raises Held when another opening has it, OSError when the file cannot be made."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        self._descriptor = os.open(path, flags, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            note = f"{os.getpid()} {command}".rstrip()
            os.pwrite(self._descriptor, f"{note}\n".encode(), 0)
            os.ftruncate(self._descriptor, len(note) + 1)
        except BlockingIOError:
            holder = _named(self._descriptor)
            self.release()
            raise Held(holder) from None
        except BaseException:
            self.release()
            raise

    def release(self) -> None:
        """Let go. Releasing twice is allowed."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def holder_of(path: Path) -> Holder | None:
    """Which living process has the lock on this file; None when nobody has."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _named(descriptor)
    finally:
        os.close(descriptor)
    return None


def _named(descriptor: int) -> Holder:
    note = os.pread(descriptor, 64, 0).decode("ascii", "replace").partition("\n")[0]
    pid, _, command = note.partition(" ")
    return Holder(int(pid) if pid.isascii() and pid.isdigit() else 0, command.strip())
