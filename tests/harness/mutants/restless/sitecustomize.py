"""Control M05: each attempt of a completion goes out under an id of its own. I7 must see it."""

from dataclasses import replace
from uuid import uuid4

from genesys_sync.plugin import Delivery, Event, Outcome
from genesys_sync_handlers.webhook import Webhook

_handle = Webhook.handle


async def handle(self: Webhook, event: Event, delivery: Delivery) -> Outcome:
    """The same, as somebody else."""
    return await _handle(self, event, replace(delivery, id=f"dlv_{uuid4().hex}"))


Webhook.handle = handle
