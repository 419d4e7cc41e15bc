"""The units: systemd accepts them without a word, they expose little, and the daemon works under their rules."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from genesys_sync.cli.parser import build_parser
from genesys_sync.errors import EX_CONFIG, EX_DATAERR, EX_NOPERM, EX_USAGE, CredentialsRefused, LedgerLocked, LedgerTooNew, PortInUse
from genesys_sync.settings import Settings, load

PROJECT = Path(__file__).parents[2]
SYSTEMD = PROJECT / "systemd"
UNITS = ("genesys-sync.service", "genesys-sync@.service")
SCRUB = "genesys-sync-verify"
INSTALLED = "/opt/genesys-sync/bin/genesys-sync"
EXPOSURE = 11
"""Tenths: what `systemd-analyze security` may show at most."""

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed here")


@pytest.fixture(params=UNITS)
def unit(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """The unit as it would be installed, an instance of the template, with the program where it lies in this environment."""
    name = request.param.replace("@.", "@acme.")
    text = (SYSTEMD / request.param).read_text()
    assert INSTALLED in text
    path = tmp_path / name
    path.write_text(text.replace(INSTALLED, str(Path(sys.executable).parent / "genesys-sync")))
    return path


def analyze(*words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, timeout=60, check=False)


@needs_systemd
def test_systemd_accepts_it_without_a_word(unit: Path) -> None:
    done = analyze("verify", "--man=no", str(unit))
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stderr.splitlines() if unit.name in line] == []


@needs_systemd
def test_a_wrong_unit_would_be_noticed(unit: Path) -> None:
    unit.write_text(unit.read_text().replace("WatchdogSec=30", "WatchdogSec=soon").replace("RestrictRealtime", "RestrictRealtimes"))
    assert unit.name in analyze("verify", "--man=no", str(unit)).stderr


@needs_systemd
def test_it_exposes_little(unit: Path) -> None:
    done = analyze("security", "--offline=true", f"--threshold={EXPOSURE}", "--no-pager", str(unit))
    assert done.returncode == 0, done.stdout


def settings_of(unit: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for line in (SYSTEMD / unit).read_text().splitlines():
        key, equals, value = line.partition("=")
        if equals and not line.startswith("#"):
            found.setdefault(key, []).append(value)
    return found


def test_both_units_differ_in_names_alone() -> None:
    one, many = (settings_of(unit) for unit in UNITS)
    assert {key for key in one.keys() | many.keys() if one.get(key) != many.get(key)} == {
        "Description",
        "ExecStart",
        "StateDirectory",
        "WorkingDirectory",
        "LoadCredential",
    }


@pytest.mark.parametrize("unit", UNITS)
def test_what_waiting_cannot_mend_is_not_tried_again(unit: str) -> None:
    prevented = {int(code) for code in settings_of(unit)["RestartPreventExitStatus"][0].split()}
    assert prevented == {EX_USAGE, EX_DATAERR, EX_NOPERM, EX_CONFIG}
    assert {CredentialsRefused.exit_code, LedgerTooNew.exit_code} <= prevented
    assert not {LedgerLocked.exit_code, PortInUse.exit_code, 69, 70, 74} & prevented


@pytest.mark.parametrize("unit", UNITS)
def test_the_drain_ends_before_systemd_loses_patience(unit: str) -> None:
    drain = load(PROJECT / "settings.toml", environ={}).dispatch.drain.total_seconds()
    assert int(settings_of(unit)["TimeoutStopSec"][0]) >= drain + 15


@pytest.mark.parametrize("unit", UNITS)
def test_the_credentials_have_the_names_that_the_daemon_looks_for(unit: str) -> None:
    assert [value.partition(":")[0] for value in settings_of(unit)["LoadCredential"]] == ["client_id", "client_secret"]


def test_every_line_is_explained() -> None:
    text = (SYSTEMD / "README.md").read_text()
    understood = {"Description", "Documentation", "Wants", "After", "WantedBy", "ExecStart", "Group", "StateDirectory", "WorkingDirectory"}
    told = {key for key in settings_of(UNITS[0]) if re.search(rf"`{key}(=[^`]*)?`", text) or key.startswith("ProtectKernel")}
    assert "`ProtectKernel…`" in text
    assert set(settings_of(UNITS[0])) - told - understood == set()


@needs_systemd
def test_the_scrub_and_its_timer_are_accepted_and_the_scrub_exposes_next_to_nothing(tmp_path: Path) -> None:
    for kind in ("service", "timer"):
        text = (SYSTEMD / f"{SCRUB}.{kind}").read_text()
        (tmp_path / f"{SCRUB}.{kind}").write_text(text.replace(INSTALLED, str(Path(sys.executable).parent / "genesys-sync")))
    for kind in ("service", "timer"):
        done = analyze("verify", "--man=no", str(tmp_path / f"{SCRUB}.{kind}"))
        assert done.returncode == 0, done.stderr
        assert [line for line in done.stderr.splitlines() if SCRUB in line] == []
    done = analyze("security", "--offline=true", "--threshold=3", "--no-pager", str(tmp_path / f"{SCRUB}.service"))
    assert done.returncode == 0, done.stdout


def test_the_scrub_has_every_restriction_of_the_daemon_and_no_network() -> None:
    scrub, daemon = settings_of(f"{SCRUB}.service"), settings_of(UNITS[0])
    kinds = ("Protect", "Private", "Restrict", "System", "NoNew", "Capability", "Ambient", "Lock", "Memory", "Device", "Keyring", "Remove")
    restrictions = [key for key in daemon if key.startswith(kinds) and key != "RestrictAddressFamilies"]
    assert len(restrictions) > 20
    assert {key: scrub.get(key) for key in restrictions} == {key: daemon[key] for key in restrictions}
    assert (scrub["PrivateNetwork"], scrub["RestrictAddressFamilies"], scrub["IPAddressDeny"]) == (["yes"], ["AF_UNIX"], ["any"])


def test_the_scrubs_command_is_one_that_there_is(tmp_path: Path) -> None:
    (start,) = settings_of(f"{SCRUB}.service")["ExecStart"]
    words = start.split()[1:]
    args = build_parser(words).parse_args(words)
    assert (args.command, args.slice.total) == ("verify", 30)


def test_each_line_of_the_scrub_is_explained() -> None:
    text = (SYSTEMD / "README.md").read_text()
    understood = {"Description", "Documentation", "WantedBy", "ExecStart", "Group", "StateDirectory", "WorkingDirectory"}
    keys = set(settings_of(f"{SCRUB}.service")) | set(settings_of(f"{SCRUB}.timer"))
    told = {key for key in keys if re.search(rf"`{key}(=[^`]*)?`", text) or key.startswith("ProtectKernel")}
    assert keys - told - understood == set()


PR_SET_MDWE = 65
UNDER_THE_MEMORY_RULE = f"""
import ctypes, os, sys
if ctypes.CDLL(None, use_errno=True).prctl({PR_SET_MDWE}, 1, 0, 0, 0):
    sys.exit(42)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def under_the_memory_rule(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python where no memory can become executable: the kernel's own form of `MemoryDenyWriteExecute=yes`, kept over fork and exec."""
    environment = dict(os.environ, GENESYS_CLIENT_ID="client", GENESYS_CLIENT_SECRET="client-secret")
    done = subprocess.run(
        [sys.executable, "-c", UNDER_THE_MEMORY_RULE, *words],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    if done.returncode == 42:
        pytest.skip("this kernel has no PR_SET_MDWE")
    return done


def test_memory_deny_write_execute_is_really_in_force(tmp_path: Path) -> None:
    script = "import mmap; mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)"
    assert "PermissionError" in under_the_memory_rule("-c", script, cwd=tmp_path).stderr


def test_the_daemon_and_its_verifier_work_under_memory_deny_write_execute(tmp_path: Path) -> None:
    """`check` loads everything that `run` loads, and its verifier decodes a second of sound in a spawned worker."""
    shutil.copy(PROJECT / "settings.toml", tmp_path)
    done = under_the_memory_rule("-m", "genesys_sync", "check", "--offline", "--set", 'health.listen="127.0.0.1:0"', cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "verify: its own check passed" in done.stdout


def test_the_sample_settings_lie_in_the_state_directory() -> None:
    """The unit starts in it, and the sample's paths are relative."""
    settings: Settings = load(PROJECT / "settings.toml", environ={})
    assert settings_of(UNITS[0])["WorkingDirectory"] == ["%S/genesys-sync"]
    assert not settings.storage.root.is_absolute()
    assert not settings.ledger.url.startswith("sqlite:////")
