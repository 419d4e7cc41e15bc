"""The truth log: what the simulator made and what it did, one JSON object a line, on disk before anybody can learn of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, BinaryIO

from genesys_sync_simulator.clock import Clock, iso


class TruthLog:
    """Appends lines; each is fsynced. Without a path they go nowhere."""

    def __init__(self, clock: Clock, path: Path | None = None) -> None:
        self._clock = clock
        self._file: BinaryIO | None = path.open("ab") if path is not None else None

    def write(self, kind: str, /, **fields: Any) -> None:
        """One line: `type`, `at`, and the fields as given. True afterwards: it survives a kill of the process and of the machine."""
        if self._file is None:
            return
        line = {"type": kind, "at": iso(self._clock.epoch_ms() / 1000), **fields}
        self._file.write(json.dumps(line, separators=(",", ":")).encode() + b"\n")
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """No line may follow. Closing twice is allowed."""
        if self._file is not None:
            self._file.close()
            self._file = None
