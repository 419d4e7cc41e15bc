"""Files that are to be uploaded: described, asked for once by their content, and found in the watched folder when they stand still."""

from __future__ import annotations

import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from genesys_sync.errors import ConfigurationError, ReasonCode, StorageError
from genesys_sync.ledger import Ledger, open_ledger
from genesys_sync.ledger.base import DeliveryState, Standing, Verdict
from genesys_sync.routing import Router
from genesys_sync.settings import UploadSettings
from genesys_sync.testing import FakeClock, make_event
from genesys_sync.uploading import UploadState, ask, describe, state_of
from genesys_sync.watching import Sight, Still, UploadWatch, noted, settled

pytestmark = pytest.mark.anyio
ROUTER = Router({"upload": ["upload.requested"]})
ORGANIZATION = "organisation"


@pytest.fixture
async def ledger(tmp_path: Path, fake_clock: FakeClock) -> AsyncIterator[Ledger]:
    async with open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock=fake_clock) as opened:
        yield opened


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    (tmp_path / "drop").mkdir()
    return tmp_path / "drop"


async def asked(ledger: Ledger, path: Path, clock: FakeClock, *, again: bool = False) -> Any:
    file = await describe(path)
    return await ask(file, ledger=ledger, router=ROUTER, clock=clock, organization_id=ORGANIZATION, actor="test", again=again)


async def finish(ledger: Ledger, clock: FakeClock, topic: str | None, **body: Any) -> None:
    """Everything that waits ends like this; without a topic in the dead letters."""
    for claim in await ledger.claim({"upload": 100}, worker="w", now_ms=clock.epoch_ms(), lease_ms=60_000):
        if topic is None:
            verdict = Verdict(state=DeliveryState.DEAD, reason=ReasonCode.FORBIDDEN, error="no")
            await ledger.settle(claim, verdict, now_ms=clock.epoch_ms())
        else:
            event = claim.event.derive(topic, occurred_at=clock.now(), state=claim.event.body["sha256"], body=body)
            await ledger.settle(claim, Verdict(state=DeliveryState.DONE), now_ms=clock.epoch_ms(), emitted=ROUTER.route([event]))


async def test_a_file_is_described_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"sound")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    file = await describe(tmp_path / "link")
    assert (file.path, file.bytes, file.sha256) == (tmp_path / "a", 5, hashlib.sha256(b"sound").hexdigest())
    assert file.md5 == hashlib.md5(b"sound", usedforsecurity=False).hexdigest()


@pytest.mark.parametrize("kind", ["missing", "folder", "pipe", "circle", "name"])
async def test_what_is_no_file_is_told_of_in_one_sentence(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "x"
    if kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "circle":
        path.symlink_to(path)
    elif kind == "name":
        path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff"))
        path.touch()
    with pytest.raises(StorageError) as caught:
        await describe(path)
    assert "\n" not in str(caught.value)


async def test_the_same_content_is_accepted_once_under_any_name_and_on_any_day(ledger: Ledger, drop: Path, fake_clock: FakeClock) -> None:
    (drop / "a").write_bytes(b"sound")
    (drop / "b").write_bytes(b"sound")
    first = await asked(ledger, drop / "a", fake_clock)
    assert first.new
    await fake_clock.advance(40 * 86_400)
    second = await asked(ledger, drop / "b", fake_clock)
    assert (second.new, second.event.id) == (False, first.event.id)
    third = await asked(ledger, drop / "b", fake_clock, again=True)
    assert (third.new, third.revision) == (True, 2)
    assert (await asked(ledger, drop / "a", fake_clock)).event.id == third.event.id, "the latest is what counts from then on"
    actions = [entry.entry.action for entry in await ledger.audit_entries(after=0, limit=10)]
    assert actions == ["upload.request", "upload.request"]


def test_a_file_counts_once_it_has_stood_still_for_long_enough() -> None:
    one, grown = Sight(5, 1), Sight(9, 2)
    known = noted({}, {"a": one, "b": one}, 10.0)
    known = noted(known, {"a": grown, "b": one}, 14.0)
    assert settled(known, 15.0, 5.0) == ["b"]
    assert settled(known, 19.0, 5.0) == ["b", "a"]
    assert noted(known, {"a": grown}, 20.0) == {"a": Still(grown, 14.0)}


@pytest.mark.parametrize(
    ("topic", "body", "folder"),
    [("upload.completed", {"status": "Success"}, "done"), ("upload.failed", {"reason": "EMPTY"}, "failed"), (None, {}, "failed")],
)
async def test_a_dropped_file_is_asked_for_when_it_has_settled_and_put_away_when_it_is_over(
    topic: str | None, body: dict[str, Any], folder: str, ledger: Ledger, drop: Path, fake_clock: FakeClock
) -> None:
    watch = UploadWatch(drop, UploadSettings(), ledger=ledger, router=ROUTER, clock=fake_clock, organization=lambda: ORGANIZATION)
    (drop / "call.wav").write_bytes(b"sou")
    (drop / ".part").write_bytes(b"hidden")
    (drop / "below").mkdir()
    await watch.turn()
    await fake_clock.advance(9)
    (drop / "call.wav").write_bytes(b"sound")
    await watch.turn()
    await fake_clock.advance(9)
    await watch.turn()
    assert await ledger.uploads() == [], "it is still growing"
    await fake_clock.advance(2)
    await watch.turn()
    await watch.turn()
    [upload] = await ledger.uploads()
    assert upload.asked.event.body["bytes"] == 5
    await finish(ledger, fake_clock, topic, **body)
    await watch.turn()
    assert [path.name for path in (drop / folder).iterdir()] == ["call.wav"]
    (drop / "call.wav").write_bytes(b"sound")
    await watch.turn()
    await fake_clock.advance(11)
    await watch.turn()
    await watch.turn()
    assert sorted(path.name for path in (drop / folder).iterdir()) == ["call-1.wav", "call.wav"], "known content is not sent once more"
    assert len(await ledger.uploads()) == 1


async def test_left_where_it_is_a_file_is_not_asked_for_again_nor_read_again_after_a_restart(
    ledger: Ledger, drop: Path, fake_clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = UploadSettings(afterwards="leave")
    (drop / "call.wav").write_bytes(b"sound")
    for _ in range(2):
        watch = UploadWatch(drop, settings, ledger=ledger, router=ROUTER, clock=fake_clock, organization=lambda: ORGANIZATION)
        await watch.turn()
        await fake_clock.advance(11)
        await watch.turn()
        await finish(ledger, fake_clock, "upload.completed", status="Success")
        await watch.turn()
        await watch.turn()
        monkeypatch.setattr("genesys_sync.watching.describe", None)
    assert len(await ledger.uploads()) == 1
    assert (drop / "call.wav").exists()


async def test_a_folder_that_is_not_there_is_waited_for(ledger: Ledger, tmp_path: Path, fake_clock: FakeClock) -> None:
    watch = UploadWatch(
        tmp_path / "later", UploadSettings(), ledger=ledger, router=ROUTER, clock=fake_clock, organization=lambda: ORGANIZATION
    )
    await watch.turn()
    (tmp_path / "later").mkdir()
    (tmp_path / "later" / "a").write_bytes(b"sound")
    await watch.turn()
    await fake_clock.advance(11)
    await watch.turn()
    assert len(await ledger.uploads()) == 1


async def test_a_folder_that_nobody_uploads_from_is_a_fault_of_the_settings(ledger: Ledger, drop: Path, fake_clock: FakeClock) -> None:
    with pytest.raises(ConfigurationError, match=r"upload\.folder"):
        UploadWatch.of(UploadSettings(folder=drop), ledger=ledger, router=Router({}), clock=fake_clock, organization=lambda: ORGANIZATION)


@pytest.mark.parametrize(
    ("states", "topic", "status", "expected"),
    [
        ([], None, "", UploadState.WAITING),
        ([DeliveryState.READY], None, "", UploadState.WAITING),
        ([DeliveryState.LEASED], None, "", UploadState.UPLOADING),
        ([DeliveryState.DEAD], None, "", UploadState.DEAD),
        ([DeliveryState.DONE], "upload.completed", "Success", UploadState.UPLOADED),
        ([DeliveryState.DONE], "upload.completed", "WaitForConversation", UploadState.WAITS_FOR_CONVERSATION),
        ([DeliveryState.DONE], "upload.failed", "", UploadState.FAILED),
    ],
)
def test_how_an_upload_stands(states: list[DeliveryState], topic: str | None, status: str, expected: UploadState) -> None:
    outcome = None if topic is None else make_event(topic, body={"status": status})
    assert state_of([Standing("upload", state, None) for state in states], outcome) is expected


async def test_a_file_that_takes_anothers_name_is_not_put_away_for_it(ledger: Ledger, drop: Path, fake_clock: FakeClock) -> None:
    watch = UploadWatch(drop, UploadSettings(), ledger=ledger, router=ROUTER, clock=fake_clock, organization=lambda: ORGANIZATION)
    (drop / "call.wav").write_bytes(b"sound")
    await watch.turn()
    await fake_clock.advance(11)
    await watch.turn()
    (drop / "call.wav").write_bytes(b"another sound")
    await finish(ledger, fake_clock, "upload.completed", status="Success")
    await watch.turn()
    assert (drop / "call.wav").read_bytes() == b"another sound"
    await fake_clock.advance(11)
    await watch.turn()
    assert [upload.asked.event.body["bytes"] for upload in await ledger.uploads()] == [13, 5]
