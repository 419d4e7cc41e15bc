"""The simulator as a process of its own, for tests of what talks to it over the network."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any


@contextmanager
def simulated(folder: Path, scenario: str) -> Iterator[dict[str, Any]]:
    """What it says of itself at its start (addresses, client), for as long as it runs; its truth log is `truth.jsonl` in the folder."""
    path = folder / "scenario.toml"
    path.write_text(scenario)
    command = [sys.executable, "-m", "genesys_sync_simulator", "--scenario", str(path), "--truth-log", str(folder / "truth.jsonl")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
