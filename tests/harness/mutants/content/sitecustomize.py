"""Control M11: a receiver that answers 410 has been told. I6 must see that nobody was."""

from genesys_sync.plugin import Delivery, Done, HttpReply, Outcome
from genesys_sync_handlers.webhook import Webhook

_judge = Webhook._judge


def judge(self: Webhook, reply: HttpReply, delivery: Delivery) -> Outcome:
    """Gone is good enough."""
    return Done() if reply.status == 410 else _judge(self, reply, delivery)


Webhook._judge = judge
