"""Transcripts and redacted copies against the ledger: what must be there, what must be gone, and what nobody knows of."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import orjson
import pytest

from genesys_sync.clock import SystemClock
from genesys_sync.events import Event, Topic
from genesys_sync.integrity.archive import ArchiveCheck, Wrong
from genesys_sync.integrity.expected import Slice
from genesys_sync.ledger import Ledger, open_ledger
from genesys_sync.routing import RoutedEvent
from genesys_sync.testing import make_event

pytestmark = pytest.mark.anyio

CONVERSATION = "c0c0c0c0-0000-4000-8000-000000000001"
COMMUNICATION = "d0d0d0d0-0000-4000-8000-000000000001"
FOLDER = f"transcripts/2026/08/01/{CONVERSATION}"
RAW, MODEL, FORM = (f"{FOLDER}/{COMMUNICATION}.{ending}" for ending in ("raw.json", "json", "vtt"))
SIDECAR = f"{FOLDER}/{COMMUNICATION}.archive.json"
SPANS = f"redacted/recordings/2026/08/01/{CONVERSATION}/e0e0e0e0-0000-4000-8000-000000000001.spans.json"
REDACTED, REPORT = f"redacted/{MODEL}", f"redacted/{FOLDER}/{COMMUNICATION}.report.json"


class Archive:
    """A folder and a ledger that tell one story until a test spoils it."""

    def __init__(self, root: Path, ledger: Ledger) -> None:
        self.root, self.ledger = root, ledger

    def put(self, key: str, data: bytes) -> dict[str, Any]:
        (self.root / key).parent.mkdir(parents=True, exist_ok=True)
        (self.root / key).write_bytes(data)
        return {"key": key, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}

    async def append(self, *events: Event, handlers: tuple[str, ...] = ()) -> None:
        await self.ledger.append([RoutedEvent(event, handlers) for event in events])

    async def archived(self) -> None:
        raw, model, form = self.put(RAW, b"raw"), self.put(MODEL, b"model"), self.put(FORM, b"WEBVTT\n")
        self.put(SIDECAR, orjson.dumps({"parts": [raw, model, form]}))
        body = {"communicationId": COMMUNICATION, "raw": raw, "transcript": model, "forms": [{"form": "vtt", **form}], "sidecar": SIDECAR}
        await self.append(make_event(Topic.TRANSCRIPT_ARCHIVED, state=COMMUNICATION, body=body))

    async def redacted(self, *removed: str) -> None:
        for key in removed:
            (self.root / key).unlink()
        copy = self.put(REDACTED, b"hidden")
        self.put(REPORT, b"{}")
        self.put(SPANS, b"{}")
        body = {"communicationId": COMMUNICATION, "transcript": copy, "forms": [], "report": REPORT, "spansFiles": [SPANS]}
        body["removed"] = list(removed)
        await self.append(make_event(Topic.TRANSCRIPT_REDACTED, state=COMMUNICATION, body=body))

    async def flaws(self) -> list[tuple[str, Wrong]]:
        check = ArchiveCheck(self.root, self.ledger, clock=SystemClock(), part=Slice(), show=lambda *_: None)
        return [(flaw.key, flaw.wrong) for flaw in (await check.run()).flaws]


@pytest.fixture
async def archive(tmp_path: Path) -> AsyncGenerator[Archive]:
    root = tmp_path / "archive"
    root.mkdir()
    async with open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock=SystemClock()) as ledger:
        found = Archive(root, ledger)
        await found.archived()
        yield found


async def test_what_was_archived_is_sound(archive: Archive) -> None:
    assert await archive.flaws() == []


@pytest.mark.parametrize("key", [RAW, MODEL, FORM, SIDECAR])
async def test_each_of_its_files_is_missed(archive: Archive, key: str) -> None:
    (archive.root / key).unlink()
    assert await archive.flaws() == [(key, Wrong.MISSING)]


@pytest.mark.parametrize("key", [RAW, MODEL, FORM])
async def test_a_changed_byte_is_found(archive: Archive, key: str) -> None:
    data = (archive.root / key).read_bytes()
    (archive.root / key).write_bytes(data[:-1] + b"!")
    assert await archive.flaws() == [(key, Wrong.ALTERED)]


async def test_a_sidecar_may_name_more_than_is_told_of_yet_and_never_less(archive: Archive) -> None:
    named = orjson.loads((archive.root / SIDECAR).read_bytes())["parts"]
    archive.put(SIDECAR, orjson.dumps({"parts": [*named, {"key": "more", "sha256": "0"}]}))
    assert await archive.flaws() == []
    archive.put(SIDECAR, orjson.dumps({"parts": named[:2]}))
    assert await archive.flaws() == [(SIDECAR, Wrong.ALTERED)]


async def test_originals_that_redaction_removed_are_not_missed_and_the_copies_are(archive: Archive) -> None:
    await archive.redacted(RAW, MODEL, FORM)
    assert await archive.flaws() == []
    (archive.root / REDACTED).unlink()
    (archive.root / REPORT).unlink()
    assert await archive.flaws() == [(REDACTED, Wrong.MISSING), (REPORT, Wrong.MISSING)]


async def test_what_was_removed_must_not_be_there(archive: Archive) -> None:
    await archive.redacted(RAW)
    archive.put(RAW, b"raw")
    assert await archive.flaws() == [(RAW, Wrong.FOREIGN)]


async def test_a_file_given_to_be_transcribed_lies_in_its_place_or_where_it_was_withheld(archive: Archive) -> None:
    folder = "transcriptions/2026/08/01/0123456789abcdef0123456789abcdef"
    source, held, note = f"{folder}/media.wav", f"quarantine/{folder}/media.r1.wav", f"quarantine/{folder}/media.r1.json"
    requested = make_event(Topic.TRANSCRIPTION_REQUESTED, conversation_id=None, body={"source": archive.put(source, b"spoken")})
    await archive.append(requested)
    assert await archive.flaws() == []
    archive.put(held, b"spoken")
    archive.put(note, b"{}")
    (archive.root / source).unlink()
    await archive.append(make_event(Topic.MEDIA_REJECTED, conversation_id=None, body={"revision": 1, "quarantine": [held]}))
    assert await archive.flaws() == []
    archive.put(held, b"silent")
    (archive.root / note).unlink()
    assert await archive.flaws() == [(note, Wrong.MISSING), (held, Wrong.ALTERED)]


async def test_a_file_that_nobody_told_of_is_foreign_unless_its_conversation_is_being_worked_on(archive: Archive) -> None:
    other = "c0c0c0c0-0000-4000-8000-000000000002"
    key = f"transcripts/2026/08/01/{other}/{COMMUNICATION}.raw.json"
    archive.put(key, b"raw")
    assert await archive.flaws() == [(key, Wrong.FOREIGN)]
    await archive.append(make_event(Topic.CONVERSATION_ENDED, conversation_id=other), handlers=("transcript",))
    assert await archive.flaws() == []


async def test_redacted_recordings_are_part_of_the_record_and_so_is_what_lies_beside_them(archive: Archive) -> None:
    key, sidecar = SPANS.replace("spans.json", "wav"), SPANS.replace("spans.json", "json")
    part, told = archive.put(key, b"muted"), archive.put(sidecar, b"{}")
    body = {"parts": [{**part, "spans": 1}], "removed": [], "sidecar": sidecar, "sidecarSha256": told["sha256"], "verified": True}
    await archive.append(make_event(Topic.MEDIA_REDACTED, body=body))
    await archive.redacted()
    assert await archive.flaws() == []
    archive.put(key, b"mutex")
    archive.put(sidecar, b"[]")
    (archive.root / SPANS).unlink()
    assert await archive.flaws() == [(sidecar, Wrong.ALTERED), (SPANS, Wrong.MISSING), (key, Wrong.ALTERED)]


async def test_the_sidecar_of_an_original_that_only_an_older_ledger_knew_is_part_of_the_record(archive: Archive) -> None:
    key, sidecar = SPANS.replace("spans.json", "wav"), SPANS.replace("spans.json", "json")
    part, told = archive.put(key, b"muted"), archive.put(sidecar, b"{}")
    original = archive.put(sidecar.removeprefix("redacted/"), b"{}")
    removed = [key.removeprefix("redacted/")]
    body = {"parts": [part], "removed": removed, "sidecar": sidecar, "sidecarSha256": told["sha256"], "originalSidecar": original}
    await archive.append(make_event(Topic.MEDIA_REDACTED, body=body))
    await archive.redacted()
    assert await archive.flaws() == []
    archive.put(original["key"], b"[]")
    assert await archive.flaws() == [(original["key"], Wrong.ALTERED)]
