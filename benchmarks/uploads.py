"""Many small uploads, on a terminal and without one, against a simulator without a rate limit: what drawing costs, and what the command
could do where the platform let it.

python -m benchmarks.uploads [--files 300]
"""

from __future__ import annotations

import argparse
import json
import os
import pty
import random
import resource
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Sequence
from pathlib import Path

BIN = Path(sys.executable).parent
SETTINGS = Path(__file__).parents[1] / "settings.toml"
SCENARIO = "[calls]\ncount = 0\n[platform]\nrate_limit_per_minute = 1000000\n"


def _files(folder: Path, count: int) -> None:
    folder.mkdir()
    for number in range(count):
        with wave.open(str(folder / f"{number}.wav"), "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(random.Random(number).randbytes(8000))


def _run(folder: Path, count: int, *, terminal: bool) -> tuple[float, float]:
    """Seconds on the wall and of the processor for one `upload` of so many new files, with a ledger of its own."""
    _files(folder / "calls", count)
    (folder / "scenario.toml").write_text(SCENARIO)
    command = [str(BIN / "genesys-sync-simulator"), "--scenario", str(folder / "scenario.toml")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as simulator:
        assert simulator.stdout is not None
        said = json.loads(simulator.stdout.readline())
        sets = (
            f'genesys.api_url="{said["apiUrl"]}"',
            f'genesys.login_url="{said["loginUrl"]}"',
            'genesys.media_hosts=["127.0.0.1"]',
            "genesys.requests_per_minute=1000000",
            "storage.min_free=1MiB",
        )
        words = [word for override in sets for word in ("--set", override)]
        command = [str(BIN / "genesys-sync"), "--settings", str(SETTINGS), *words, "upload", "calls"]
        environment = os.environ | {
            "GENESYS_CLIENT_ID": said["clientId"],
            "GENESYS_CLIENT_SECRET": said["clientSecret"],
            "TERM": "xterm",
        }
        before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
        if terminal:
            _on_terminal(command, environment, folder)
        else:
            subprocess.run([*command, "--json"], env=environment, cwd=folder, stdout=subprocess.DEVNULL, check=True)
        wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        simulator.terminate()
    return wall, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _on_terminal(command: Sequence[str], environment: dict[str, str], folder: Path) -> None:
    ours, theirs = pty.openpty()
    try:
        with subprocess.Popen(command, env=environment, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs) as process:
            os.close(theirs)
            reader = threading.Thread(target=_read_all, args=(ours,), daemon=True)
            reader.start()
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        reader.join()
    finally:
        os.close(ours)


def _read_all(terminal: int) -> None:
    try:
        while os.read(terminal, 65536):
            pass
    except OSError:
        return  # nobody writes to it any more


def main(argv: Sequence[str] | None = None) -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=300)
    count = parser.parse_args(argv).files
    costs = {}
    for name, terminal in (("without a terminal", False), ("on a terminal", True)):
        with tempfile.TemporaryDirectory() as folder:
            wall, costs[name] = _run(Path(folder), count, terminal=terminal)
        print(f"{count} uploads {name}: {wall:.1f} s, {count / wall:.1f}/s, {costs[name] / count * 1000:.1f} ms of the processor for each")
    print(f"processor time on a terminal against without: {costs['on a terminal'] / costs['without a terminal']:.2f}")


if __name__ == "__main__":
    main()
