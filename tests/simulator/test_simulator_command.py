"""The command: one ready line, one sentence for what is wrong, an end at once."""

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

COMMAND = [sys.executable, "-m", "genesys_sync_simulator"]


def failed(*arguments: str) -> tuple[int, str]:
    done = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    return done.returncode, done.stderr


def test_it_tells_where_it_listens_and_ends_on_sigterm(tmp_path: Path) -> None:
    arguments = [
        "--scenario",
        "demo",
        "--seed",
        "5",
        "--client-id",
        "me",
        "--client-secret",
        "mine",
        "--truth-log",
        str(tmp_path / "truth"),
    ]
    with subprocess.Popen([*COMMAND, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            ready = json.loads(process.stdout.readline())
            assert set(ready) == {"apiUrl", "loginUrl", "clientId", "clientSecret", "controlUrl"}
            assert (ready["clientId"], ready["clientSecret"]) == ("me", "mine")
            with urllib.request.urlopen(ready["controlUrl"] + "/state", timeout=10) as answer:
                state = json.load(answer)
            assert (state["scenario"], state["seed"], state["callsPlanned"]) == ("demo", 5, 60)
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0
        assert process.stderr.read() == ""


def test_the_providers_tell_where_they_listen_and_end_on_sigterm() -> None:
    with subprocess.Popen(
        [*COMMAND, "providers", "--scenario", "speech"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            ready = json.loads(process.stdout.readline())
            assert set(ready) == {"transcriptionsUrl", "jobsUrl", "apiKey", "callbackSecret", "controlUrl"}
            with urllib.request.urlopen(ready["controlUrl"] + "/state", timeout=10) as answer:
                assert json.load(answer)["jobs"] == 0
        finally:
            process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=5) == 0
        assert process.stderr.read() == ""


@pytest.mark.parametrize("what", ["platform", "providers"])
def test_a_taken_port_is_75(what: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        code, said = failed(what, "--port", str(port))
    assert code == 75
    assert said.count("\n") == 1
    assert said == f"genesys-sync-simulator: port {port} on 127.0.0.1 cannot be used: Address already in use\n"


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("sead = 1\n[calls]\ncuont = 2\n", ["did you mean seed?", "calls.cuont is not a key of a scenario; did you mean count?"]),
        ("=", ["not TOML"]),
    ],
)
def test_a_bad_scenario_is_78(tmp_path: Path, text: str, sentences: list[str]) -> None:
    (tmp_path / "bad.toml").write_text(text)
    code, said = failed("--scenario", str(tmp_path / "bad.toml"))
    assert code == 78
    assert all(sentence in said for sentence in sentences)
    assert said.count("\n") == len(sentences)


def test_an_unwritable_truth_log_is_74(tmp_path: Path) -> None:
    code, said = failed("--truth-log", str(tmp_path / "nowhere" / "truth"))
    assert code == 74
    assert said.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [["--port", "70000"], ["--seed", "many"], ["--seed", "-1"], ["--warp", "9"], ["provider"], ["providers", "--truth-log", "x"]],
)
def test_wrong_use_is_64(arguments: list[str]) -> None:
    code, said = failed(*arguments)
    assert code == 64
    assert said.count("\n") == 1


def test_a_scenario_file_that_cannot_be_read_is_told_of_in_words(tmp_path: Path) -> None:
    (tmp_path / "bytes.toml").write_bytes(b"\xff\xfe")
    for path, words in ((tmp_path, "cannot be read: Is a directory"), (tmp_path / "bytes.toml", "is not UTF-8 text")):
        code, said = failed("--scenario", str(path))
        assert (code, said) == (78, f"genesys-sync-simulator: the scenario file {str(path)!r} {words}\n")
