"""Control M06: gaps are closed without asking for what was missed. I1 must see what that costs."""

from typing import Any

from genesys_sync.feed.backfill import Backfill


async def page(_self: Backfill, *_bounds: Any) -> None:
    """Nothing is asked for."""


Backfill._page = page
