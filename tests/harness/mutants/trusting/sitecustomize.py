"""Controls M08 and M16: whatever was downloaded passes for good, as if a verifier that fails had found nothing. I1 must see it."""

from collections.abc import Sequence

from genesys_sync.plugin import Event
from genesys_sync_handlers.verify import Fault, Report, Verify


async def judge(_self: Verify, _event: Event, _reports: Sequence[Report]) -> tuple[Fault | None, str, list[str]]:
    """Good."""
    return None, "", []


Verify._judge = judge
