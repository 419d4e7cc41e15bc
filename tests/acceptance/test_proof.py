"""What an auditor is shown: a daemon that was killed leaves a trail and an archive that `verify` calls clean, and no damage passes."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

CALLS = """
[calls]
count = 12
per_second = 4
duration = ["1s", "2s"]
[recordings]
appear_after = ["100ms", "200ms"]
available_after = ["500ms", "1s"]
"""


def trail(folder: Path) -> Counter[str]:
    """Actions by number, read as docs/specs/audit.md says; the chain holds from the first line to the last."""
    actions: Counter[str] = Counter()
    root = bytes(32)
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_bytes().split(b"\n")[:-1]:
            root = hashlib.sha256(b"\0" + line[83:-1] + root).digest()
            assert line[9:73] == root.hex().encode()
            actions[json.loads(line)["entry"]["action"]] += 1
    return actions


def test_killed_and_started_again_everything_is_proved_and_every_damage_named(
    simulator: Callable[..., Any], daemon: Callable[..., Any], wait: Callable[..., Any]
) -> None:
    platform = simulator(CALLS)
    here = daemon(platform, "audit.checkpoint_every=300ms")
    here.start()
    wait(lambda: len(here.archived()) >= 2, what="the first archived recordings")
    here.kill()
    killed = here.call("verify")
    assert killed.returncode in {0, 1}, killed.stderr
    here.start()
    wait(lambda: platform.page("state")["finished"], what="the scenario's end")
    beside = here.call("verify", "--json")
    assert beside.returncode == 0, beside.stdout
    made = len(platform.truth("recording"))
    wait(lambda: here.events("media.verified") == made, what="every recording verified")
    assert here.stop() == 0

    done = here.call("verify", "--json")
    assert done.returncode == 0, done.stdout
    said = json.loads(done.stdout)
    assert said["verdict"] == "clean"
    assert said["archive"]["objects"] == said["archive"]["hashed"] == 2 * made
    assert (said["archive"]["unfinished"], said["audit"]["unsealed"]) == (0, 0)
    checkpoints = here.events("audit.checkpointed")
    assert checkpoints == said["audit"]["checkpoints"] >= 3

    actions = trail(here.folder / "state" / "audit")
    assert (actions["daemon.start"], actions["daemon.stop"]) == (2, 1)
    assert actions["recording.archive"] == actions["recording.verify"] == made
    assert actions["gap.open"] >= 2
    assert actions["gap.close"] >= 1

    media = sorted(path for paths in here.archived().values() for path in paths)[0]
    data = bytearray(media.read_bytes())
    data[len(data) // 2] ^= 1
    media.write_bytes(data)
    (file,) = (here.folder / "state" / "audit").iterdir()
    lines = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join([*lines[:4], *lines[5:]]))
    outside = f"{said['audit']['size']}:{said['audit']['root']}"
    found = here.call("verify", "--checkpoint", outside)
    assert found.returncode == 1
    assert f"DELETED: {file.name}, line 5, entry 5" in found.stdout
    assert f"ALTERED: {media.relative_to(here.archive)}" in found.stdout
    assert "2 findings" in found.stdout
