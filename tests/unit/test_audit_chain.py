"""The chain, for any entries: what was written is accepted, and no single change of a byte passes."""

import hashlib
import json
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from genesys_sync.audit import ZERO, AuditEntry, Checkpoint, Numbered, Seal, canonical, chained, day_of_file, file_name, line, parse_line
from genesys_sync.errors import AuditMismatch
from genesys_sync.integrity.diagnosis import examine
from genesys_sync.integrity.trail import AuditFiles, Record, Rows
from genesys_sync.sealing import next_portion

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
ENTRIES = st.builds(
    AuditEntry,
    at=st.integers(0, 5 * 86_400_000).map(lambda ms: datetime(2026, 8, 1, tzinfo=UTC) + timedelta(milliseconds=ms)),
    actor=st.text(max_size=10),
    action=st.just("recording.archive"),
    target=st.text(max_size=10),
    outcome=st.sampled_from(["success", "failure"]),
    facts=st.dictionaries(st.text(max_size=5), JSON, max_size=3),
)


def numbered(entries: list[AuditEntry]) -> list[Numbered]:
    return [Numbered(seq, entry) for seq, entry in enumerate(entries, 1)]


def write(folder: Path, rows: list[Numbered]) -> tuple[Seal, int]:
    """As the sealer does; returns the seal and how many bytes were written in all."""
    seal, total = Seal(), 0
    while (portion := next_portion(seal, rows[seal.size :])) is not None:
        with (folder / file_name(portion.day)).open("ab") as file:
            file.write(portion.lines)
            seal = Seal(portion.size, portion.root, portion.day, file.tell())
        total += len(portion.lines)
    return seal, total


def record(rows: list[Numbered], seal: Seal) -> Record:
    return Record(Rows(lambda after: rows[after : after + 3]), seal)


@given(st.lists(ENTRIES, max_size=12))
@settings(max_examples=40, deadline=None)
def test_what_was_sealed_is_accepted_and_the_root_can_be_computed_by_anybody(entries: list[AuditEntry]) -> None:
    rows = numbered(entries)
    with tempfile.TemporaryDirectory() as name:
        seal, _ = write(Path(name), rows)
        report = examine(AuditFiles(Path(name)), record(rows, seal), [Checkpoint(seal.size, seal.root)])
        root = bytes(32)
        for path in sorted(Path(name).iterdir()):
            for text in path.read_bytes().split(b"\n")[:-1]:
                root = hashlib.sha256(b"\0" + text[83:-1] + root).digest()
    assert (report.finding, report.unknown) == (None, "")
    assert (report.size, report.root) == (len(rows), seal.root) == (len(rows), root)


@given(st.lists(ENTRIES, min_size=1, max_size=8), st.data())
@settings(max_examples=80, deadline=None)
def test_no_change_of_one_byte_passes(entries: list[AuditEntry], data: st.DataObject) -> None:
    rows = numbered(entries)
    with tempfile.TemporaryDirectory() as name:
        seal, total = write(Path(name), rows)
        at, by = data.draw(st.integers(0, total - 1)), data.draw(st.integers(1, 255))
        for path in sorted(Path(name).iterdir()):
            text = bytearray(path.read_bytes())
            if at < len(text):
                text[at] ^= by
                path.write_bytes(text)
                break
            at -= len(text)
        with_ledger = examine(AuditFiles(Path(name)), record(rows, seal))
        alone = examine(AuditFiles(Path(name)), None)
    assert with_ledger.finding is not None
    assert alone.finding is not None or alone.unknown


@given(st.lists(ENTRIES, min_size=1, max_size=8), st.data())
@settings(max_examples=40, deadline=None)
def test_an_end_cut_off_anywhere_is_found_with_the_ledger_or_a_checkpoint(entries: list[AuditEntry], data: st.DataObject) -> None:
    rows = numbered(entries)
    with tempfile.TemporaryDirectory() as name:
        seal, _ = write(Path(name), rows)
        last = max(Path(name).iterdir())
        last.write_bytes(last.read_bytes()[: data.draw(st.integers(0, last.stat().st_size - 1))])
        assert examine(AuditFiles(Path(name)), record(rows, seal)).finding is not None
        assert examine(AuditFiles(Path(name)), None, [Checkpoint(seal.size, seal.root)]).finding is not None


@given(ENTRIES, st.integers(1, 2**40), st.binary(min_size=32, max_size=32))
def test_a_line_reads_back(entry: AuditEntry, seq: int, before: bytes) -> None:
    text = canonical(Numbered(seq, entry))
    own = chained(text, before)
    found = parse_line(line(text, own).removesuffix(b"\n"))
    assert found is not None
    assert (found.hash, found.entry, found.seq) == (own, text, seq)
    assert json.loads(text)["facts"] == json.loads(json.dumps(dict(entry.facts)))


@pytest.mark.parametrize(
    "text",
    [b"", b"{}", b'{"hash":"","entry":{}}', b'{"hash":"%s","entry":{"seq":1}}' % (b"0" * 64), b'{"hash":"%s","entry":[]}' % (b"0" * 64)],
)
def test_what_is_no_line_is_refused(text: bytes) -> None:
    assert parse_line(text) is None


def test_the_specifications_example_is_true() -> None:
    """docs/specs/audit.md shows a line; here it is recomputed."""
    page = (Path(__file__).parents[2] / "docs" / "specs" / "audit.md").read_text()
    shown = [parse_line(text.encode()) for text in page.splitlines() if text.startswith('{"hash":"')]
    assert len(shown) == 2
    before = ZERO
    for found in shown:
        assert found is not None
        before = chained(found.entry, before)
        assert found.hash == before


def test_a_hole_in_the_ledger_is_never_sealed() -> None:
    entry = AuditEntry(at=datetime(2026, 8, 1, tzinfo=UTC), actor="a", action="b.c", target="t", outcome="success")
    with pytest.raises(AuditMismatch, match="no audit entry 1"):
        next_portion(Seal(), [Numbered(2, entry)])


def test_names_that_are_not_of_a_day_are_not_read() -> None:
    assert [day_of_file(name) for name in ("2026-13-01.jsonl", "2026-08-01.jsonl.gz", "notes.jsonl")] == [None] * 3
