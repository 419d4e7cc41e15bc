"""B36: on which kind of file system a folder lies, and what is refused or warned of because of it."""

from pathlib import Path

import pytest

from genesys_sync import disk
from genesys_sync.clock import SystemClock
from genesys_sync.disk import file_system
from genesys_sync.errors import ConfigurationError
from genesys_sync.ledger import open_ledger
from genesys_sync.metrics import Metrics

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


@pytest.mark.parametrize("kind", ["nfs4", "fuse.sshfs"])
async def test_a_ledger_on_a_network_file_system_is_refused_and_nothing_is_made(mounted: Path, kind: str) -> None:
    folder = mounted / f"a {kind}"
    with pytest.raises(ConfigurationError, match=f"DATA_DIR_UNSAFE: .* lies on {kind}, a network file system"):
        async with open_ledger(f"sqlite:///{folder}/ledger.db", clock=SystemClock(), metrics=Metrics()):
            pass
    assert not folder.exists()


async def test_a_ledger_in_memory_only_is_opened_all_the_same(mounted: Path) -> None:
    """A container's own layer, or a trial: `check` warns of it."""
    async with open_ledger(f"sqlite:///{mounted}/a tmpfs/ledger.db", clock=SystemClock(), metrics=Metrics()) as ledger:
        await ledger.ping()
