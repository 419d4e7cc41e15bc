"""What tests of transcription have in common: the simulator's speech services as a process, and something that they can hear."""

from __future__ import annotations

import json
import math
import socket
import struct
import subprocess
import sys
import wave
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def speech_services(folder: Path, scenario: str) -> Iterator[dict[str, str]]:
    """What they say of themselves at their start (addresses, keys), for as long as they run."""
    path = folder / "providers.toml"
    path.write_text(scenario)
    command = [str(Path(sys.executable).parent / "genesys-sync-simulator"), "providers", "--scenario", str(path)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.kill()


def speak(path: Path) -> None:
    """Three bursts of sound in three seconds."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        loud = (math.sin(n / 3) * (9000 if n % 8000 < 3000 else 40) for n in range(24_000))
        file.writeframes(b"".join(struct.pack("<h", int(one)) for one in loud))


def free_port() -> int:
    """A port on loopback where nobody listens."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
