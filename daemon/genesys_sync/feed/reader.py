"""From frames to events in hand. The connection calls it for each frame, so it does no I/O and takes well under a millisecond."""

from __future__ import annotations

import hashlib
import re
from typing import Final

from genesys_sync.clock import Clock
from genesys_sync.events import Origin, Topic
from genesys_sync.feed.facts import conversation_ended, platform_unknown
from genesys_sync.feed.following import Following, is_live_topic
from genesys_sync.feed.frames import BadFrame, FaultCode, Frame, TopicEvent, kind_of
from genesys_sync.feed.intake import Intake
from genesys_sync.feed.kept import KeptFrames, shape_of
from genesys_sync.feed.live import Live
from genesys_sync.feed.snapshots import Folded, LiveConversations, snapshot_view
from genesys_sync.logs import get_logger
from genesys_sync.metrics import Metrics
from genesys_sync.routing import Router

_IDS: Final = re.compile(r"[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_KINDS_LIMIT: Final = 1000

_log = get_logger("feed")


class Reader:
    """Folds snapshots and hands what follows from them to the intake.

    What we do not know is counted, always; recorded as `platform.unknown` once for each kind of topic, or each time when a
    handler wants that topic; and logged once, when the frame itself is kept for people, apart from the ledger. A platform that
    changes its shapes thus neither passes unseen nor fills the ledger.
    """

    def __init__(
        self,
        *,
        organization_id: str,
        intake: Intake,
        conversations: LiveConversations,
        router: Router,
        clock: Clock,
        metrics: Metrics,
        kept: KeptFrames,
        live: Live | None = None,
    ) -> None:
        self._organization_id = organization_id
        self._intake = intake
        self._conversations = conversations
        self._router = router
        self._clock = clock
        self._metrics = metrics
        self._kept = kept
        self._live = live
        self._told: set[tuple[str, str]] = set()
        self.last_frame: float | None = None

    @property
    def full(self) -> bool:
        return self._intake.full or (self._live is not None and self._live.full)

    async def room(self) -> None:
        while self.full:
            await self._intake.room()
            if self._live is not None:
                await self._live.room()

    def take(self, frame: Frame, data: bytes) -> None:
        """One frame. Afterwards everything that follows from it is in the intake; that it was heard, the caller tells the intake."""
        if isinstance(frame, TopicEvent):
            kind = self._event(frame, data)
        elif isinstance(frame, BadFrame):
            kind = self._bad(frame, data)
        else:
            kind = kind_of(frame)
        self._metrics.feed_frames.labels(kind).inc()
        self._metrics.feed_bytes.inc(len(data))
        self.last_frame = self._clock.monotonic()

    def _event(self, frame: TopicEvent, data: bytes) -> str:
        view = snapshot_view(frame.topic)
        if view is None:
            if self._live is not None and is_live_topic(frame.topic) and self._live.take(frame.body, len(data)):
                return "transcription"
            self._unknown(frame.topic, frame.version, data, FaultCode.EVENT_UNKNOWN_SHAPE)
            return "unknown_topic"
        folded = self._conversations.fold(view, frame.body, received=self._clock.now())
        self._metrics.feed_live_conversations.set(len(self._conversations))
        if self._live is not None:
            self._follow(self._live.following, frame, folded)
        if folded.end is not None:
            event = conversation_ended(folded.end, organization_id=self._organization_id, origin=Origin.LIVE)
            self._intake.add(event, len(data), left=folded.end.left)
        for fault in folded.faults:
            if fault is FaultCode.EVENT_UNKNOWN_SHAPE:
                self._unknown(frame.topic, frame.version, data, fault)
            elif self._first(fault, "", data, frame.topic):
                _log.warning(fault, where="snapshot", want="ISO 8601 with a zone, of these years", action="the receive time is used")
        return folded.faults[0].lower() if folded.faults else "snapshot"

    def _follow(self, following: Following, frame: TopicEvent, folded: Folded) -> None:
        if folded.end is not None:
            following.ended(folded.end.conversation_id, self._clock.monotonic())
        elif (conversation_id := self._conversations.call(frame.body)) is not None:
            following.seen(conversation_id, self._clock.monotonic())

    def _bad(self, frame: BadFrame, data: bytes) -> str:
        if frame.code is FaultCode.EVENT_UNKNOWN_SHAPE and frame.topic:
            self._unknown(frame.topic, frame.version, data, frame.code)
        elif self._first(frame.code, "", data):  # not for each size: damaged frames would use up what may still be told of unknown topics
            _log.warning(frame.code, where="frame", got=frame.got, want=frame.want, action="counted and passed over")
        return kind_of(frame)

    def _unknown(self, topic: str, version: str, data: bytes, fault: FaultCode) -> None:
        kind = _IDS.sub("{id}", topic)
        first = self._first(fault, kind, data, topic)
        if first:
            _log.warning(fault, where="event", topic=kind, version=version, action="counted; its kind is recorded as platform.unknown")
        if first or self._router.handlers_for(Topic.PLATFORM_UNKNOWN):
            event = platform_unknown(
                topic=topic, version=version, frame=data, organization_id=self._organization_id, received=self._clock.now()
            )
            self._intake.add(event, len(data))

    def _first(self, fault: FaultCode, kind: str, data: bytes, topic: str = "") -> bool:
        """True for the first of its kind, which is told of, and kept: of what may hold speech, its shape alone."""
        key = (fault, kind)
        if key in self._told or len(self._told) >= _KINDS_LIMIT:
            return False
        self._told.add(key)
        may_be_speech = is_live_topic(topic) or (not topic and (self._live is not None or b"transcription" in data))
        self._kept.keep(f"{fault}-{hashlib.blake2b(data, digest_size=8).hexdigest()}", shape_of(data) if may_be_speech else data)
        return True
