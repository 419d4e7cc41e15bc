"""Worker processes, seen from the daemon: untrusted media are decoded there and nowhere else.

Processes, never threads: a crash costs one process, a limit can be set on each, and the daemon's loop and memory notice nothing.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Self, TypeVar

import anyio
import orjson
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from genesys_sync.plugin import ReasonCode, StorageError, TransientError
from genesys_sync_handlers._report import Fault, Job, Report

_START_LIMIT = 60.0
_END_LIMIT = 10.0
_ANSWER_LIMIT = 64 << 10
_STDERR_TAIL = 20
_WORN_OUT = 1000
"""Jobs after which a worker is replaced, so that no leak of a decoder grows for ever."""

COMMAND = (sys.executable, "-m", "genesys_sync_handlers._inspector")
"""How a worker is started; the bytes of memory that it may use follow."""

_PASSED_ON = ("PATH", "PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "LD_LIBRARY_PATH", "LANG", "LC_ALL", "TZ")
"""The environment that a worker gets; the daemon's may hold secrets."""


T = TypeVar("T")


class WorkerBroken(Exception):
    """A worker died over a job, overran, or answered nonsense."""

    def __init__(self, fault: Fault, detail: str) -> None:
        super().__init__(detail)
        self.fault = fault
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Limits:
    """What one file may cost: processor seconds, and time on the wall, which a loaded machine stretches."""

    cpu_seconds: int
    wall: timedelta

    @classmethod
    def of(cls, size: int, expected_seconds: float) -> Self:
        """Opus, the slowest, takes a processor second for 2.3 MB or 570 s of sound: both are granted several times over."""
        cpu = 30 + size / 500_000 + expected_seconds / 50
        return cls(cpu_seconds=int(cpu), wall=timedelta(seconds=30 + 2 * cpu))


class Workers:
    """A pool of workers, started when first needed. `ask` may be called by any number of tasks; `aclose` when none is left."""

    def __init__(self, *, workers: int, memory: int, command: Sequence[str]) -> None:
        self._slots = anyio.Semaphore(workers)
        self._command = (*command, str(memory))
        self._idle: list[_Worker] = []

    async def ask(self, job: Mapping[str, Any], *, wall: timedelta, read: Callable[[Mapping[str, Any]], T]) -> T:
        """What `read` makes of the answer to one job; it raises TypeError or ValueError where it is none. A worker that crashes or
        overruns is replaced and the job tried once more; the second time it is the file's fault: WorkerBroken. Raises StorageError
        when the file cannot be read, TransientError(VERIFIER_FAILED) when no worker starts."""
        async with self._slots:
            try:
                return await self._once(job, wall, read)
            except WorkerBroken:
                return await self._once(job, wall, read)

    async def aclose(self) -> None:
        """End every worker. Called twice, the second does nothing."""
        while self._idle:
            await self._idle.pop().end()

    async def _once(self, job: Mapping[str, Any], wall: timedelta, read: Callable[[Mapping[str, Any]], T]) -> T:
        worker = self._idle.pop() if self._idle else await _Worker.start(self._command)
        sound = False
        try:
            answer = await worker.work(job, wall)
            if answer.get("worker") == "unreadable":
                raise StorageError(f"the archived file cannot be read: {answer.get('detail')}")
            try:
                result = read(answer)
            except (TypeError, ValueError):
                raise WorkerBroken(Fault.VERIFIER_CRASHED, "the decoding process answered something else than a report") from None
            sound = True
        finally:
            if sound and worker.jobs < _WORN_OUT:
                self._idle.append(worker)
            else:
                await worker.end()
        return result


class Inspectors(Workers):
    """The verifier's pool."""

    def __init__(self, *, workers: int, memory: int, command: Sequence[str] = COMMAND) -> None:
        super().__init__(workers=workers, memory=memory, command=command)

    async def inspect(self, job: Job, *, wall: timedelta) -> Report:
        """The report on one file; a worker that breaks over it twice is a fault of the file. Raises as `ask` does."""
        try:
            return await self.ask(asdict(job), wall=wall, read=Report.from_json)
        except WorkerBroken as broken:
            return Report(fault=broken.fault, detail=broken.detail)


class _Worker:
    """One process. After any exception from `work` it is of no further use: `end` it."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._answers = BufferedByteReceiveStream(_stream(process.stdout))
        self._last_words: deque[bytes] = deque(maxlen=_STDERR_TAIL)
        self.jobs = 0

    @classmethod
    async def start(cls, command: Sequence[str]) -> Self:
        """A worker that has imported its decoder and set its limits. Raises TransientError(VERIFIER_FAILED)."""
        environment = {name: os.environ[name] for name in _PASSED_ON if name in os.environ}
        # numerical libraries reserve memory for a thread on each core, which would count against the limit
        environment |= {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "PYTHONSAFEPATH": "1"}
        pipe = subprocess.PIPE
        try:
            # shielded: a cancellation half-way would leave a process that nobody knows; a machine that cannot fork in this time is lost
            with anyio.fail_after(_START_LIMIT, shield=True):
                process = await anyio.open_process(command, stdin=pipe, stdout=pipe, stderr=pipe, env=environment, start_new_session=True)
        except OSError as error:  # TimeoutError is one
            raise TransientError(
                f"no decoding process could be started: {error.strerror or 'it took too long'}", code=ReasonCode.VERIFIER_FAILED
            ) from error
        worker = cls(process)
        ready = False
        try:
            with anyio.fail_after(_START_LIMIT):
                ready = (await worker._answer()).get("worker") == "ready"
        except (TimeoutError, WorkerBroken):
            ready = False
        finally:
            if not ready:
                await worker.end()
        if not ready:
            said = (b"".join(worker._last_words).decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
            raise TransientError(f"the decoding process does not come up: {said[:200]}", code=ReasonCode.VERIFIER_FAILED)
        return worker

    async def work(self, job: Mapping[str, Any], wall: timedelta) -> Mapping[str, Any]:
        """The answer to one job. Raises WorkerBroken when the process dies or takes longer than `wall`."""
        self.jobs += 1
        with anyio.move_on_after(wall.total_seconds()):
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                await _stream(self._process.stdin).send(orjson.dumps(job) + b"\n")
            answer = await self._answer()
            if answer.get("worker") == "memory":
                raise WorkerBroken(Fault.VERIFIER_MEMORY, "decoding the file takes more memory than it may have")
            return answer
        raise WorkerBroken(Fault.VERIFIER_OVERRUN, f"decoding the file took longer than {wall.total_seconds():.0f} s")

    async def end(self) -> None:
        """The process is gone and its pipes are closed, whatever it was doing, and even while the caller is being cancelled."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(_END_LIMIT):
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.aclose()

    async def _answer(self) -> dict[str, Any]:
        """One line of JSON, while stderr is kept from filling up. Raises WorkerBroken with how the process ended."""
        line = b""
        async with anyio.create_task_group() as reading:
            reading.start_soon(self._listen_to_stderr)
            with suppress(anyio.IncompleteRead, anyio.EndOfStream, anyio.BrokenResourceError):
                try:
                    line = await self._answers.receive_until(b"\n", _ANSWER_LIMIT)
                except anyio.DelimiterNotFound:
                    line = b"too long"
            reading.cancel_scope.cancel()
        if not line:
            raise await self._obituary()
        try:
            answer = orjson.loads(line)
        except orjson.JSONDecodeError:
            answer = None
        if not isinstance(answer, dict):
            raise WorkerBroken(Fault.VERIFIER_CRASHED, "the decoding process answered nothing that can be read")
        return answer

    async def _listen_to_stderr(self) -> None:
        with suppress(anyio.EndOfStream, anyio.BrokenResourceError, anyio.ClosedResourceError):
            async for chunk in _stream(self._process.stderr):
                self._last_words.append(chunk[-1000:])

    async def _obituary(self) -> WorkerBroken:
        """How the process ended, whose pipe has ended; one that lives on without answering has crashed all the same."""
        with anyio.move_on_after(_END_LIMIT):
            status = await self._process.wait()
            if status == -signal.SIGXCPU:
                return WorkerBroken(Fault.VERIFIER_OVERRUN, "decoding the file took more processor time than it may have")
            how = f"by signal {-status}" if status < 0 else f"with status {status}"
            return WorkerBroken(Fault.VERIFIER_CRASHED, f"the decoding process ended {how}")
        return WorkerBroken(Fault.VERIFIER_CRASHED, "the decoding process closed its answers")


def _stream(stream: Any) -> Any:
    """anyio types the pipes of a process as optional; ours are always there."""
    if stream is None:
        raise RuntimeError("the process was started without pipes")
    return stream
