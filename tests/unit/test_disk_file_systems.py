"""B36: on which kind of file system a folder lies, and what is refused or warned of because of it."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from anyio import to_thread

from genesys_sync import disk
from genesys_sync.cli import main
from genesys_sync.disk import apart, file_system, free_share
from genesys_sync.errors import ConfigurationError
from genesys_sync.metrics import Metrics
from genesys_sync.settings import load
from genesys_sync.storage.local import LocalStorage

pytestmark = pytest.mark.anyio
LINE = "{number} 1 0:{number} / {point} rw,relatime shared:1 - {kind} server:/export rw\n"


@pytest.fixture
def mounted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of which the kernel says that something is mounted there: `mounted / KIND`."""
    mounts = LINE.format(number=2, point="/", kind="ext4")
    for number, kind in enumerate(("nfs4", "tmpfs", "overlay", "fuse.sshfs"), start=3):
        mounts += LINE.format(number=number, point=str(tmp_path / f"a {kind}").replace(" ", "\\040"), kind=kind)
    file = tmp_path / "mountinfo"
    file.write_text(mounts)
    monkeypatch.setattr(disk, "MOUNTS", file)
    return tmp_path


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("a nfs4", "nfs4"),
        ("a nfs4/deep/and/not/there/yet.db", "nfs4"),
        ("a nfs4x/ledger.db", "ext4"),
        ("a tmpfs/../a overlay/x", "overlay"),
        ("elsewhere", "ext4"),
    ],
)
def test_the_nearest_mount_tells(mounted: Path, path: str, kind: str) -> None:
    assert file_system(mounted / path) == kind


def test_of_two_mounts_at_one_point_the_later_counts(mounted: Path) -> None:
    with disk.MOUNTS.open("a") as file:
        file.write(LINE.format(number=9, point="/", kind="xfs"))
    assert file_system(mounted / "elsewhere") == "xfs"


def test_where_the_kernel_tells_nothing_nothing_is_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "MOUNTS", tmp_path / "absent")
    assert file_system(tmp_path) == ""


def settings_file(folder: Path, ledger: Path, *more: str) -> Path:
    path = folder / "settings.toml"
    lines = ['genesys.region = "us_east_1"', 'health.listen = "127.0.0.1:0"', f"storage.root = '{folder}/archive'", *more]
    path.write_text("\n".join([*lines, "[ledger]", f"url = 'sqlite:///{ledger}'", ""]))
    return path


@pytest.mark.parametrize("kind", ["nfs4", "fuse.sshfs"])
def test_a_ledger_on_a_network_file_system_is_refused_and_nothing_is_made(mounted: Path, kind: str) -> None:
    folder = mounted / f"a {kind}"
    path = settings_file(mounted, folder / "ledger.db")
    with pytest.raises(ConfigurationError) as caught:
        load(path, environ={})
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}:5:1 ledger.url: DATA_DIR_UNSAFE: {folder}/ledger.db lies on {kind}, a network file system")
    assert "name a file on a local disk, or set ledger.allow_unsafe = true" in problem
    assert not folder.exists()


@pytest.fixture
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GENESYS_CLIENT_ID", "GENESYS_CLIENT_SECRET"):
        monkeypatch.setenv(name, "synthetic")


@pytest.mark.usefixtures("credentials")
@pytest.mark.parametrize(
    ("ledger", "allowed", "code", "told"),
    [
        ("a nfs4", "false", 78, "FAIL  settings "),
        ("a nfs4", "true", 0, "warn  disk         ledger.url: DATA_DIR_UNSAFE: "),
        ("a tmpfs", "false", 0, "warn  disk         ledger.url: DATA_DIR_UNSAFE: "),
        ("elsewhere", "false", 0, ""),
    ],
)
def test_check_tells_of_it_also_when_it_is_allowed(
    mounted: Path, capsys: pytest.CaptureFixture[str], ledger: str, allowed: str, code: int, told: str
) -> None:
    path = settings_file(mounted, mounted / ledger / "ledger.db", f"ledger.allow_unsafe = {allowed}")
    path.write_text(path.read_text().replace("[ledger]\nurl", "ledger.url"))
    assert main(["check", "--offline", "--settings", str(path)]) == code
    shown = capsys.readouterr().out
    assert ("DATA_DIR_UNSAFE" in shown) is bool(told)
    assert told in shown


@pytest.mark.usefixtures("credentials")
def test_check_tells_of_a_disk_that_is_nearly_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("genesys_sync.cli.check.free_share", lambda _path: 0.049)
    assert main(["check", "--offline", "--settings", str(settings_file(tmp_path, tmp_path / "ledger.db"))]) == 0
    shown = capsys.readouterr().out
    assert f"ledger.url: DATA_DIR_UNSAFE: 4.9% of the file system of {tmp_path}/ledger.db are free; make room in time" in shown
    assert "storage.root: DATA_DIR_UNSAFE: 4.9%" in shown


def test_the_share_that_is_free_is_known_before_the_folder_is_there(tmp_path: Path) -> None:
    assert 0 <= free_share(tmp_path / "not" / "yet") == pytest.approx(free_share(tmp_path), abs=0.01)


def test_a_folder_of_another_file_system_is_seen(tmp_path: Path) -> None:
    (tmp_path / "recordings").mkdir()
    (tmp_path / "link").symlink_to("/proc")
    assert apart(tmp_path) == []
    assert "proc" in apart(Path("/"))


@pytest.fixture
def two_volumes(tmp_path: Path) -> Iterator[Path]:
    """An archive with its recordings on a volume of their own."""
    volume = tmp_path / "archive" / "recordings"
    volume.mkdir(parents=True)
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "tmpfs", volume], check=False, capture_output=True).returncode:
        pytest.skip("mounting needs root")
    yield tmp_path
    subprocess.run(["umount", volume], check=True)


@pytest.mark.usefixtures("credentials")
async def test_an_archive_over_two_volumes_is_refused_at_the_start_and_by_check(
    two_volumes: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = two_volumes / "archive"
    with pytest.raises(ConfigurationError, match=r"DATA_DIR_UNSAFE: recordings in .* is of another file system"):
        await LocalStorage(archive, min_free=0, metrics=Metrics()).open()
    command = ["check", "--offline", "--settings", str(settings_file(two_volumes, two_volumes / "ledger.db"))]
    assert await to_thread.run_sync(main, command) == 78
    assert "FAIL  archive      storage.root: DATA_DIR_UNSAFE: recordings in " in capsys.readouterr().out
