"""Contract of every ledger: what was asked to be uploaded, page by page, with what became of it."""

from typing import Any

import pytest

from genesys_sync.errors import ReasonCode
from genesys_sync.ledger import Ledger
from genesys_sync.ledger.base import DeliveryState, Standing, Verdict
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio


async def test_an_empty_ledger_has_no_uploads(ledger: Ledger) -> None:
    assert await ledger.uploads() == []


async def test_uploads_come_newest_first_and_page_by_page_whatever_lies_between(ledger: Ledger, routed: Any) -> None:
    asked = [routed("upload", topic="upload.requested", state=str(number)) for number in range(7)]
    for one in asked:
        await ledger.append([one, routed("archive"), routed(topic="platform.unknown")])
    seen, before = [], None
    while page := await ledger.uploads(before=before, limit=3):
        assert len(page) <= 3
        seen += [upload.asked.event.id for upload in page]
        before = page[-1].number
    assert seen == [one.event.id for one in reversed(asked)]


async def test_a_page_is_not_moved_by_what_is_added_in_front_of_it(ledger: Ledger, routed: Any) -> None:
    await ledger.append([routed(topic="upload.requested", state=str(number)) for number in range(4)])
    first = await ledger.uploads(limit=2)
    await ledger.append([routed(topic="upload.requested", state="late")])
    second = await ledger.uploads(before=first[-1].number, limit=10)
    assert len({upload.asked.event.id for upload in [*first, *second]}) == 4


async def test_each_upload_carries_its_standing_and_its_own_last_outcome(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    first, second, third = (routed("upload", topic="upload.requested", state=str(number)) for number in range(3))
    await ledger.append([first, second, third])
    claims = await ledger.claim({"upload": 2}, worker="w", now_ms=clock.epoch_ms(), lease_ms=60_000)
    completed = first.event.derive("upload.completed", occurred_at=clock.now(), state="0", body={"bytes": 5})
    done = Verdict(state=DeliveryState.DONE)
    await ledger.settle(claims[0], done, now_ms=clock.epoch_ms(), emitted=[routed().__class__(completed, ())])
    dead = Verdict(state=DeliveryState.DEAD, reason=ReasonCode.MEDIA_CHANGED, error="changed")
    await ledger.settle(claims[1], dead, now_ms=clock.epoch_ms())
    waiting, failed, uploaded = await ledger.uploads()
    assert waiting.asked.deliveries == (Standing("upload", DeliveryState.READY, None),)
    assert failed.asked.deliveries == (Standing("upload", DeliveryState.DEAD, ReasonCode.MEDIA_CHANGED),)
    assert (waiting.outcome, failed.outcome) == (None, None)
    assert uploaded.outcome is not None
    assert uploaded.outcome.id == completed.id


async def test_uploads_are_found_without_walking_through_everything_else(ledger: Ledger) -> None:
    """A page among millions of other events is as quick as among none: it is read from an index over uploads alone."""
    plan = await ledger._read(  # type: ignore[attr-defined]  # of SqliteLedger
        lambda connection: connection.execute(
            "EXPLAIN QUERY PLAN SELECT seq FROM event WHERE topic = 'upload.requested' AND seq < 5 ORDER BY seq DESC LIMIT 3"
        ).fetchall()
    )
    assert any("event_upload_requested" in str(row) for row in plan), plan


async def test_what_is_gone_on_with_may_be_killed_more_often_than_others(ledger: Ledger, routed: Any, clock: FakeClock) -> None:
    await ledger.append([routed("upload", topic="upload.requested"), routed("archive")])
    for _ in range(6):  # each death is shared by two
        await clock.advance(3600)
        await ledger.claim({"upload": 1, "archive": 1}, worker="w", now_ms=clock.epoch_ms(), lease_ms=1)
        await clock.advance(3600)
        found = await ledger.return_expired(
            now_ms=clock.epoch_ms(), max_crashes=3, max_crashes_of={"upload": 4}, announce=lambda _: (), abandoned=True
        )
    assert {record.handler: record.state for record in found} == {"upload": DeliveryState.READY, "archive": DeliveryState.DEAD}
