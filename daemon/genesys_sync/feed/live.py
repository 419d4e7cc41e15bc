"""Live transcription on its way from the reader to the intake: messages wait here, bounded, and are worked off apart from the reader.

The reader only puts a message down. Finished utterances are made, held and redacted in a thread of their own, and only what is redacted
leaves it. What is held is written down about once a second, redacted at the worst, so that a kill does not lose it. When messages come
faster than that, guesses are let go first, since what they guess comes again as a result; what is finished is never let go: when there
is no room for it either, the socket is not read.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

import anyio
from anyio import to_thread

from genesys_sync.clock import Clock
from genesys_sync.events import Event, Topic, canonical_uuid
from genesys_sync.feed.facts import EARLIEST_AGE, LATEST_LEAD
from genesys_sync.feed.following import Following
from genesys_sync.feed.held import HeldBook
from genesys_sync.feed.intake import Intake
from genesys_sync.feed.utterances import Desk, Told
from genesys_sync.logs import get_logger
from genesys_sync.metrics import Metrics
from genesys_sync.redaction import Redactor
from genesys_sync.settings import FeedSettings
from genesys_sync.transcripts.live import read_message

QUEUE_BYTES: Final = 4 << 20
"""Of frames that wait; from half of it on guesses are let go."""
TICK: Final = 1.0
_SHARE: Final = 4
"""Writing down what is held rests for so many times as long as it took: a fifth of the thread's time at most."""
_BATCH: Final = 200
_EVENT_BYTES: Final = 600
_LAST_WORDS: Final = 3.0
_DAY: Final = 86400.0
"""Seconds. No stream is longer, so an offset beyond is none."""

_log = get_logger("feed.live")


class Live:
    """`take` from the reader, `run` beside it. `following` says which conversations are wanted."""

    def __init__(
        self,
        *,
        redactor: Redactor,
        intake: Intake,
        clock: Clock,
        settings: FeedSettings,
        metrics: Metrics,
        organization_id: str,
        held: HeldBook | None = None,
        known: Callable[[str], Awaitable[bool]] | None = None,
    ) -> None:
        """`held`: where what is held outlives the process; `known` says whether the ledger has an event of this id."""
        self.following = Following()
        self.done = anyio.Event()
        self._desk = Desk(redactor, hold=settings.live_hold.total_seconds(), most=settings.live_hold_utterances)
        self._intake = intake
        self._clock = clock
        self._metrics = metrics
        self._organization_id = organization_id
        self._waiting: deque[tuple[Mapping[str, Any], int]] = deque()
        self._bytes = 0
        self._wake = anyio.Event()
        self._room = anyio.Event()
        self._thread = anyio.CapacityLimiter(1)
        self._due = float("inf")
        self._withheld = False
        self._held = held or HeldBook(None)
        self._known = known
        self._uncommitted: list[Told] = []
        """Told, and perhaps not in the ledger yet."""
        self._working = anyio.Lock()
        """Held from the desk to the intake: what is written down in between would miss what is on its way."""
        self._unwritten = ""
        self._rests_until = 0.0

    @property
    def full(self) -> bool:
        """Reading must stop."""
        return self._bytes >= QUEUE_BYTES

    async def room(self) -> None:
        """Return when no longer full."""
        while self.full:
            await self._room.wait()

    def take(self, body: Mapping[str, Any], size: int) -> bool:
        """Put a message down; False for one that is none. Takes some microseconds."""
        conversation_id, communication_id = canonical_uuid(body.get("conversationId")), canonical_uuid(body.get("communicationId"))
        transcripts = body.get("transcripts") or []
        if conversation_id is None or communication_id is None or not isinstance(transcripts, list):
            return False
        status = body.get("status")
        ended = isinstance(status, Mapping) and status.get("status") == "SESSION_ENDED"
        self.following.heard(conversation_id, communication_id, self._clock.monotonic(), ended=ended)
        if not ended and not transcripts:
            return True
        if (
            not ended
            and self._bytes >= QUEUE_BYTES // 2
            and not any(isinstance(one, Mapping) and one.get("isFinal") for one in transcripts)
        ):
            self._metrics.live_guesses_dropped.inc(len(transcripts))
            return True
        self._waiting.append((body, size))
        self._bytes += size
        self._wake.set()
        return True

    async def run(self) -> None:
        """Tell what the process before held, and work until cancelled; then what is held is told, with what could still have been hidden
        hidden, and `done` is set."""
        try:
            await self._recover()
            async with anyio.create_task_group() as group:
                group.start_soon(self._tick)
                while True:
                    await self._wake.wait()
                    self._wake = anyio.Event()
                    await self._turn()
                    while self._waiting:
                        await self._turn()
        finally:
            with anyio.move_on_after(_LAST_WORDS, shield=True):
                while self._waiting:
                    await self._turn()
                self._tell(await to_thread.run_sync(self._desk.close, limiter=self._thread))
                await self._write_down(last=True)
            self.done.set()

    async def finished(self) -> None:
        """Return when nothing comes from here any more."""
        await self.done.wait()

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep(TICK)
            await self._write_down()
            if self._clock.monotonic() >= self._due:
                self._wake.set()

    async def _turn(self) -> None:
        """One batch, or what is due without one."""
        batch = [self._waiting[place] for place in range(min(_BATCH, len(self._waiting)))]
        now = self._clock.monotonic()
        async with self._working:
            told, self._due = await to_thread.run_sync(self._work, [body for body, _ in batch], now, limiter=self._thread)
            self._tell(told)
        for _, size in batch:
            self._waiting.popleft()
            self._bytes -= size
        if not self.full:
            self._room.set()
            self._room = anyio.Event()
        await self._intake.room()

    def _work(self, bodies: Sequence[Mapping[str, Any]], now: float) -> tuple[list[Told], float]:
        """In the thread, as nothing else of the desk."""
        messages = [message for message in map(read_message, bodies) if message is not None]
        return self._desk.work(messages, now), self._desk.due

    async def _recover(self) -> None:
        """What the process before held, and was killed before it told."""
        found = await to_thread.run_sync(self._held.load, limiter=self._thread)
        now, lost = self._clock.now(), []
        for one in found:
            event = utterance_finished(one, organization_id=self._organization_id, received=now)
            if self._known is None or not await self._known(event.id):
                lost.append(one)
                self._intake.add(event, _EVENT_BYTES + len(one.text or ""))
                self._metrics.live_utterances.labels("recovered").inc()
        self._uncommitted += lost
        self._desk.take_up(found, self._clock.monotonic())
        if lost:
            _log.warning("utterances_recovered", utterances=len(lost), action="none: the process before was killed while it held them")

    async def _write_down(self, *, last: bool = False) -> None:
        """What is held, and what was told and is not committed yet, outlives the process from now on; unless it did so a moment ago."""
        began = self._clock.monotonic()
        if not self._held.kept or (began < self._rests_until and not last):
            return
        async with self._working:
            if self._intake.empty:
                self._uncommitted.clear()
            told = list(self._uncommitted)
            error = await to_thread.run_sync(lambda: self._held.save([*told, *self._desk.at_worst()]), limiter=self._thread)
        if error and error != self._unwritten:
            _log.warning("held_utterances_not_written", error=error, action="a kill loses those that are held")
        self._unwritten = error
        now = self._clock.monotonic()
        self._rests_until = now + _SHARE * (now - began)

    def _tell(self, told: Sequence[Told]) -> None:
        now = self._clock.now()
        if self._held.kept:
            self._uncommitted += told
        for one in told:
            event = utterance_finished(one, organization_id=self._organization_id, received=now)
            self._intake.add(event, _EVENT_BYTES + len(one.text or ""))
            self._metrics.live_utterances.labels("finished" if one.text is not None else "withheld").inc()
            self._metrics.live_utterance_seconds.observe(max(0.0, (now - event.occurred_at).total_seconds()))
        withheld = any(one.text is None for one in told)
        if withheld and not self._withheld:
            _log.error("utterances_withheld", action="redaction failed: they are told without their text; report it, with the release")
        self._withheld = self._withheld or withheld


def utterance_finished(told: Told, *, organization_id: str, received: datetime) -> Event:
    """`utterance.finished`: one id for one utterance, however often it comes."""
    utterance, segment = told.utterance, told.utterance.segment
    began = utterance.started_at
    if began is None or not received - EARLIEST_AGE <= began <= received + LATEST_LEAD:
        began = received - timedelta(seconds=min(segment.end, _DAY))
    at = began + timedelta(seconds=min(segment.end, _DAY))
    body: dict[str, Any] = {
        "communicationId": utterance.communication_id,
        "utteranceId": utterance.utterance_id,
        "speaker": segment.speaker.label,
        "start": segment.start,
        "end": segment.end,
        "language": segment.language,
        "confidence": segment.confidence,
    }
    body |= {"withheld": True} if told.text is None else {"text": told.text, "hidden": dict(told.hidden)}
    return Event.of(
        Topic.UTTERANCE_FINISHED,
        occurred_at=at,
        organization_id=organization_id,
        conversation_id=utterance.conversation_id,
        state=f"{utterance.communication_id}:{utterance.utterance_id}",
        day=began.date(),
        body=body,
    )
