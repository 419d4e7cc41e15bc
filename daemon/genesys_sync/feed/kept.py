"""Frames that could not be used, kept for whoever looks into it: few, small, and for the owner's eyes alone, since frames are about people.

Only this folder ever holds a frame's words; logs, ledger and metrics have its code, its size and its hash.
"""

from __future__ import annotations

import os
import re
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Final

import anyio
from anyio import to_thread

from genesys_sync.logs import get_logger

BYTES_MOST: Final = 64 << 10
FILES_MOST: Final = 100
_WAITING_MOST: Final = 32
_WORDS: Final = re.compile(rb"[^\s\x00-\x1f!-/:-@\[-`{-~]+(?:[ _'-]+[^\s\x00-\x1f!-/:-@\[-`{-~]+)*")
"""Words that follow one another count as one: how many there were could tell of digits too."""

_log = get_logger("feed.kept")


def shape_of(data: bytes) -> bytes:
    """The frame with an `x` for each word and number in it: how it is built, and nothing of what it says."""
    return _WORDS.sub(b"x", data[:BYTES_MOST])


class KeptFrames:
    """`keep` never waits; `run` writes. `folder` is made when first needed; None: nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._waiting: deque[tuple[str, bytes]] = deque(maxlen=_WAITING_MOST)
        self._wake = anyio.Event()

    def keep(self, name: str, data: bytes) -> None:
        """The frame's first 64 KiB are to be kept as `name` (letters, digits, `_` and `-`). Of many at once the oldest are let go."""
        if self._folder is not None:
            self._waiting.append((name, data[:BYTES_MOST]))
            self._wake.set()

    async def run(self) -> None:
        """Write what is to be kept, until cancelled; then what still waits. A folder that cannot be written costs a line in the log."""
        try:
            while True:
                await self._wake.wait()
                self._wake = anyio.Event()
                await self._write_all()
        finally:
            with anyio.move_on_after(1, shield=True):
                await self._write_all()

    async def _write_all(self) -> None:
        while self._waiting:
            name, data = self._waiting.popleft()
            try:
                await to_thread.run_sync(self._write, name, data)
            except OSError as error:
                _log.warning("frame_not_kept", reason=error.strerror or type(error).__name__)

    def _write(self, name: str, data: bytes) -> None:
        assert self._folder is not None, "nothing is taken without a folder"
        self._folder.mkdir(mode=0o700, exist_ok=True)
        unfinished = self._folder / ".unfinished"
        with suppress(FileNotFoundError):
            unfinished.unlink()
        with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600), "wb") as file:
            file.write(data)
        unfinished.rename(self._folder / f"{name}.frame")
        files = sorted(self._folder.glob("*.frame"), key=lambda kept: kept.lstat().st_mtime_ns)
        for old in files[:-FILES_MOST]:
            old.unlink()
