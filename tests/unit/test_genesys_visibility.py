"""What cannot be seen is told: once in the log, and in health and metrics for as long as it lasts."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import pytest
from structlog.testing import capture_logs

from genesys_sync.errors import PermanentError, ReasonCode, TransientError
from genesys_sync.genesys.grants import SENSITIVE, Grants, holds
from genesys_sync.genesys.orphans import Orphan
from genesys_sync.genesys.visibility import AGAIN, EVERY, FIRST, Visibility
from genesys_sync.metrics import Metrics
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio

PLAIN = {("recording", "recording", "view")}
ALL = {("recording", "recording", "*")}
ORPHANS = [Orphan(f"e0e0e0e0-0000-4000-8000-{number:012d}", None, "AVAILABLE", "call") for number in range(60)]


class Platform:
    """Answers from what it is set to; an exception is raised."""

    def __init__(self) -> None:
        self.granted: Grants | Exception | None = ALL
        self.listed: Sequence[Orphan] | Exception = []
        self.asked = 0

    @property
    def sees_sensitive(self) -> bool | None:
        return None if self.granted is None or isinstance(self.granted, Exception) else holds(SENSITIVE, self.granted)

    async def grants(self) -> Grants | None:
        self.asked += 1
        if isinstance(self.granted, Exception):
            raise self.granted
        return self.granted

    async def orphans(self) -> Sequence[Orphan]:
        if isinstance(self.listed, Exception):
            raise self.listed
        return self.listed


@pytest.fixture
def platform() -> Platform:
    return Platform()


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def visibility(platform: Platform, metrics: Metrics) -> Visibility:
    return Visibility(platform, clock=FakeClock(), metrics=metrics)


async def lines(visibility: Visibility) -> list[str]:
    with capture_logs() as logs:
        await visibility.look()
    return [line["event"] for line in logs]


async def test_a_missing_permission_for_sensitive_recordings_is_told_once_and_its_return_too(
    platform: Platform, visibility: Visibility
) -> None:
    assert visibility.sensitive is None
    platform.granted = PLAIN
    assert await lines(visibility) == ["sensitive_not_visible"]
    assert await lines(visibility) == []
    assert visibility.sensitive is False
    platform.granted = ALL
    assert await lines(visibility) == ["sensitive_visible"]
    assert visibility.sensitive is True


@pytest.mark.parametrize("granted", [None, PermanentError("no", code=ReasonCode.FORBIDDEN)])
async def test_grants_that_cannot_be_read_prove_nothing(platform: Platform, visibility: Visibility, granted: Exception | None) -> None:
    platform.granted = granted
    assert await lines(visibility) == []
    assert visibility.sensitive is None


async def test_orphans_are_counted_and_new_ones_named_once(platform: Platform, visibility: Visibility, metrics: Metrics) -> None:
    platform.listed = ORPHANS[:2]
    assert await lines(visibility) == ["orphan_recordings"]
    assert await lines(visibility) == []
    platform.listed = ORPHANS
    with capture_logs() as logs:
        await visibility.look()
    assert (logs[0]["total"], logs[0]["new"], len(logs[0]["ids"])) == (60, 58, 50)
    assert visibility.orphans == 60 == metrics.registry.get_sample_value("genesys_sync_orphan_recordings")


async def test_a_list_that_may_not_be_read_is_said_once_and_counts_as_unknown(platform: Platform, visibility: Visibility) -> None:
    platform.listed = PermanentError("no", code=ReasonCode.FORBIDDEN)
    assert await lines(visibility) == ["orphans_not_visible"]
    assert await lines(visibility) == []
    assert visibility.orphans is None


async def test_it_looks_soon_after_the_start_and_every_hour_and_sooner_after_trouble(platform: Platform, metrics: Metrics) -> None:
    clock = FakeClock()
    platform.granted = TransientError("away")
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(Visibility(platform, clock=clock, metrics=metrics).run)
        await clock.advance(FIRST - 1)
        assert platform.asked == 0
        await clock.advance(1)
        assert platform.asked == 1
        platform.granted = ALL
        await clock.advance(AGAIN)
        assert platform.asked == 2
        await clock.advance(EVERY - 1)
        assert platform.asked == 2
        await clock.advance(1)
        assert platform.asked == 3
        tasks.cancel_scope.cancel()


async def test_new_orphans_are_handed_on_once_and_again_after_trouble(platform: Platform, metrics: Metrics) -> None:
    taken: list[int] = []

    async def take(orphans: Sequence[Orphan]) -> None:
        taken.append(len(orphans))

    visibility = Visibility(platform, clock=FakeClock(), metrics=metrics, take=take)
    platform.listed = ORPHANS[:2]
    await visibility.look()
    platform.listed = ORPHANS[:5]
    await visibility.look()
    await visibility.look()
    assert taken == [2, 3]
