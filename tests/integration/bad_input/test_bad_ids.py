"""Ids and paths of docs/specs/bad-input.md, B12 to B17: nothing is made outside the archive, whatever an event calls itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from genesys_sync.errors import StorageError
from genesys_sync.metrics import Metrics
from genesys_sync.plugin import Done, PermanentError, ReasonCode
from genesys_sync.storage.local import LocalStorage
from genesys_sync.testing import make_event
from genesys_sync.testing.samples import CONVERSATION_ID, RECORDING_ID
from genesys_sync_handlers.archive import Archive
from genesys_sync_handlers.verify import Verify

pytestmark = pytest.mark.anyio

OTHER_CONVERSATION = "c0ffee00-0000-4000-8000-000000000001"
ELSEWHERE = ("../../etc/cron.d/x", "..%2f..%2fx", "/abs", "a\\..\\b", "CON", "")
UNSPEAKABLE = ("a\0b", "a" * 300, RECORDING_ID + "\0", RECORDING_ID.upper(), RECORDING_ID + "\n")

Make = Callable[..., Any]


def tree(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


async def _refused(handler_harness: Make, **ids: str) -> None:
    async with handler_harness(Archive) as harness:
        with pytest.raises(PermanentError, match="UUID") as refused:
            await harness.handle(make_event("recording.ready", **ids))
        assert refused.value.code is ReasonCode.ID_INVALID
        assert harness.storage.keys() == []
    body = {"revision": 1, "sidecar": "x", "parts": []}
    async with handler_harness(Verify) as harness:
        with pytest.raises(PermanentError) as refused:
            await harness.handle(make_event("media.archived", body=body, **ids))
        assert refused.value.code is ReasonCode.ID_INVALID


@pytest.mark.parametrize("bad", ELSEWHERE)
@pytest.mark.parametrize("which", ["recording_id", "conversation_id"])
async def test_b12_an_id_that_leads_elsewhere_is_refused(handler_harness: Make, tmp_path: Path, which: str, bad: str) -> None:
    before = tree(tmp_path)
    await _refused(handler_harness, **{which: bad})
    assert tree(tmp_path) == before


@pytest.mark.parametrize("bad", [bad for bad in ELSEWHERE if bad != "CON"] + ["a\0b"])  # a name like any other here
async def test_b12_a_key_that_leads_elsewhere_makes_nothing(tmp_path: Path, bad: str) -> None:
    storage = LocalStorage(tmp_path / "archive", min_free=0, metrics=Metrics())
    await storage.open()
    before = tree(tmp_path)
    with pytest.raises(StorageError, match="archive key"):
        await storage.write(f"recordings/{bad}", b"x")
    assert tree(tmp_path) == before


@pytest.mark.parametrize("bad", UNSPEAKABLE)
async def test_b15_an_id_that_no_file_can_have_is_refused_before_any_file_is_touched(
    handler_harness: Make, tmp_path: Path, bad: str
) -> None:
    before = tree(tmp_path)
    await _refused(handler_harness, recording_id=bad)
    assert tree(tmp_path) == before


async def test_b16_one_recording_under_two_conversations_is_archived_and_announced_for_both(handler_harness: Make) -> None:
    """Each conversation's folder is whole by itself: whoever is given one has everything."""
    announced = set()
    async with handler_harness(Archive) as harness:
        for conversation in (CONVERSATION_ID, OTHER_CONVERSATION):
            harness.genesys.recordings.place(conversation, RECORDING_ID, b"RIFF" + bytes(100), content_type="audio/wav")
            outcome = await harness.handle(make_event("recording.ready", conversation_id=conversation, body={"sessionId": None}))
            assert isinstance(outcome, Done)
            announced |= {(event.id, event.conversation_id, event.body["parts"][0]["key"]) for event in outcome.emit}
        assert len(announced) == 2
        assert {key for *_, key in announced} <= set(harness.storage.keys())


@pytest.mark.parametrize("waiting", ["link", "hard link", "pipe"])
async def test_b17_what_waits_at_the_name_is_never_written_through(tmp_path: Path, waiting: str) -> None:
    import os

    storage = LocalStorage(tmp_path / "archive", min_free=0, metrics=Metrics())
    await storage.open()
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    name = tmp_path / "archive" / "a.wav"
    if waiting == "link":
        name.symlink_to(victim)
    elif waiting == "pipe":
        os.mkfifo(name)
    else:
        name.hardlink_to(victim)
    if waiting == "hard link":  # a rename puts the new file in its place and leaves the other name what it was
        await storage.write("a.wav", b"new")
        assert await storage.read("a.wav") == b"new"
    else:
        with pytest.raises(StorageError, match="PATH_UNSAFE"):
            await storage.write("a.wav", b"new")
    assert victim.read_bytes() == b"untouched"
