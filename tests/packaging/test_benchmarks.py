"""The benchmarks run: what they measure is for people to judge, that they still fit what they measure is not."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path


def test_the_benchmark_of_the_feed_runs_and_misses_no_frame() -> None:
    command = [sys.executable, "-m", "benchmarks.feed", "--seconds", "1", "--rate", "100", "--stall", "1"]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stderr
    assert re.search(r"sent 100, in the ledger 100, missing 0", done.stdout), done.stdout
