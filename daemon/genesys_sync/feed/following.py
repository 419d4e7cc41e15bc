"""Which conversations' live transcription is wanted now: from the first sign of a call until what was said last has had time to come. Pure.

What is said late is sent late: batches come up to half a minute after the speech, so a topic outlives its call for a while.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

GRACE: Final = 90.0
"""Seconds after the call's end for which what is still under way is waited for …"""
GRACE_TOLD: Final = 5.0
"""… and after the platform has said of every stream of it that it is over."""
GRACE_ALONE: Final = 120.0
"""The streams are over and the call is not, as far as we know: another leg may begin, or its end was missed."""
STALE_AFTER: Final = 7200.0
"""Nothing was seen or heard of it for so long: its end was missed."""
CONVERSATIONS_MOST: Final = 20_000
_OVER_MOST: Final = 20_000
_STREAMS_MOST: Final = 50
_TOPIC: Final = re.compile(r"v2\.conversations\.[^.]+\.transcription")


def live_topic(conversation_id: str) -> str:
    """The topic of its live transcription."""
    return f"v2.conversations.{conversation_id}.transcription"


def is_live_topic(topic: str) -> bool:
    return _TOPIC.fullmatch(topic) is not None


@dataclass(slots=True)
class _Call:
    sign: float
    over: bool = False
    leave_at: float | None = None
    streams: dict[str, bool] = field(default_factory=dict)
    """By communication: whether it is over."""

    @property
    def all_told(self) -> bool:
        return bool(self.streams) and all(self.streams.values())


class Following:
    """Times are monotonic seconds. `version` moves with each conversation that came or is to go."""

    def __init__(self) -> None:
        self.version = 0
        self._calls: OrderedDict[str, _Call] = OrderedDict()
        self._over: OrderedDict[str, None] = OrderedDict()

    def __len__(self) -> int:
        return len(self._calls)

    def seen(self, conversation_id: str, now: float) -> None:
        """A snapshot shows it as a call that goes on, perhaps again."""
        call = self._calls.get(conversation_id) or self._begin(conversation_id, now)
        call.sign = now
        call.over, call.leave_at = False, None

    def ended(self, conversation_id: str, now: float) -> None:
        """A snapshot shows that everybody has left it."""
        call = self._calls.get(conversation_id)
        if call is not None and not call.over:
            call.over = True
            call.leave_at = now + (GRACE_TOLD if call.all_told else GRACE)

    def heard(self, conversation_id: str, communication_id: str, now: float, *, ended: bool) -> None:
        """A message came on its topic. A conversation that is not known and did not end before is one that an earlier process followed."""
        call = self._calls.get(conversation_id)
        if call is None:
            if conversation_id in self._over:
                return
            call = self._begin(conversation_id, now)
        call.sign = now
        if communication_id in call.streams or len(call.streams) < _STREAMS_MOST:
            call.streams[communication_id] = ended
        if call.over:
            if call.all_told:
                call.leave_at = min(call.leave_at or now, now) + GRACE_TOLD
        else:
            call.leave_at = now + GRACE_ALONE if call.all_told else None

    def wanted(self, now: float) -> Sequence[str]:
        """The conversations, the one that was first seen first; those whose time is over are no more among them."""
        gone = [name for name, call in self._calls.items() if now >= (call.leave_at or call.sign + STALE_AFTER)]
        for name in gone:
            self._leave(name)
        return tuple(self._calls)

    def _begin(self, conversation_id: str, now: float) -> _Call:
        call = self._calls[conversation_id] = _Call(sign=now)
        self._over.pop(conversation_id, None)
        self.version += 1
        if len(self._calls) > CONVERSATIONS_MOST:
            self._leave(next(iter(self._calls)))
        return call

    def _leave(self, conversation_id: str) -> None:
        del self._calls[conversation_id]
        self._over[conversation_id] = None
        self.version += 1
        if len(self._over) > _OVER_MOST:
            self._over.popitem(last=False)
