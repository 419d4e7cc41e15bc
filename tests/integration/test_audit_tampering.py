"""Each attack on the audit trail is found, its first bad entry named, and its kind: on real files made by a real ledger."""

import hashlib
import json
import os
from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.integration.audit_attacks import (
    ATTACKS,
    DAY2,
    DAY3,
    ENTRY,
    UNLOCKED,
    Attack,
    Trail,
    alter_ledger,
    alter_seal,
    delete_in_ledger,
    drop_all,
    drop_last_checkpoint,
    drop_last_day,
    edit,
    rechain_delete,
    rechain_edit,
    rechain_insert,
    rechain_time,
    rehashed,
    roll_back_files,
    roll_back_ledger,
    roll_back_seal,
    truncate,
)

from genesys_sync.audit import Checkpoint
from genesys_sync.integrity.trail import Tampering
from genesys_sync.ledger import open_ledger
from genesys_sync.routing import Router
from genesys_sync.sealing import Sealer
from genesys_sync.testing import FakeClock
from genesys_sync.testing.samples import ORGANIZATION_ID

pytestmark = pytest.mark.anyio


@pytest.fixture
async def trail(tmp_path: Path, fake_clock: FakeClock) -> AsyncGenerator[Trail]:
    folder, location = tmp_path / "audit", tmp_path / "ledger.db"
    async with open_ledger(f"sqlite:///{location}", clock=fake_clock) as ledger:
        router = Router({})
        sealer = Sealer(
            ledger=ledger, folder=folder, router=router, clock=fake_clock, organization=lambda: ORGANIZATION_ID, every=timedelta(seconds=60)
        )
        entries = [
            replace(ENTRY, at=ENTRY.at.replace(day=1 + number // 5, minute=number), target=f"r{number}", facts={"bytes": 1000 + number})
            for number in range(15)
        ]
        seals = []
        for part in (entries[:8], entries[8:12], entries[12:]):
            await ledger.record_audit(part)
            seals.append(await sealer.seal())
            if len(part) != 4:
                assert await sealer.checkpoint()
        await ledger.record_audit([replace(ENTRY, at=ENTRY.at.replace(day=3), target="r15")])
        yield Trail(folder, location, fake_clock, [Checkpoint(seal.size, seal.root) for seal in seals])


async def test_an_untouched_trail_is_clean(trail: Trail) -> None:
    report = await trail.examined(*trail.checkpoints)
    assert (report.finding, report.unknown) == (None, "")
    assert (report.size, report.root, report.files, report.unsealed) == (15, trail.checkpoints[-1].root, 3, 1)
    assert report.proved == trail.checkpoints[-1]


@pytest.mark.parametrize(("attack", "kind", "file", "line", "seq"), ATTACKS, ids=lambda value: getattr(value, "__name__", None))
async def test_the_ledger_shows_it(trail: Trail, attack: Attack, kind: Tampering, file: str, line: int, seq: int) -> None:
    attack(trail)
    report = await trail.examined()
    assert report.finding is not None
    assert (report.finding.kind, report.finding.file, report.finding.line, report.finding.seq) == (kind, file, line, seq)
    assert report.finding.sentence


BLIND = {alter_ledger, delete_in_ledger, roll_back_ledger, drop_last_checkpoint, roll_back_seal, alter_seal}
NEEDS_CHECKPOINT = {truncate, roll_back_files, drop_last_day, drop_all, rechain_edit, rechain_time, rechain_delete, rechain_insert}


@pytest.mark.parametrize("attack", [row[0] for row in ATTACKS if row[0] not in BLIND | NEEDS_CHECKPOINT])
async def test_the_files_alone_show_it(trail: Trail, attack: Attack) -> None:
    attack(trail)
    finding = trail.alone().finding
    (expected,) = [row for row in ATTACKS if row[0] is attack]
    assert finding is not None
    assert finding.seq == expected[-1]


@pytest.mark.parametrize("attack", NEEDS_CHECKPOINT)
async def test_without_ledger_and_checkpoint_it_is_unknown_and_one_checkpoint_shows_it(trail: Trail, attack: Attack) -> None:
    attack(trail)
    report = trail.alone()
    assert report.finding is None
    assert "whether lines are missing at the end" in report.unknown
    finding = trail.alone(trail.checkpoints[-1]).finding
    assert finding is not None
    assert finding.kind in {Tampering.TRUNCATED, Tampering.RECHAINED}


async def test_an_outside_checkpoint_proves_what_lies_before_it_alone(trail: Trail) -> None:
    assert "after entry 8" in trail.alone(trail.checkpoints[0]).unknown
    assert trail.alone(trail.checkpoints[-1]).unknown == ""


async def test_files_and_ledger_rolled_back_together_are_shown_by_an_outside_checkpoint(trail: Trail) -> None:
    roll_back_ledger(trail)
    roll_back_files(trail)
    assert (await trail.examined()).finding is None
    finding = (await trail.examined(trail.checkpoints[-1])).finding
    assert finding is not None
    assert (finding.kind, finding.seq, finding.file, finding.line) == (Tampering.ROLLED_BACK, 9, DAY2, 4)


async def test_files_and_ledger_rewritten_together_are_shown_by_checkpoints(trail: Trail) -> None:
    edit(trail)
    rehashed(trail)
    trail.sql(*UNLOCKED, """UPDATE audit SET facts = CAST('{"bytes":1}' AS BLOB) WHERE seq = 7""")
    finding = (await trail.examined()).finding  # the ledger's own checkpoints tell
    assert finding is not None
    assert (finding.kind, finding.seq) == (Tampering.RECHAINED, 1)
    trail.sql("DELETE FROM event", "UPDATE audit_seal SET checkpointed = 0")
    left = await trail.examined()  # the seal tells
    assert left.finding is not None
    assert (left.finding.kind, left.finding.seq) == (Tampering.LEDGER_ALTERED, 16)
    trail.sql(f"UPDATE audit_seal SET root = x'{left.root.hex()}'")
    assert (await trail.examined()).finding is None
    finding = (await trail.examined(trail.checkpoints[0])).finding
    assert finding is not None
    assert (finding.kind, finding.seq) == (Tampering.RECHAINED, 1)


async def test_an_outside_checkpoint_decides_which_of_both_was_altered(trail: Trail) -> None:
    rechain_edit(trail)
    finding = (await trail.examined(trail.checkpoints[-1])).finding
    assert finding is not None
    assert finding.kind is Tampering.RECHAINED


async def test_an_outside_checkpoint_proves_the_files_against_an_altered_ledger(trail: Trail) -> None:
    alter_ledger(trail)
    trail.sql("UPDATE audit_seal SET root = zeroblob(32)")
    finding = (await trail.examined(trail.checkpoints[-1])).finding
    assert finding is not None
    assert (finding.kind, finding.seq) == (Tampering.LEDGER_ALTERED, 7)
    assert "checkpoint of size 15" in finding.sentence


async def test_a_line_that_is_being_written_is_no_finding(trail: Trail) -> None:
    """Entry 16 is in the ledger: any beginning of its line may lie at the end of the file."""
    whole = (trail.folder / DAY3).read_bytes()
    before = trail.checkpoints[-1].root
    at = "2026-08-03T12:00:00.000Z"
    fields = {"action": ENTRY.action, "actor": ENTRY.actor, "at": at, "facts": {}, "outcome": "success", "seq": 16, "target": "r15"}
    entry = json.dumps(fields, separators=(",", ":")).encode()
    line = b'{"hash":"' + hashlib.sha256(b"\x00" + entry + before).hexdigest().encode() + b'","entry":' + entry + b"}\n"
    for length in range(len(line) + 1):
        (trail.folder / DAY3).write_bytes(whole + line[:length])
        report = await trail.examined()
        assert report.finding is None, length
        assert report.size == (16 if length == len(line) else 15)
    (trail.folder / DAY3).write_bytes(whole + line[:20] + b"x")
    finding = (await trail.examined()).finding
    assert finding is not None
    assert finding.seq == 16


@pytest.mark.parametrize(
    ("put", "told"),
    [
        (lambda path: os.mkfifo(path), "No such device"),
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.symlink_to("/dev/zero"), "symbolic links"),
    ],
)
async def test_what_is_no_file_is_refused_and_not_waited_for(trail: Trail, put: Callable[[Path], None], told: str) -> None:
    put(trail.folder / "2026-08-09.jsonl")
    with pytest.raises(OSError, match=told):
        await trail.examined()
