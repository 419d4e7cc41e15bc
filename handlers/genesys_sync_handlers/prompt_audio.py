"""Audio for prompts, converted and measured in worker processes: the entry point `prompt_audio` of the commands `prompts plan` and `push`.

It is no handler, and lives with them because they have what it needs: the decoders, the proofs that a file is whole, and the processes
with limits in which untrusted files are read.
"""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeVar

from anyio import to_thread

from genesys_sync.plugin import BadAudio, PromptForm, PromptSound, StorageError
from genesys_sync_handlers._workers import Limits, WorkerBroken, Workers

COMMAND: Final = (sys.executable, "-m", "genesys_sync_handlers._prompter")

T = TypeVar("T")


class PromptAudio:
    """`genesys_sync.plugin.PromptAudio`."""

    def __init__(self, *, workers: int = 0, memory: int = 1 << 30) -> None:
        self._workers = Workers(workers=workers or os.cpu_count() or 1, memory=memory, command=COMMAND)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Processes are started when they are needed, and gone afterwards."""
        try:
            yield
        finally:
            await self._workers.aclose()

    async def convert(self, source: Path, into: Path, form: PromptForm) -> PromptSound:
        """Write the prompt made of `source` to `into`, whole. Raises BadAudio, and TransientError when no process starts."""
        wanted = {"encoding": form.encoding.value, "rate": form.sample_rate, "loudness": form.loudness, "peak": form.peak}
        return await self._ask(source, {**wanted, "into": str(into), "largest": form.largest}, _sound)

    async def seconds(self, path: Path) -> float:
        """How long a file plays. Raises as `convert`."""
        return await self._ask(path, {}, lambda answer: float(answer["seconds"]))

    async def _ask(self, path: Path, job: Mapping[str, Any], read: Callable[[Mapping[str, Any]], T]) -> T:
        try:
            limits = Limits.of((await to_thread.run_sync(path.stat)).st_size, 0)

            def judged(answer: Mapping[str, Any]) -> T | BadAudio:
                return BadAudio(str(answer["fault"])) if "fault" in answer else read(answer)

            told = await self._workers.ask(
                {"path": str(path), "cpu_seconds": 2 * limits.cpu_seconds, **job}, wall=2 * limits.wall, read=judged
            )
        except WorkerBroken as broken:
            raise BadAudio(broken.detail) from None
        except (StorageError, OSError) as error:
            raise BadAudio(f"the file cannot be read: {getattr(error, 'strerror', None) or 'it is gone, or not ours to read'}") from None
        if isinstance(told, BadAudio):
            raise told
        return told


def _sound(answer: Mapping[str, Any]) -> PromptSound:
    return PromptSound(**answer)
