"""Counts the system calls by which a program changes the world, all threads together, and interferes at one of them, with ptrace alone.

    python tracer.py --report FILE --below FOLDER [--armed-by FILE] [--kill CALL:PART:N | --fail CALL:PART:N] -- COMMAND...

strace counts for each thread by itself, so that "the seventh write" is another moment in each run, and what one thread does first
hides the same number of all others. Here the N-th call of a name on a kind of file is that of the whole process. Each call is written
to the report before it happens; the last line says how it was interfered with.

    --below     files and folders that count; what is written elsewhere (a log, a pipe) does not. TCP sends always count.
    --armed-by  nothing is counted or slowed down before this file exists; then a line `armed` stands in the report
    --kill      SIGKILL instead of the N-th call of this name whose file has PART in its path, at the end of it with a $ as PART's last
    --fail      that call is not made and answers EIO (x86-64 only)
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import errno
import json
import os
import platform
import signal
import time
from pathlib import Path
from typing import Final, TextIO

_SEIZE, _INTERRUPT, _LISTEN, _SYSCALL, _POKEUSER, _SYSCALL_INFO = 0x4206, 0x4207, 0x4208, 24, 6, 0x420E
_OPTIONS = 0x1 | 0x8 | 0x100000  # TRACESYSGOOD, TRACECLONE (threads, no other processes), EXITKILL
_SYSCALL_STOP, _EVENT_STOP, _ENTRY, _EXIT = signal.SIGTRAP | 0x80, 128, 1, 2
_WALL = 0x40000000
_RAX, _ORIG_RAX = 80, 120
_PR_SET_PTRACER = 0x59616D61
_GROUP_STOPS = (signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU)

_X86_64: Final = {
    1: "write", 18: "pwrite64", 20: "writev", 296: "pwritev", 74: "fsync", 75: "fdatasync", 77: "ftruncate", 82: "rename",
    264: "renameat", 316: "renameat2", 87: "unlink", 263: "unlinkat", 84: "rmdir", 83: "mkdir", 258: "mkdirat", 86: "link", 265: "linkat",
    44: "sendto", 46: "sendmsg",
}  # fmt: skip
_AARCH64: Final = {
    64: "write", 68: "pwrite64", 66: "writev", 70: "pwritev", 82: "fsync", 83: "fdatasync", 46: "ftruncate", 38: "renameat",
    276: "renameat2", 35: "unlinkat", 34: "mkdirat", 37: "linkat", 206: "sendto", 211: "sendmsg",
}  # fmt: skip
CALLS: Final = {"x86_64": _X86_64, "aarch64": _AARCH64}
_BY_DESCRIPTOR: Final = frozenset({"write", "pwrite64", "writev", "pwritev", "fsync", "fdatasync", "ftruncate", "sendto", "sendmsg"})
_BY_PATH: Final = {"rename": 0, "unlink": 0, "rmdir": 0, "mkdir": 0, "link": 0}
_LONGEST_PATH: Final = 4096

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
_libc.ptrace.restype = ctypes.c_long


class _Info(ctypes.Structure):
    """`struct ptrace_syscall_info`, as far as it is looked at; `args` hold for an entry."""

    _fields_ = (
        ("op", ctypes.c_uint8),
        ("pad", ctypes.c_uint8 * 3),
        ("arch", ctypes.c_uint32),
        ("instruction_pointer", ctypes.c_uint64),
        ("stack_pointer", ctypes.c_uint64),
        ("nr", ctypes.c_uint64),
        ("args", ctypes.c_uint64 * 6),
    )


def _ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> int:
    """Raises ProcessLookupError for a thread that is gone, OSError for what is not allowed."""
    result = int(_libc.ptrace(request, pid, address, data))
    if result == -1 and (code := ctypes.get_errno()):
        raise OSError(code, os.strerror(code))
    return result


class Tracer:
    """Everything about one traced process."""

    def __init__(self, pid: int, options: argparse.Namespace, report: TextIO) -> None:
        self._pid = pid
        self._names = CALLS[platform.machine()]
        self._below = tuple(os.path.realpath(folder) for folder in options.below)
        self._kills = options.kill is not None
        self._at: tuple[str, str, int] | None = options.kill or options.fail
        self._report = report
        self._info = _Info()
        self._count = 0
        self._matched = 0
        self._spoilt: set[int] = set()
        self._tcp: dict[str, bool] = {}

    def attach(self) -> None:
        """Every thread of the process is traced; those that it makes later will be."""
        seized: set[int] = set()
        while new := {int(path.name) for path in Path(f"/proc/{self._pid}/task").iterdir()} - seized:
            for thread in new:
                with contextlib.suppress(ProcessLookupError, PermissionError):  # EPERM: traced already, as a child of one that is
                    _ptrace(_SEIZE, thread, 0, _OPTIONS)
                    _ptrace(_INTERRUPT, thread)
            seized |= new

    def run(self) -> None:
        """Until the process has ended."""
        while True:
            try:
                thread, status = os.waitpid(-1, _WALL)
            except ChildProcessError:
                return
            if os.WIFSTOPPED(status):
                with contextlib.suppress(ProcessLookupError):
                    self._stopped(thread, status)

    def _stopped(self, thread: int, status: int) -> None:
        number, event = os.WSTOPSIG(status), status >> 16
        if number == _SYSCALL_STOP:
            self._call(thread)
            number = 0
        elif event == _EVENT_STOP and number in _GROUP_STOPS:
            _ptrace(_LISTEN, thread)
            return
        elif event:
            number = 0
        _ptrace(_SYSCALL, thread, 0, number)

    def _call(self, thread: int) -> None:
        _ptrace(_SYSCALL_INFO, thread, ctypes.sizeof(self._info), ctypes.addressof(self._info))
        if self._info.op == _EXIT and thread in self._spoilt:
            self._spoilt.discard(thread)
            _ptrace(_POKEUSER, thread, _RAX, -errno.EIO & (2**64 - 1))
        name = self._names.get(self._info.nr) if self._info.op == _ENTRY else None
        what = self._what(thread, name) if name is not None else None
        if name is None or what is None:
            return
        self._count += 1
        self._say(n=self._count, call=name, what=what)
        if self._at is None or name != self._at[0] or self._at[1] not in f"{what}$":
            return
        self._matched += 1
        if self._matched != self._at[2]:
            return
        self._say(done="killed" if self._kills else "failed", call=name, what=what)
        if self._kills:
            os.kill(self._pid, signal.SIGKILL)
        else:
            _ptrace(_POKEUSER, thread, _ORIG_RAX, 2**64 - 1)
            self._spoilt.add(thread)

    def _what(self, thread: int, name: str) -> str | None:
        """The file, folder or socket that the call is about; None when it does not count."""
        if name not in _BY_DESCRIPTOR:
            path = self._text(thread, self._info.args[_BY_PATH.get(name, 1)])
            if not path.startswith("/"):
                folder = self._link(self._info.args[0]) if name not in _BY_PATH else None
                path = f"{folder or Path(f'/proc/{self._pid}/cwd').readlink()}/{path}"
            return path if self._counts(path) else None
        target = self._link(self._info.args[0])
        if target is None:
            return None
        if target.startswith("socket:"):
            return "tcp" if name != "ftruncate" and self._is_tcp(target) else None
        return target if self._counts(target) else None

    def _counts(self, path: str) -> bool:
        return path.startswith(self._below)

    def _link(self, descriptor: int) -> str | None:
        try:
            return str(Path(f"/proc/{self._pid}/fd/{descriptor}").readlink())
        except OSError:
            return None

    def _is_tcp(self, target: str) -> bool:
        if target not in self._tcp:
            inode = target[len("socket:[") : -1]
            tables = [Path(f"/proc/{self._pid}/net/{table}") for table in ("tcp", "tcp6")]
            self._tcp[target] = any(f" {inode} " in table.read_text() for table in tables if table.exists())
        return self._tcp[target]

    def _text(self, thread: int, address: int) -> str:
        with Path(f"/proc/{thread}/mem").open("rb", buffering=0) as memory:
            memory.seek(address)
            # to the end of the page, beyond which nothing may be mapped, and once more for what goes on there
            piece = memory.read(_LONGEST_PATH - address % _LONGEST_PATH)
            if b"\0" not in piece:
                piece += memory.read(_LONGEST_PATH)
        return os.fsdecode(piece.partition(b"\0")[0])

    def _say(self, **facts: object) -> None:
        self._report.write(json.dumps(facts) + "\n")


def _trace(pid: int, options: argparse.Namespace, attached: int) -> None:
    with Path(options.report).open("a", buffering=1) as report:
        tracer = Tracer(pid, options, report)
        if options.armed_by:
            os.close(attached)
            while not Path(options.armed_by).exists():
                time.sleep(0.01)
                if os.getppid() == 1 and not Path(f"/proc/{pid}").exists():
                    return
        tracer.attach()
        report.write(json.dumps({"armed": True}) + "\n")
        if not options.armed_by:
            os.close(attached)
        tracer.run()


def _moment(text: str) -> tuple[str, str, int]:
    name, part, number = text.split(":")
    return name, part, int(number)


def main() -> None:
    """This process becomes the command, so that its id, its signals and its end are the command's; the tracer is a grandchild."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--report", required=True)
    parser.add_argument("--below", action="append", default=[])
    parser.add_argument("--armed-by")
    parser.add_argument("--kill", type=_moment)
    parser.add_argument("--fail", type=_moment)
    parser.add_argument("command", nargs="+")
    options = parser.parse_args()
    reading, writing = os.pipe()
    pid = os.getpid()
    if (child := os.fork()) == 0:
        os.close(reading)
        if os.fork() == 0:
            os.setsid()
            _trace(pid, options, writing)
        os._exit(0)
    _libc.prctl(_PR_SET_PTRACER, -1, 0, 0, 0)
    os.waitpid(child, 0)
    os.close(writing)
    os.read(reading, 1)  # until the tracer has attached, or waits to be armed
    os.close(reading)
    os.execvp(options.command[0], options.command)


if __name__ == "__main__":
    main()
