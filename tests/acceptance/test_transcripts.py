"""Fifty conversations in which people say what must not be kept: every communication has its transcript or its reason, kills or not."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "genesys_sync"]
FASTER = {"ladder": '["500ms", "1s", "2s", "3s"]', "confirm_after": '"3s"', "give_up": '"12s"', "shortest": '"6s"'}
UNKNOWABLE = {"language": "never_appeared"}
"""What the simulator's platform tells nobody."""


def settings(folder: Path) -> Path:
    """The sample with its commented example of the handler taken at its word, and shorter waits."""
    before, example = (PROJECT / "settings.toml").read_text().split("# [handlers.transcript]\n", 1)
    config, _, after = example.partition("\n\n")
    table = "[handlers.transcript]\n" + re.sub(r"^# (\[handlers.*\]|[a-z_]+ = .*)$", r"\1", config, flags=re.MULTILINE)
    for key, value in FASTER.items():
        table = re.sub(rf"^{key} = .*$", f"{key} = {value}", table, flags=re.MULTILINE)
    path = folder / "settings.toml"
    path.write_text(f"{before}{table}\n\n{after}")
    return path


@pytest.mark.slow
def test_fifty_conversations_under_two_kills(tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ["--settings", str(settings(tmp_path)), "--folder", str(run), "--scenario", "speech", "--kill", "2"]
    demo = subprocess.run([*COMMAND, "demo", *options], cwd=PROJECT, capture_output=True, text=True, timeout=180, check=False)
    lines = [json.loads(line) for line in (run / "truth.jsonl").read_text().splitlines()]
    truth = {line["communicationId"]: line["reason"] for line in lines if line["type"] == "transcript"}
    assert len(truth) == 50, demo.stdout + demo.stderr
    with sqlite3.connect(run / "state" / "ledger.db") as ledger:
        events = ledger.execute("SELECT topic, body FROM event WHERE topic LIKE 'transcript.%'").fetchall()
    told = [(json.loads(body)["communicationId"], topic, json.loads(body).get("reason")) for topic, body in events]
    assert Counter(communication for communication, _, _ in told) == Counter(truth.keys())
    for communication, topic, reason in told:
        expected = truth[communication]
        assert topic == ("transcript.archived" if expected is None else "transcript.missing")
        assert reason == UNKNOWABLE.get(expected, expected)
    verify = [*COMMAND, "verify", "--settings", str(tmp_path / "settings.toml"), "--set", f'storage.root="{run / "archive"}"']
    proof = subprocess.run(
        [*verify, "--set", f'ledger.url="sqlite:///{run / "state" / "ledger.db"}"'], capture_output=True, text=True, timeout=60, check=False
    )
    assert proof.returncode == 0, proof.stdout
