"""An audit trail on disk, made by a real ledger and sealer, and every attack on it."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import apsw
from anyio import from_thread, to_thread

from genesys_sync.audit import AuditEntry, Checkpoint, Numbered
from genesys_sync.integrity.diagnosis import examine
from genesys_sync.integrity.trail import AuditFiles, Record, Rows, Tampering, TrailReport
from genesys_sync.ledger import open_ledger
from genesys_sync.testing import FakeClock

DAY1, DAY2, DAY3 = (f"2026-08-0{number}.jsonl" for number in (1, 2, 3))
ENTRY = AuditEntry(at=datetime(2026, 8, 1, 12, tzinfo=UTC), actor="archive", action="recording.archive", target="r", outcome="success")
Lines = list[bytes]


@dataclass
class Trail:
    """Three days of five entries, with a checkpoint after the 8th and after the last; entry 16 is not sealed yet."""

    folder: Path
    ledger: Path
    clock: FakeClock
    checkpoints: list[Checkpoint]

    def read(self, name: str) -> Lines:
        return (self.folder / name).read_bytes().splitlines(keepends=True)

    def write(self, name: str, lines: Lines) -> None:
        (self.folder / name).write_bytes(b"".join(lines))

    def sql(self, *statements: str) -> None:
        connection = apsw.Connection(str(self.ledger))
        for statement in statements:
            connection.execute(statement)
        connection.close()

    async def examined(self, *outside: Checkpoint) -> TrailReport:
        async with open_ledger(f"sqlite:///{self.ledger}", clock=self.clock, read_only=True) as ledger:

            def fetch(after: int) -> list[Numbered]:
                return from_thread.run(lambda: ledger.audit_entries(after=after, limit=4))

            events = [event for day in await ledger.event_days() for event in await ledger.events_of_day(day, ["audit.checkpointed"])]
            known = [Checkpoint(event.body["size"], bytes.fromhex(event.body["root"])) for event in events]
            record = Record(Rows(fetch), await ledger.seal(), known, await ledger.checkpointed())
            return await to_thread.run_sync(lambda: examine(AuditFiles(self.folder), record, outside))

    def alone(self, *outside: Checkpoint) -> TrailReport:
        return examine(AuditFiles(self.folder), None, outside)


def rehashed(trail: Trail) -> None:
    """Every hash made anew, and numbers too, as an attacker would who knows the format; written without the daemon's code."""
    before, seq = bytes(32), 0
    for path in sorted(trail.folder.glob("*.jsonl")):
        lines = []
        for line in path.read_bytes().splitlines():
            seq += 1
            entry = json.loads(line)["entry"] | {"seq": seq}
            text = json.dumps(entry, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
            before = hashlib.sha256(b"\x00" + text + before).digest()
            lines.append(b'{"hash":"' + before.hex().encode() + b'","entry":' + text + b"}\n")
        path.write_bytes(b"".join(lines))


def edit(trail: Trail) -> None:
    lines = trail.read(DAY2)
    lines[1] = lines[1].replace(b'"bytes":1006', b'"bytes":1')
    trail.write(DAY2, lines)


def edit_hash(trail: Trail) -> None:
    lines = trail.read(DAY2)
    lines[1] = lines[1][:9] + b"0" * 64 + lines[1][73:]
    trail.write(DAY2, lines)


def spoil(trail: Trail) -> None:
    lines = trail.read(DAY2)
    lines[1] = b"x" + lines[1]
    trail.write(DAY2, lines)


def change_time(trail: Trail) -> None:
    lines = trail.read(DAY2)
    lines[1] = lines[1].replace(b"T12:06", b"T12:07")
    trail.write(DAY2, lines)


def delete(trail: Trail) -> None:
    lines = trail.read(DAY2)
    trail.write(DAY2, lines[:1] + lines[2:])


def delete_and_renumber(trail: Trail) -> None:
    lines = trail.read(DAY2)
    rest = [line.replace(b'"seq":%d' % (8 + number), b'"seq":%d' % (7 + number)) for number, line in enumerate(lines[2:])]
    trail.write(DAY2, lines[:1] + rest)


def insert(trail: Trail) -> None:
    lines = trail.read(DAY2)
    trail.write(DAY2, [lines[0], lines[1].replace(b'"r6"', b'"rx"'), *lines[1:]])


def insert_unnumbered(trail: Trail) -> None:
    lines = trail.read(DAY2)
    trail.write(DAY2, [lines[0], lines[1].replace(b'"seq":7', b'"seq":99'), *lines[1:]])


def insert_rubbish(trail: Trail) -> None:
    lines = trail.read(DAY2)
    trail.write(DAY2, [lines[0], b"no line of this trail\n", *lines[1:]])


def insert_a_huge_line(trail: Trail) -> None:
    lines = trail.read(DAY2)
    trail.write(DAY2, [lines[0], b"x" * (3 << 20) + b"\n", *lines[1:]])


def insert_and_renumber(trail: Trail) -> None:
    lines = trail.read(DAY2)
    rest = [line.replace(b'"seq":%d' % (7 + number), b'"seq":%d' % (8 + number)) for number, line in enumerate(lines[1:])]
    trail.write(DAY2, [lines[0], lines[1].replace(b'"r6"', b'"rx"'), *rest])


def append_forged(trail: Trail) -> None:
    lines = trail.read(DAY3)
    trail.write(DAY3, [*lines, lines[-1].replace(b'"seq":15', b'"seq":16')])


def reorder(trail: Trail) -> None:
    lines = trail.read(DAY2)
    lines[1], lines[2] = lines[2], lines[1]
    trail.write(DAY2, lines)


def move(trail: Trail) -> None:
    lines = trail.read(DAY2)
    trail.write(DAY2, [lines[0], lines[3], lines[1], lines[2], lines[4]])


def duplicate(trail: Trail) -> None:
    lines = trail.read(DAY2)
    trail.write(DAY2, [*lines[:2], lines[1], *lines[2:]])


def duplicate_earlier(trail: Trail) -> None:
    lines = trail.read(DAY2)
    trail.write(DAY2, [lines[0], lines[3], *lines[1:]])


def truncate(trail: Trail) -> None:
    trail.write(DAY3, trail.read(DAY3)[:3])


def truncate_in_a_line(trail: Trail) -> None:
    lines = trail.read(DAY3)
    trail.write(DAY3, [*lines[:3], lines[3][:50]])


def truncate_earlier_day(trail: Trail) -> None:
    trail.write(DAY2, trail.read(DAY2)[:3])


def roll_back_files(trail: Trail) -> None:
    (trail.folder / DAY3).unlink()
    trail.write(DAY2, trail.read(DAY2)[:3])


def drop_day(trail: Trail) -> None:
    (trail.folder / DAY2).unlink()


def drop_first_day(trail: Trail) -> None:
    (trail.folder / DAY1).unlink()


def drop_last_day(trail: Trail) -> None:
    (trail.folder / DAY3).unlink()


def drop_all(trail: Trail) -> None:
    for name in (DAY1, DAY2, DAY3):
        (trail.folder / name).unlink()


def swap(trail: Trail) -> None:
    one, two = trail.read(DAY1), trail.read(DAY2)
    trail.write(DAY1, two)
    trail.write(DAY2, one)


def rename_day(trail: Trail) -> None:
    (trail.folder / DAY1).rename(trail.folder / "2026-07-31.jsonl")


def rechain_edit(trail: Trail) -> None:
    edit(trail)
    rehashed(trail)


def rechain_time(trail: Trail) -> None:
    change_time(trail)
    rehashed(trail)


def rechain_delete(trail: Trail) -> None:
    delete(trail)
    rehashed(trail)


def rechain_insert(trail: Trail) -> None:
    insert(trail)
    rehashed(trail)


UNLOCKED = ("DROP TRIGGER audit_is_never_changed", "DROP TRIGGER audit_is_never_deleted", "DROP TRIGGER audit_seal_moves_forward")


def alter_ledger(trail: Trail) -> None:
    trail.sql(*UNLOCKED, "UPDATE audit SET target = 'rx' WHERE seq = 7")


def delete_in_ledger(trail: Trail) -> None:
    trail.sql(*UNLOCKED, "DELETE FROM audit WHERE seq = 7")


def roll_back_ledger(trail: Trail) -> None:
    trail.sql(
        *UNLOCKED,
        "DELETE FROM audit WHERE seq > 8",
        f"UPDATE audit_seal SET size = 8, root = x'{trail.checkpoints[0].root.hex()}', checkpointed = 8",
        "DELETE FROM event WHERE json_extract(body, '$.size') > 8",
    )


def drop_last_checkpoint(trail: Trail) -> None:
    trail.sql("DELETE FROM event WHERE json_extract(body, '$.size') > 8")


def roll_back_seal(trail: Trail) -> None:
    root = trail.checkpoints[0].root.hex()
    trail.sql(*UNLOCKED, f"UPDATE audit_seal SET size = 8, root = x'{root}', checkpointed = 8")


def alter_seal(trail: Trail) -> None:
    trail.sql(*UNLOCKED, "UPDATE audit_seal SET root = zeroblob(32)")


Attack = Callable[[Trail], None]
ATTACKS: list[tuple[Attack, Tampering, str, int, int]] = [
    (edit, Tampering.EDITED, DAY2, 2, 7),
    (edit_hash, Tampering.EDITED, DAY2, 2, 7),
    (spoil, Tampering.EDITED, DAY2, 2, 7),
    (change_time, Tampering.TIME_CHANGED, DAY2, 2, 7),
    (delete, Tampering.DELETED, DAY2, 2, 7),
    (delete_and_renumber, Tampering.DELETED, DAY2, 2, 7),
    (insert, Tampering.INSERTED, DAY2, 2, 7),
    (insert_unnumbered, Tampering.INSERTED, DAY2, 2, 7),
    (insert_and_renumber, Tampering.INSERTED, DAY2, 2, 7),
    (insert_rubbish, Tampering.INSERTED, DAY2, 2, 7),
    (insert_a_huge_line, Tampering.INSERTED, DAY2, 2, 7),
    (append_forged, Tampering.EDITED, DAY3, 6, 16),
    (reorder, Tampering.REORDERED, DAY2, 2, 7),
    (move, Tampering.REORDERED, DAY2, 2, 7),
    (duplicate, Tampering.DUPLICATED, DAY2, 3, 8),
    (duplicate_earlier, Tampering.DUPLICATED, DAY2, 2, 7),
    (truncate, Tampering.TRUNCATED, DAY3, 4, 14),
    (truncate_in_a_line, Tampering.TRUNCATED, DAY3, 4, 14),
    (truncate_earlier_day, Tampering.TRUNCATED, DAY2, 4, 9),
    (roll_back_files, Tampering.ROLLED_BACK, DAY2, 4, 9),
    (drop_day, Tampering.DAY_MISSING, DAY2, 1, 6),
    (drop_first_day, Tampering.DAY_MISSING, DAY1, 1, 1),
    (drop_last_day, Tampering.DAY_MISSING, DAY3, 1, 11),
    (drop_all, Tampering.DAY_MISSING, DAY1, 1, 1),
    (swap, Tampering.FILES_SWAPPED, DAY1, 1, 1),
    (rename_day, Tampering.FILES_SWAPPED, "2026-07-31.jsonl", 1, 1),
    (rechain_edit, Tampering.RECHAINED, DAY2, 2, 7),
    (rechain_time, Tampering.RECHAINED, DAY2, 2, 7),
    (rechain_delete, Tampering.RECHAINED, DAY2, 2, 7),
    (rechain_insert, Tampering.RECHAINED, DAY2, 2, 7),
    (alter_ledger, Tampering.LEDGER_ALTERED, DAY2, 2, 7),
    (delete_in_ledger, Tampering.LEDGER_ALTERED, DAY2, 2, 7),
    (roll_back_ledger, Tampering.ROLLED_BACK, DAY2, 4, 9),
    (drop_last_checkpoint, Tampering.LEDGER_ALTERED, "", 0, 15),
    (roll_back_seal, Tampering.LEDGER_ALTERED, "", 0, 9),
    (alter_seal, Tampering.LEDGER_ALTERED, "", 0, 16),
]
