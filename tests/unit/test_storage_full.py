"""A disk that is really full: a file system of 1 MiB, mounted in a namespace of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

PROGRAM = textwrap.dedent(
    """
    import os, sys
    from pathlib import Path
    import anyio
    from genesys_sync.errors import StorageFull
    from genesys_sync.genesys.transfer import Sink
    from genesys_sync.metrics import Metrics
    from genesys_sync.storage.local import LocalStorage

    async def main(root):
        storage = LocalStorage(root, min_free=0, metrics=Metrics())
        await storage.open()
        await storage.write("a/good.json", b"good")
        try:
            await storage.write("a/big.json", os.urandom(3 << 20))
        except StorageFull as error:
            print("write:", error)
        sink = Sink(root / ".incoming" / "download")
        sink.open()
        try:
            for _ in range(30):
                sink.write([os.urandom(100_000)])
        except StorageFull as error:
            print("download:", error)
        sink.discard()
        print("left:", sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()))
        await storage.write("a/after.json", b"there is room again")
        print("read:", await storage.read("a/good.json"))

    anyio.run(main, Path(sys.argv[1]))
    """
)


def test_a_full_disk_loses_nothing_and_leaves_no_partial_file(tmp_path: Path) -> None:
    mount = 'mount -t tmpfs -o size=1m none "$1" && exec "$2" -c "$3" "$1"'
    probe = subprocess.run(["unshare", "-m", "sh", "-c", 'mount -t tmpfs none "$1"', "sh", str(tmp_path)], capture_output=True, check=False)
    if probe.returncode != 0:
        pytest.skip("mounting in a namespace of one's own is not permitted here")
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", mount, "sh", str(tmp_path), sys.executable, PROGRAM],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "write: writing a/big.json: no space left" in done.stdout
    assert "download: writing a download: no space left" in done.stdout
    assert "left: ['a/good.json']" in done.stdout
    assert "read: b'good'" in done.stdout
