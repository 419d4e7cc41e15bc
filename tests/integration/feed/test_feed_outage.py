"""After an outage nothing keeps the feed away for longer than its own back-off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from genesys_sync.errors import ReasonCode, TransientError

pytestmark = pytest.mark.anyio

Stage = Any


async def test_an_outage_in_which_no_channel_could_be_made_does_not_keep_us_away_after_it(staged: Callable[..., Any]) -> None:
    """`platform.created` counts the channels that were made: those that could not be made do not slow the next ones down."""
    async with staged() as stage:
        await stage.live()
        stage.platform.failures["create"] = [TransientError("away", code=ReasonCode.UNREACHABLE)] * 1000
        stage.platform.failures["mine"] = [TransientError("away", code=ReasonCode.UNREACHABLE)] * 1000
        stage.notifications.refusals = [(404, {})] * 20
        await stage.notifications.open[-1].close(1001)
        await stage.advance_until(lambda: not stage.notifications.open, by=0.1)
        began = stage.clock.monotonic()
        await stage.advance_until(lambda: stage.clock.monotonic() - began > 1800, by=5, steps=1000)
        tried = 2000 - sum(len(left) for left in stage.platform.failures.values())
        stage.platform.failures.clear()
        stage.notifications.refusals.clear()
        healed = stage.clock.monotonic()

        await stage.advance_until(lambda: bool(stage.notifications.open), by=1)

        assert 1800 / 60 < tried < 1800 / 5
        assert stage.clock.monotonic() - healed <= 61
        assert len(stage.platform.created) == 2
