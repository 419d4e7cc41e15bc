"""The page for trying it by hand: its simulator, its settings and its check fit together as they stand there."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).parents[2]
PAGE = (PROJECT / "docs/howto/try.md").read_text(encoding="utf-8")
BIN = Path(sys.executable).parent
SECONDS = 60


def block(kind: str, number: int = 0) -> str:
    return re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL)[number]


def test_simulator_settings_and_check_fit_together(tmp_path: Path) -> None:
    """Only the port is another: that of the page may be taken here."""
    program, *words = shlex.split(block("sh"))
    words[words.index("--port") + 1] = "0"
    with subprocess.Popen([str(BIN / program), *words], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as simulator:
        try:
            assert simulator.stdout is not None
            said = json.loads(simulator.stdout.readline())
            settings = block("toml")
            assert settings.count("http://127.0.0.1:8181") == 2
            (tmp_path / "settings.toml").write_text(settings.replace("http://127.0.0.1:8181", said["apiUrl"]))
            lines = block("sh", 1).splitlines()
            given = dict(word.split("=") for word in shlex.split(lines[0])[1:])
            environment = {name: value for name, value in os.environ.items() if not name.startswith(("GENESYS_", "NOTIFY_"))} | given
            program, *words = shlex.split(lines[1])
            command = [str(BIN / program), "--set", "health.listen=127.0.0.1:0", *words]
            done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=SECONDS, check=False)
        finally:
            simulator.terminate()
    assert done.returncode == 0, done.stdout + done.stderr
    assert "recording:recording:viewSensitiveData is missing" in done.stdout, "the page announces this warning"
    assert done.stdout.endswith("ready to run, with 1 warning\n")
    assert lines[2] == "genesys-sync run"
