"""Settings of docs/specs/bad-input.md, B34 to B38, given to the command itself: its exit code and every sentence, and never a traceback."""

from __future__ import annotations

import base64
import json
import os
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from genesys_sync.disk import file_system

SECRET = "correct-horse-battery-staple"
CLEAN = {name: value for name, value in os.environ.items() if not name.startswith("GENESYS")}
CLIENT = {**CLEAN, "GENESYS_CLIENT_ID": "id", "GENESYS_CLIENT_SECRET": SECRET}
MEMORY = Path("/dev/shm")
MINIMAL = 'genesys.region = "us_east_1"\n'


@dataclass(frozen=True)
class Ended:
    code: int
    said: str


def command(folder: Path, settings: str | None, *words: str, env: Mapping[str, str] | None = None) -> Ended:
    """`genesys-sync run` in this folder with these settings, as a user would start it."""
    if settings is not None:
        (folder / "settings.toml").write_text(settings, encoding="utf-8")
    client = {"GENESYS_CLIENT_ID": "id", "GENESYS_CLIENT_SECRET": SECRET}
    done = subprocess.run(
        [sys.executable, "-m", "genesys_sync", *(words if words[:1] in (("run",), ("check",)) else ("run", *words))],
        cwd=folder,
        env={**CLEAN, **(client if env is None else env)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert SECRET not in said
    return Ended(done.returncode, said)


def test_b34_every_fault_of_the_settings_is_told_at_once(tmp_path: Path) -> None:
    faulty = (
        MINIMAL + '[storage]\nrot = "x"\nroot = ""\n[feed]\nsilence = 30\nqueues = 7\n[dispatch]\nmax_crashes = "many"\nmax_crashes = 3\n'
        'drain = "-1s"\n[handlers.a]\n       concurrency = 20000\n[handlers.b]\nuse = "verify"\nconfig = { leves = "full" }\n'
        '[http]\nallow_private = ["::1", "10.0.0.0/99"]\n'
    )
    env = {"GENESYS_CLIENT_ID": "id", "GENESYS_CLIENT_SECRET": SECRET, "GENESYS_SYNC_LOG__LEVEL": "loud"}
    ended = command(tmp_path, faulty, "--set", "dispatch.lease=1", env=env)
    assert ended.code == 78
    for sentence in (
        "settings.toml:3:1 storage.rot: unknown key; did you mean 'root'?",
        "settings.toml:4:1 storage.root: must not be empty: name a path",
        "settings.toml:6:1 feed.silence: 30 is not a duration: write a number with its unit",
        "settings.toml:7:1 feed.queues: must be a list",
        "settings.toml:9:1 dispatch.max_crashes: must be a whole number",
        "settings.toml:10:1 dispatch.max_crashes: stands twice; first in line 9",
        "settings.toml:11:1 dispatch.drain: ",
        "settings.toml:13:8 handlers.a.concurrency: must be at most 10000, not 20000",
        "settings.toml:12:11 handlers.a.use: is required",
        "settings.toml:16:12 handlers.b.config.leves: unknown key; did you mean 'level'?",
        "log.level: must be 'debug', 'info', 'warning' or 'error', not 'loud' (from GENESYS_SYNC_LOG__LEVEL)",
        "settings.toml:18:25 http.allow_private.1: '10.0.0.0/99' is not a network",
        "(from --set dispatch.lease)",
        "CONFIG_INVALID: 13 faults in the configuration",
    ):
        assert sentence in ended.said


@pytest.mark.parametrize(("text", "place"), [('feed.queues = ["a"\tb]\n', "1:20"), ("feed:\n\tsilence: 30\n", "1:5")])
def test_b34_what_is_no_toml_is_told_with_its_place(tmp_path: Path, text: str, place: str) -> None:
    ended = command(tmp_path, text)
    assert ended.code == 78
    assert f"genesys-sync: settings.toml:{place}: not valid TOML" in ended.said


def test_b35_a_secret_in_the_settings_is_taken_for_exposed(tmp_path: Path) -> None:
    ended = command(tmp_path, MINIMAL + f'genesys.client_secret = "{SECRET}"\n')
    assert ended.code == 78
    assert "genesys.client_secret: SECRET_EXPOSED" in ended.said


@pytest.mark.parametrize(
    ("mode", "text", "sentence"),
    [(0o644, SECRET, "SECRET_EXPOSED: "), (0o600, "", "is empty"), (0o600, "\n", "is empty"), (0o600, None, "is no file")],
)
def test_b35_a_secret_that_others_can_read_or_that_is_none_is_refused(tmp_path: Path, mode: int, text: str | None, sentence: str) -> None:
    for name, content in (("id", "id"), ("secret", text)):
        if content is None:
            os.mkfifo(tmp_path / name)
        else:
            (tmp_path / name).write_text(content)
        (tmp_path / name).chmod(mode)
    ended = command(tmp_path, MINIMAL + 'genesys.client_id_file = "id"\ngenesys.client_secret_file = "secret"\n', env={})
    assert ended.code == 78
    assert "genesys.client_secret_file: " in ended.said
    assert sentence in ended.said


def test_b36_an_archive_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    ended = command(tmp_path, MINIMAL + 'storage.root = "./file/archive"\nhealth.listen = "127.0.0.1:0"\n')
    assert ended.code == 78
    assert "storage.root: DATA_DIR_UNSAFE: " in ended.said


@pytest.mark.parametrize("ledger", ["./file/state/ledger.db", "."])
def test_b36_a_ledger_that_cannot_be_made_is_named(tmp_path: Path, ledger: str) -> None:
    (tmp_path / "file").write_text("in the way")
    ended = command(tmp_path, MINIMAL + f'ledger.url = "sqlite:///{ledger}"\nhealth.listen = "127.0.0.1:0"\n')
    assert ended.code == 78
    assert "ledger.url: DATA_DIR_UNSAFE: the ledger at " in ended.said


def test_b36_what_is_allowed_to_be_unsafe_shows_in_health_and_metrics(tmp_path: Path) -> None:
    """In memory, for want of a network file system: the warning is the same."""
    if file_system(MEMORY) != "tmpfs":
        pytest.skip("no file system in memory is mounted here")
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        text = (
            f'genesys = {{ api_url = "http://127.0.0.1:9", login_url = "http://127.0.0.1:9" }}\nhealth.listen = "127.0.0.1:0"\n'
            f'ledger.url = "sqlite:///{folder}/ledger.db"\nlog.format = "json"\n'
        )
        (tmp_path / "settings.toml").write_text(text)
        process = subprocess.Popen(
            [sys.executable, "-m", "genesys_sync", "run"], cwd=tmp_path, stderr=subprocess.PIPE, text=True, env=CLIENT
        )
        assert process.stderr is not None
        told, address = False, ""
        for line in process.stderr:
            said = json.loads(line)
            told |= said["event"] == "DATA_DIR_UNSAFE" and said["setting"] == "ledger.url" and said["level"] == "warning"
            if said["event"] == "health listens":
                address = said["address"]
                break
        try:
            with pytest.raises(urllib.error.HTTPError) as unready:
                urllib.request.urlopen(f"http://{address}/readyz", timeout=10)
            assert "data_dir_unsafe" in json.load(unready.value)["reasons"]
            with urllib.request.urlopen(f"http://{address}/metrics", timeout=10) as metrics:
                text = metrics.read().decode()
        finally:
            process.terminate()
            process.communicate(timeout=30)
    assert told
    assert 'genesys_sync_data_dir_unsafe{setting="ledger.url"} 1.0' in text
    assert 'genesys_sync_data_dir_unsafe{setting="storage.root"} 0.0' in text


WEBHOOK = """
[handlers.{name}]
use = "webhook"
config = {{ url = "{url}", secrets_env = "HOOK" }}
"""
URLS = {
    "plain": ("http://receiver.example/x", "must begin with https://"),
    "other": ("ftp://receiver.example", "must be an absolute https URL"),
    "known": ("https://user:pw@receiver.example", "must not hold credentials"),
    "part": ("https://receiver.example/#x", "must not have a fragment"),
    "path": ("/x", "must be an absolute https URL"),
    "port": ("https://receiver.example:x/", "must be an absolute https URL"),
}


def test_b38_an_endpoint_that_cannot_be_used_is_told_with_its_reason(tmp_path: Path) -> None:
    ended = command(tmp_path, MINIMAL + "".join(WEBHOOK.format(name=name, url=url) for name, (url, _) in URLS.items()))
    assert ended.code == 78
    for line, (name, (url, reason)) in enumerate(URLS.items()):
        assert f"settings.toml:{5 + 4 * line}:12 handlers.{name}.config.url: ENDPOINT_INVALID: {reason}" in ended.said
        assert f" {url}" not in ended.said.replace("begin with https://", "")


ENDPOINTS = """
[handlers.one]
use = "webhook"
config = { url = "https://receiver.example/x", secret_files = ["one"] }
[handlers.two]
use = "webhook"
config = { url = "https://%s/x", secret_files = ["two"] }
[handlers.three]
use = "webhook"
config = { url = "https://other.example/x", secrets_env = "HOOK" }
"""
SHORT = "whsec_" + base64.b64encode(b"x" * 23).decode()
GOOD = "whsec_" + base64.b64encode(b"x" * 24).decode()


def endpoints(folder: Path, host: str, *words: str, first: str, second: str, third: str) -> Ended:
    """The command with three endpoints, of which the second is at this host, and with these secrets."""
    for name, secret in (("one", first), ("two", second)):
        (folder / name).write_text(secret)
        (folder / name).chmod(0o600)
    env = {"GENESYS_CLIENT_ID": "id", "GENESYS_CLIENT_SECRET": SECRET, "HOOK": third}
    return command(folder, MINIMAL + 'health.listen = "127.0.0.1:0"\n' + ENDPOINTS % host, *words, env=env)


@pytest.mark.parametrize("words", [["run"], ["check", "--offline"]], ids=["run", "check"])
def test_b38_every_secret_that_cannot_be_used_is_told_with_its_endpoint(tmp_path: Path, words: list[str]) -> None:
    ended = endpoints(tmp_path, "second.example", *words, first=SHORT, second="sk_" + GOOD, third="whsec_no-base64")
    assert ended.code == 78
    for sentence in (
        "handlers.one.config.secret_files: one: ENDPOINT_INVALID: must hold 24 to 64 bytes, not 23",
        "handlers.two.config.secret_files: two: ENDPOINT_INVALID: must begin with whsec_",
        "handlers.three.config.secrets_env: ENDPOINT_INVALID: is not base64",
    ):
        assert ended.said.count(sentence) == 1
    assert SHORT not in ended.said
    assert GOOD not in ended.said


@pytest.mark.parametrize("words", [["run"], ["check", "--offline"]], ids=["run", "check"])
def test_b38_two_that_would_tell_one_receiver_twice_are_refused(tmp_path: Path, words: list[str]) -> None:
    ended = endpoints(tmp_path, "Receiver.Example.:443", *words, first=GOOD, second=GOOD, third=GOOD)
    assert ended.code == 78
    assert (
        "settings.toml:9:1 handlers.two.config: ENDPOINT_INVALID: sends to where handlers.one sends, and both take delivery.dead_lettered, "
        in (ended.said)
    )
    assert "handlers.three" not in ended.said


@pytest.mark.parametrize(
    ("words", "host"), [(["run"], "0177.0.0.1"), (["run"], "[::ffff:127.0.0.1]"), (["check", "--offline"], "169.254.169.254")]
)
def test_b38_a_private_address_is_told_together_with_a_bad_secret(tmp_path: Path, words: list[str], host: str) -> None:
    ended = endpoints(tmp_path, host, *words, first=SHORT, second=SHORT, third=GOOD)
    assert ended.code == 78
    for sentence in ("handlers.one.config.secret_files: one: ENDPOINT_INVALID", "handlers.two.config.secret_files: two: ENDPOINT_INVALID"):
        assert sentence in ended.said
    assert "handlers.two.config.url: ENDPOINT_INVALID: its address is private, loopback or reserved; if that is meant, add" in ended.said


def test_b38_every_endpoint_has_all_its_faults_told(tmp_path: Path) -> None:
    text = ENDPOINTS.replace("https://receiver.example", "http://receiver.example").replace('secret_files = ["two"]', "secrets = 1")
    ended = command(tmp_path, MINIMAL + text % "user:pw@second.example", "run")
    assert ended.code == 78
    for sentence in (
        "settings.toml:5:12 handlers.one.config.url: ENDPOINT_INVALID: must begin with https://",
        "settings.toml:8:12 handlers.two.config.url: ENDPOINT_INVALID: must not hold credentials",
        "settings.toml:8:54 handlers.two.config.secrets: unknown key",
        "settings.toml:8:1 handlers.two.config.secrets_env: set secret_files or secrets_env",
    ):
        assert sentence in ended.said


def test_an_interrupt_while_the_command_is_still_being_imported_is_130_and_no_traceback(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-X", "importtime", "-m", "genesys_sync", "status"], cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if line.rstrip().endswith("genesys_sync.errors"):  # one of the first that the command needs, of some hundreds
            process.send_signal(signal.SIGINT)
            break
    said += process.stderr.read()
    assert process.wait(timeout=30) == 130
    assert "Traceback" not in said
    process.stderr.close()
