"""Which topics the channels are to carry, how they are shared out among shards, and what the platform made of them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from genesys_sync.errors import PermanentError, ReasonCode, TransientError
from genesys_sync.feed.book import SHARDS_MOST
from genesys_sync.feed.following import live_topic
from genesys_sync.feed.platform import FeedPlatform, QueueView, TopicView
from genesys_sync.logs import get_logger
from genesys_sync.metrics import Metrics
from genesys_sync.settings import FeedSettings

TOPICS_LIMIT: Final = 1000
"""What the platform counts for one channel; a joined topic counts as one."""
LIVE_PERMISSION: Final = "conversation:transcription:view"
RECHECK: Final = 900.0
"""Seconds until live topics that were refused are asked for again."""
SPARE_FOR: Final = 3600.0
_JOINED_LIMIT: Final = 200
_ALL: Final = "*"
_IDS: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_QUEUE: Final = re.compile(r"v2\.routing\.queues\.([0-9a-f\-]{36})\b.*\bconversations")

_log = get_logger("feed.subscriptions")


@dataclass(frozen=True, slots=True)
class Wanted:
    """The topics to subscribe to. unmatched: names in `feed.queues` that no queue has."""

    topics: tuple[str, ...]
    unmatched: tuple[str, ...] = ()


def wanted_topics(queues: Iterable[QueueView], *, chosen: Sequence[str], extra: Sequence[str]) -> Wanted:
    """`extra` as it stands, then the conversation topic of each queue that `chosen` names by id or name (`*`: of all), in order
    of their ids, so that the same organisation always gives the same topics."""
    listed = sorted(queues, key=lambda queue: queue.id)
    ids = {name.lower() for name in chosen}
    picked = [queue for queue in listed if _ALL in chosen or queue.id in ids or queue.name in chosen]
    topics = list(dict.fromkeys([*extra, *(f"v2.routing.queues.{queue.id}.conversations" for queue in picked)]))
    known = {_ALL, *(queue.id for queue in listed), *(queue.name for queue in listed)}
    return Wanted(tuple(topics), tuple(name for name in chosen if known.isdisjoint((name, name.lower()))))


def joined(topics: Sequence[str], *, apart: Collection[str] = ()) -> tuple[str, ...]:
    """Topics that differ in their last word only as one, `prefix?word&word`, of fewer than 200 characters; all others, and those
    whose prefix is in `apart`, as they are. The topics of queues differ in the middle, and stay as they are."""
    rows: dict[str, list[str]] = {}
    for topic in topics:
        prefix, _, word = topic.rpartition(".")
        alone = "?" in topic or not prefix or prefix in apart
        rows.setdefault(topic if alone else prefix, []).append("" if alone else word)
    result: list[str] = []
    for prefix, words in rows.items():
        taken: list[str] = []
        for word in words:
            if taken and len("&".join([prefix, *taken, word])) >= _JOINED_LIMIT:
                result.append(_join(prefix, taken))
                taken = []
            taken.append(word)
        result.append(_join(prefix, taken))
    return tuple(result)


def _join(prefix: str, words: Sequence[str]) -> str:
    if len(words) > 1:
        return f"{prefix}?{'&'.join(words)}"
    return f"{prefix}.{words[0]}" if words[0] else prefix


def shared_out(
    topics: Sequence[str], before: Mapping[int, Sequence[str]], taken: Mapping[int, Sequence[str]] | None = None
) -> tuple[dict[int, tuple[str, ...]], int]:
    """Topics by shard, at most 1,000 each with what is `taken` there already, and how many are left out because there is no room in any.
    What a shard had it keeps where there is room, so that a new queue moves nothing from one connection to another. Shard 0 is always
    there, others while they have topics."""
    wanted = set(topics)
    rooms = {shard: TOPICS_LIMIT - len((taken or {}).get(shard, ())) for shard in range(SHARDS_MOST)}
    rows = {shard: [topic for topic in before.get(shard, ()) if topic in wanted][:most] for shard, most in rooms.items()}
    placed = {topic for row in rows.values() for topic in row}
    fresh = [topic for topic in topics if topic not in placed]
    for shard, row in rows.items():
        room = rooms[shard] - len(row)
        row.extend(fresh[:room])
        fresh = fresh[room:]
    return {shard: tuple(row) for shard, row in rows.items() if row or shard == 0}, len(fresh)


@dataclass(frozen=True, slots=True)
class _Granted:
    """What the platform made of one shard's topics."""

    permitted: int
    rejected: int
    queues: frozenset[str]


def _queues(topics: Iterable[str]) -> frozenset[str]:
    return frozenset(found[1] for topic in topics if (found := _QUEUE.match(topic.lower())))


class LiveTopics:
    """The topics of conversations, by shard, in the places that the lasting topics leave free.

    left_out  conversations for which there is no place
    refused   the permission that is missing, while that is so; asked again, with one topic, at each RECHECK
    """

    def __init__(self, metrics: Metrics) -> None:
        self.rows: dict[int, tuple[str, ...]] = {}
        self.left_out = 0
        self.refused: tuple[str, ...] = ()
        self.version = 0
        self._metrics = metrics
        self._granted: dict[int, frozenset[str]] = {}
        self._unfit: set[str] = set()
        self._spare: dict[int, float] = {}
        self._ask_at: float | None = None

    @property
    def carried(self) -> int:
        """Topics that the platform has granted."""
        return sum(len(topics) for topics in self._granted.values())

    def carried_by(self, shard: int) -> int:
        return len(self._granted.get(shard, ()))

    def place(self, conversations: Sequence[str], taken: Mapping[int, Sequence[str]], now: float) -> frozenset[int]:
        """See `Subscriptions.follow`."""
        topics = [topic for topic in map(live_topic, conversations) if topic not in self._unfit]
        self._unfit.intersection_update(map(live_topic, conversations))
        if self.refused:
            self._ask_at = now + RECHECK if self._ask_at is None else self._ask_at
            topics = topics[:1] if now >= self._ask_at else []
        before = self.rows
        rows, left_out = shared_out(topics, before, taken)
        self.rows = {shard: row for shard, row in rows.items() if row} | self._kept_open(rows, taken, now)
        self._granted = {shard: granted & frozenset(self.rows.get(shard, ())) for shard, granted in self._granted.items()}
        if left_out and not self.left_out:
            _log.error(
                "live_topics_left_out", left_out=left_out, limit=TOPICS_LIMIT * SHARDS_MOST, action="these calls are not followed live"
            )
        self.left_out = left_out
        self._show()
        return frozenset(shard for shard in {*before, *self.rows} if before.get(shard, ()) != self.rows.get(shard, ()))

    def answered(self, shard: int, states: Mapping[str, bool], missing: tuple[str, ...]) -> bool:
        """What the platform made of the shard's live topics. True where that says something new of the permission."""
        self._granted[shard] = frozenset(topic for topic, permitted in states.items() if permitted)
        news = False
        if missing:
            news = self.refuse(missing)
        elif self._granted[shard] and self.refused:
            self.refused, self._ask_at, news = (), None, True
            _log.info("live_topics_permitted")
        elif len(self._unfit) < TOPICS_LIMIT * SHARDS_MOST:
            self._unfit.update(topic for topic, permitted in states.items() if not permitted)
        self.version += 1
        self._show()
        return news

    def refuse(self, missing: tuple[str, ...]) -> bool:
        """The platform grants none of them. True, and told, where that is new."""
        news, self.refused, self._ask_at = missing != self.refused, missing, None
        self.version += 1
        if news:
            _log.error("live_topics_refused", missing_permissions=list(missing), action="grant it; asked again every quarter of an hour")
        return news

    def _kept_open(self, rows: Mapping[int, Sequence[str]], taken: Mapping[int, Sequence[str]], now: float) -> dict[int, tuple[str, ...]]:
        """A shard of live topics alone that has none left keeps its last one for an hour: channels that came and went with the load
        would use up those that may be made."""
        empty = {shard for shard, row in self.rows.items() if not rows.get(shard) and shard not in taken}
        self._spare = {shard: self._spare.get(shard, now + SPARE_FOR) for shard in empty}
        return {shard: self.rows[shard][:1] for shard, until in self._spare.items() if now < until and not self.refused}

    def _show(self) -> None:
        for label, count in (("carried", self.carried), ("left_out", self.left_out)):
            self._metrics.live_topics.labels(label).set(count)


class Subscriptions:
    """Keeps the shards' topics as the settings and the organisation's queues want them."""

    def __init__(self, *, platform: FeedPlatform, settings: FeedSettings, metrics: Metrics) -> None:
        self._platform = platform
        self._settings = settings
        self._metrics = metrics
        self._rows: dict[int, tuple[str, ...]] = {0: ()}
        self._granted: dict[int, _Granted] = {}
        self._needs: Mapping[str, Sequence[str]] | None = None
        self._apart: set[str] = set()
        self._told: set[tuple[str, ...]] = set()
        self.left_out = 0
        self.live = LiveTopics(metrics)

    @property
    def permitted(self) -> int:
        return sum(granted.permitted for granted in self._granted.values())

    @property
    def rejected(self) -> int:
        return sum(granted.rejected for granted in self._granted.values())

    @property
    def shards(self) -> int:
        return len(self.numbers)

    @property
    def wanted(self) -> int:
        """Topics, over all shards; 0 while the organisation shows no queue that is to be followed."""
        return sum(len(topics) for topics in self._rows.values())

    @property
    def numbers(self) -> tuple[int, ...]:
        """The shards that are to run."""
        return tuple(sorted({*self._rows, *self.live.rows}))

    def topics_of(self, shard: int) -> tuple[str, ...]:
        """What the shard is to carry now; nothing once it is to run no longer."""
        return self.lasting(shard) + self.live.rows.get(shard, ())

    def lasting(self, shard: int) -> tuple[str, ...]:
        """Those of them that stay: all but the live topics, which come and go with the calls."""
        return self._rows.get(shard, ())

    def bears(self, shard: int) -> bool:
        """Whether ends of conversations come this way, so that what it misses is a gap. A shard of live topics alone bears none."""
        return shard in self._rows

    def follow(self, conversations: Sequence[str], now: float) -> frozenset[int]:
        """The live topics are to be those of these conversations, the first ones first where there is no room for all. Returns the shards
        whose topics have changed. `now` is monotonic."""
        return self.live.place(conversations, self._rows, now)

    def carriers(self, queue_ids: Collection[str]) -> list[int]:
        """The shards to which a conversation of these queues must have come."""
        return [shard for shard, granted in self._granted.items() if not granted.queues.isdisjoint(queue_ids)]

    async def look(self) -> None:
        """List the queues and share the topics out. Afterwards `numbers`, `topics_of` and `left_out` are true. Raises what the
        platform raises."""
        # whoever follows no queue needs no permission to list them
        queues = await self._platform.queues() if self._settings.queues else ()
        wanted = wanted_topics(queues, chosen=self._settings.queues, extra=self._settings.topics)
        if self._needs is None:
            self._needs = await self._asked_for()
        topics = wanted.topics if len(wanted.topics) <= TOPICS_LIMIT else joined(wanted.topics, apart=self._apart)
        self._rows, left_out = shared_out(topics, self._rows)
        self._granted = {shard: granted for shard, granted in self._granted.items() if shard in self._rows}
        self._tell(wanted, left_out)
        self._show()

    async def apply(self, shard: int, channel_id: str) -> int:
        """Set the channel's topics to those of the shard. Returns how many are permitted; afterwards `permitted` and `rejected` are
        true. Raises what the platform raises."""
        lasting, live = self.lasting(shard), self.live.rows.get(shard, ())
        states = await self._subscribed(channel_id, lasting, live)
        calls = set(live)
        by_call = [state for state in states if state.id in calls]
        states = [state for state in states if state.id not in calls]
        news = self.live.answered(shard, {state.id: state.permitted for state in by_call}, self._missing_live(by_call))
        before = self._granted.get(shard)
        self._grant(shard, [state.id for state in states if state.permitted], len(lasting))
        rejected = [state for state in states if not state.permitted]
        self._apart.update(state.id.partition("?")[0] for state in rejected if "?" in state.id)
        self._tell_rejected(rejected)
        tell = _log.debug if live and not news and before == self._granted[shard] else _log.info
        tell("subscribed", shard=shard, permitted=self.permitted, rejected=self.rejected, left_out=self.left_out, live=self.live.carried)
        return self._granted[shard].permitted + self.live.carried_by(shard)

    async def _subscribed(self, channel_id: str, lasting: tuple[str, ...], live: tuple[str, ...]) -> Sequence[TopicView]:
        """Live topics are never what keeps the others from being set: where the request as a whole is refused, it is made without them."""
        if not lasting and not live:
            return []
        try:
            return await self._platform.channels.subscribe(channel_id, (*lasting, *live))
        except PermanentError as error:
            if not live or error.code in (ReasonCode.NOT_FOUND, ReasonCode.UNAUTHORIZED):
                raise
            self.live.refuse(self._needed_for(live[0]))
            return await self._platform.channels.subscribe(channel_id, lasting) if lasting else []

    def _missing_live(self, states: Sequence[TopicView]) -> tuple[str, ...]:
        """The permission for want of which live topics are refused; none where only some of them are, each for a reason of its own."""
        rejected = [state for state in states if not state.permitted]
        told = sorted({name for state in rejected for name in state.missing_permissions})
        return tuple(told) or (self._needed_for(rejected[0].id) if rejected and len(rejected) == len(states) else ())

    def _needed_for(self, topic: str) -> tuple[str, ...]:
        return tuple(sorted((self._needs or {}).get(_IDS.sub("{id}", topic), ()))) or (LIVE_PERMISSION,)

    def taken_up(self, shard: int, *, refused: int) -> None:
        """An earlier process set the shard's topics on a channel that is used again; so many were refused, it is not known which."""
        topics = self.lasting(shard)
        self._granted[shard] = _Granted(len(topics) - refused, refused, _queues(topics) if not refused else frozenset())
        self._show()

    def refused(self, shard: int) -> int:
        """How many of the shard's topics the platform did not grant."""
        return self._granted[shard].rejected if shard in self._granted else 0

    def _grant(self, shard: int, permitted: Sequence[str], asked: int) -> None:
        self._granted[shard] = _Granted(len(permitted), asked - len(permitted), _queues(permitted))
        self._show()

    def _show(self) -> None:
        for label, count in (("permitted", self.permitted), ("rejected", self.rejected), ("left_out", self.left_out)):
            self._metrics.feed_topics.labels(label).set(count)

    async def _asked_for(self) -> Mapping[str, Sequence[str]]:
        """What each kind of topic asks for, so that a refusal which does not name its permission can be explained."""
        try:
            return await self._platform.channels.requirements()
        except (TransientError, PermanentError) as error:
            _log.info("topics_not_listed", reason=error.reason, action="a refused topic may be reported without its permission")
            return {}

    def _tell(self, wanted: Wanted, left_out: int) -> None:
        if left_out and left_out != self.left_out:
            _log.error(
                "topics_left_out",
                left_out=left_out,
                limit=TOPICS_LIMIT * SHARDS_MOST,
                action="their calls are found by reconciliation only",
            )
        self.left_out = left_out
        if wanted.unmatched and self._first(("unmatched", *wanted.unmatched)):
            _log.warning("queues_unknown", names=list(wanted.unmatched), want="ids or names of queues that this client may see")
        if not wanted.topics and self._first(("empty",)):
            _log.error("nothing_to_subscribe", action="looked for again; set feed.queues, feed.topics, or grant routing:queue:view")

    def _tell_rejected(self, states: Sequence[TopicView]) -> None:
        """Each set of missing permissions once, not each topic: there may be a thousand."""
        kinds: dict[tuple[str, ...], list[str]] = {}
        for state in states:
            kinds.setdefault(self._missing(state), []).append(state.id)
        for missing, topics in sorted(kinds.items()):
            if self._first(("rejected", *missing)):
                _log.error("topics_rejected", count=len(topics), example=topics[0], missing_permissions=list(missing) or ["not told"])

    def _missing(self, state: TopicView) -> tuple[str, ...]:
        told = sorted(state.missing_permissions)
        return tuple(told or sorted((self._needs or {}).get(_IDS.sub("{id}", state.id), ())))

    def _first(self, key: tuple[str, ...]) -> bool:
        if key in self._told or len(self._told) >= TOPICS_LIMIT:
            return False
        self._told.add(key)
        return True
