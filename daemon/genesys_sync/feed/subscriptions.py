"""Which topics the channel is to carry, and what the platform made of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from genesys_sync.feed.platform import FeedPlatform, QueueView, TopicView
from genesys_sync.logs import get_logger
from genesys_sync.metrics import Metrics
from genesys_sync.settings import FeedSettings

TOPICS_LIMIT: Final = 1000
_ALL: Final = "*"

_log = get_logger("feed.subscriptions")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The topics to subscribe to.

    left_out   how many more there would be, were a channel not limited to 1,000
    unmatched  names in `feed.queues` that no queue has
    """

    topics: tuple[str, ...]
    left_out: int = 0
    unmatched: tuple[str, ...] = ()


def wanted_topics(queues: Iterable[QueueView], *, chosen: Sequence[str], extra: Sequence[str]) -> Wanted:
    """`extra` as it stands, then the conversation topic of each queue that `chosen` names by id or name (`*`: of all), in order
    of their ids, so that the same organisation always gives the same topics."""
    listed = sorted(queues, key=lambda queue: queue.id)
    picked = [queue for queue in listed if _ALL in chosen or queue.id in chosen or queue.name in chosen]
    topics = list(dict.fromkeys([*extra, *(f"v2.routing.queues.{queue.id}.conversations" for queue in picked)]))
    known = {_ALL, *(queue.id for queue in listed), *(queue.name for queue in listed)}
    return Wanted(tuple(topics[:TOPICS_LIMIT]), max(0, len(topics) - TOPICS_LIMIT), tuple(name for name in chosen if name not in known))


class Subscriptions:
    """Keeps one channel's topics as the settings and the organisation's queues want them."""

    def __init__(self, *, platform: FeedPlatform, settings: FeedSettings, metrics: Metrics) -> None:
        self._platform = platform
        self._settings = settings
        self._metrics = metrics
        self._applied: tuple[str, tuple[str, ...]] | None = None
        self._told: set[tuple[str, ...]] = set()
        self.permitted = 0
        self.rejected = 0
        self.left_out = 0

    async def apply(self, channel_id: str, *, anew: bool = False) -> None:
        """List the queues, and set the channel's topics if they are not yet these, or `anew` in any case. Afterwards `permitted`,
        `rejected` and `left_out` are true. Raises what the platform raises."""
        wanted = wanted_topics(await self._platform.queues(), chosen=self._settings.queues, extra=self._settings.topics)
        self._tell(wanted)
        if not anew and self._applied == (channel_id, wanted.topics):
            return
        states = await self._platform.channels.subscribe(channel_id, wanted.topics) if wanted.topics else []
        self._applied = (channel_id, wanted.topics)
        self.permitted = sum(state.permitted for state in states)
        self.rejected = len(states) - self.permitted
        for label, count in (("permitted", self.permitted), ("rejected", self.rejected), ("left_out", self.left_out)):
            self._metrics.feed_topics.labels(label).set(count)
        self._tell_rejected([state for state in states if not state.permitted])
        _log.info("subscribed", permitted=self.permitted, rejected=self.rejected, left_out=self.left_out)

    def _tell(self, wanted: Wanted) -> None:
        if wanted.left_out and wanted.left_out != self.left_out:
            _log.error(
                "topics_left_out", left_out=wanted.left_out, limit=TOPICS_LIMIT, action="their calls are found by reconciliation only"
            )
        self.left_out = wanted.left_out
        if wanted.unmatched and self._first(("unmatched", *wanted.unmatched)):
            _log.warning("queues_unknown", names=list(wanted.unmatched), want="ids or names of queues that this client may see")
        if not wanted.topics and self._first(("empty",)):
            _log.error("nothing_to_subscribe", action="looked for again; set feed.queues, feed.topics, or grant routing:queue:view")

    def _tell_rejected(self, states: Sequence[TopicView]) -> None:
        """Each set of missing permissions once, not each topic: there may be a thousand."""
        for missing in sorted({tuple(sorted(state.missing_permissions)) for state in states}):
            if self._first(("rejected", *missing)):
                topics = [state.id for state in states if tuple(sorted(state.missing_permissions)) == missing]
                _log.error("topics_rejected", count=len(topics), example=topics[0], missing_permissions=list(missing) or ["not told"])

    def _first(self, key: tuple[str, ...]) -> bool:
        if key in self._told or len(self._told) >= TOPICS_LIMIT:
            return False
        self._told.add(key)
        return True
