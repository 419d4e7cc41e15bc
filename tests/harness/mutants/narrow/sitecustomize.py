"""Control M07: of the wanted topics only the first is subscribed to, and nobody is told. I1 must see what that costs."""

from typing import Any

from genesys_sync.feed import subscriptions

_wanted = subscriptions.wanted_topics


def wanted_topics(*queues: Any, **chosen: Any) -> subscriptions.Wanted:
    """The first alone."""
    return subscriptions.Wanted(_wanted(*queues, **chosen).topics[:1])


subscriptions.wanted_topics = wanted_topics
