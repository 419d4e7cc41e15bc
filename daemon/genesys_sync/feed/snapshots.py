"""Conversation snapshots, and analytics detail records, folded into "this conversation has ended". Pure.

The platform repeats the whole conversation at each change, in no promised order, and says nowhere that it has ended: it has when
everybody in it has. Two shapes are in use. `v2.routing.queues.{id}.conversations` nests the media below each participant
(`calls[]`, `emails[]` …), each with a state of its own; `….conversations.calls` and its like are flat, one medium for each
participant. What has been seen to end stays ended, so that a snapshot which comes late opens nothing again, until one shows a part of it
that began after that end: then it has been taken up again, and ends again.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from genesys_sync.events import canonical_uuid
from genesys_sync.feed.facts import ConversationEnd, read_time
from genesys_sync.feed.frames import FaultCode
from genesys_sync.genesys.ends import left_at

_TOPIC: Final = re.compile(r"v2\.(?:routing\.queues|users)\.[^.]+\.conversations(?:\.([A-Za-z]+))?")
_MEDIA: Final[Mapping[str, str]] = {
    "calls": "voice",
    "callbacks": "callback",
    "chats": "chat",
    "cobrowsesessions": "cobrowse",
    "emails": "email",
    "internalmessages": "internalmessage",
    "messages": "message",
    "screenshares": "screenshare",
    "socialexpressions": "socialexpression",
    "videos": "video",
}
_OVER: Final = frozenset({"disconnected", "terminated"})
_RECORDING: Final = frozenset({"active", "paused"})
_STATES_OF_RECORDERS: Final = ("adhocState", "customerExperienceState", "agentExperienceState", "snippetState")
_QUEUES_LIMIT: Final = 50
_UNITS_LIMIT: Final = 1000
_EVERYTHING: Final = "*"


def snapshot_view(topic: str) -> str | None:
    """Which part of a conversation the topic's bodies show: `*` for all of it, `calls`, `emails` … for one medium; None when
    the topic's bodies are no conversation snapshots."""
    match = _TOPIC.fullmatch(topic)
    if match is None:
        return None
    suffix = (match[1] or _EVERYTHING).lower()
    return suffix if suffix == _EVERYTHING or suffix in _MEDIA else None


@dataclass(frozen=True, slots=True)
class Folded:
    """What one snapshot or record came to: an end (or none yet), and the faults found in it."""

    end: ConversationEnd | None = None
    faults: tuple[FaultCode, ...] = ()


_NOTHING: Final = Folded()
_NO_SHAPE: Final = Folded(faults=(FaultCode.EVENT_UNKNOWN_SHAPE,))


@dataclass(slots=True)
class _Conversation:
    """What is known so far. `units` are what can end: a participant, or each of its media; True when it has. The first of them began
    when it `started`, the last when it had `begun`."""

    units: dict[str, bool] = field(default_factory=dict)
    started: datetime | None = None
    begun: datetime | None = None
    ended: datetime | None = None
    media: set[str] = field(default_factory=set)
    queues: dict[str, None] = field(default_factory=dict)
    recording: bool = False

    def begin(self, moment: datetime) -> None:
        self.started = moment if self.started is None else min(self.started, moment)
        self.begun = moment if self.begun is None else max(self.begun, moment)

    def finish(self, moment: datetime) -> None:
        self.ended = moment if self.ended is None else max(self.ended, moment)

    def begun_after(self, moment: datetime) -> bool:
        return self.begun is not None and self.begun > moment

    def involve(self, queue_id: object) -> None:
        canonical = canonical_uuid(queue_id)
        if canonical is not None and len(self.queues) < _QUEUES_LIMIT:
            self.queues[canonical] = None

    def settle(self, unit: str, *, over: bool) -> None:
        if unit not in self.units and len(self.units) >= _UNITS_LIMIT:
            spent = next((name for name, done in self.units.items() if done), None)
            if spent is None:
                return
            del self.units[spent]
        self.units[unit] = self.units.get(unit, False) or over

    def end(self, conversation_id: str, *, received: datetime, recording: bool | None, left: datetime | None = None) -> ConversationEnd:
        ended = self.ended or received
        return ConversationEnd(
            conversation_id=conversation_id,
            started=min(self.started or received, ended),
            ended=ended,
            media=tuple(sorted(self.media)),
            queue_ids=tuple(self.queues),
            recording_seen=recording,
            left=left,
        )


class LiveConversations:
    """The conversations followed now. Bounded: the one heard of longest ago is forgotten first, which costs nothing but what
    its earlier snapshots alone had shown, because each snapshot is whole."""

    def __init__(self, *, live_limit: int = 20_000, ended_limit: int = 50_000) -> None:
        self._live: OrderedDict[str, _Conversation] = OrderedDict()
        self._ended: OrderedDict[str, datetime] = OrderedDict()
        self._live_limit = live_limit
        self._ended_limit = ended_limit

    def __len__(self) -> int:
        return len(self._live)

    def fold(self, view: str, body: Mapping[str, Any], *, received: datetime) -> Folded:
        """Take one snapshot in. Its result holds the end once, with the snapshot that completes it; repeats give nothing. A conversation
        that is taken up again ends once more."""
        conversation_id = canonical_uuid(body.get("id"))
        participants = body.get("participants")
        if conversation_id is None or not isinstance(participants, list):
            return _NO_SHAPE
        conversation = self._live.get(conversation_id) or _Conversation()
        clean = _Reader(conversation, received).snapshot(view, body, participants)
        ended = self._ended.get(conversation_id)
        if ended is not None and not conversation.begun_after(ended):
            self._ended.move_to_end(conversation_id)
            return _NOTHING
        self._ended.pop(conversation_id, None)
        faults = () if clean else (FaultCode.EVENT_TIME_INVALID,)
        if conversation.units and all(conversation.units.values()):
            # False is never said here: who comes late sees a last snapshot in which recording has already stopped.
            recording = conversation.recording or None
            end = conversation.end(conversation_id, received=received, recording=recording, left=conversation.ended)
            self._over(conversation_id, max(end.ended, conversation.begun or end.ended))
            return Folded(end, faults)
        self._live[conversation_id] = conversation
        self._live.move_to_end(conversation_id)
        if len(self._live) > self._live_limit:
            self._live.popitem(last=False)
        return Folded(faults=faults) if faults else _NOTHING

    def call(self, body: Mapping[str, Any]) -> str | None:
        """The id of the conversation of a snapshot that was just folded, where it is followed and somebody speaks in it."""
        conversation_id = canonical_uuid(body.get("id"))
        conversation = self._live.get(conversation_id) if conversation_id is not None else None
        return conversation_id if conversation is not None and "voice" in conversation.media else None

    def forget(self, conversation_id: str, ended: datetime) -> None:
        """The conversation has ended then and that is recorded: follow it no longer, and take what still comes of it for repeats. One
        that has been taken up again since is followed on."""
        live = self._live.get(conversation_id)
        if live is None or not live.begun_after(ended):
            self._over(conversation_id, max(ended, self._ended.get(conversation_id, ended)))

    def _over(self, conversation_id: str, ended: datetime) -> None:
        self._live.pop(conversation_id, None)
        self._ended[conversation_id] = ended
        self._ended.move_to_end(conversation_id)
        if len(self._ended) > self._ended_limit:
            self._ended.popitem(last=False)


class _Reader:
    """Reads one body into a conversation; `clean` turns False at a time that cannot be used."""

    def __init__(self, conversation: _Conversation, received: datetime) -> None:
        self._conversation = conversation
        self._received = received
        self._clean = True

    def snapshot(self, view: str, body: Mapping[str, Any], participants: list[Any]) -> bool:
        """False when a time had to be passed over."""
        self._see_recording(body)
        for index, participant in enumerate(participants):
            if isinstance(participant, dict):
                self._participant(view, f"{view}/{_name(participant, index)}", participant)
        return self._clean

    def _participant(self, view: str, unit: str, participant: Mapping[str, Any]) -> None:
        conversation = self._conversation
        conversation.involve(participant.get("queueId"))
        queue = participant.get("queue")
        conversation.involve(queue.get("id") if isinstance(queue, dict) else None)
        over = self._part(participant)
        sessions = list(_sessions(participant)) if view == _EVERYTHING else []
        for index, (medium, session) in enumerate(sessions):
            conversation.media.add(_MEDIA[medium])
            conversation.settle(f"{unit}/{medium}/{_name(session, index)}", over=self._part(session) or over)
        if sessions:
            conversation.units.pop(unit, None)
        else:
            if view != _EVERYTHING:
                conversation.media.add(_MEDIA[view])
            conversation.settle(unit, over=over)

    def _part(self, part: Mapping[str, Any]) -> bool:
        """Take in a participant or one of its media; True when it is over."""
        self._see_recording(part)
        for key in ("startTime", "connectedTime"):
            if (moment := self._time(part, key)) is not None:
                self._conversation.begin(moment)
        over = part.get("state") in _OVER if isinstance(part.get("state"), str) else False
        for key in ("endTime", "disconnectedTime"):
            if part.get(key) is not None:
                over = True
                if (moment := self._time(part, key)) is not None:
                    self._conversation.finish(moment)
        return over

    def _time(self, part: Mapping[str, Any], key: str) -> datetime | None:
        value = part.get(key)
        if value is None:
            return None
        moment = read_time(value, received=self._received)
        if moment is None:
            self._clean = False
        return moment

    def _see_recording(self, part: Mapping[str, Any]) -> None:
        recorders = part.get("recordersState")
        states = [part.get("recordingState"), part.get("screenRecordingState")]
        if isinstance(recorders, dict):
            states.extend(recorders.get(name) for name in _STATES_OF_RECORDERS)
        active = any(isinstance(state, str) and state.lower() in _RECORDING for state in states)
        if active or part.get("recording") is True or isinstance(part.get("recordingId"), str):
            self._conversation.recording = True


def from_analytics(record: Mapping[str, Any], *, received: datetime) -> Folded:
    """The end of a conversation by its analytics detail record; nothing while the record has no end."""
    conversation_id = canonical_uuid(record.get("conversationId"))
    if conversation_id is None:
        return _NO_SHAPE
    if record.get("conversationEnd") is None:
        return _NOTHING
    conversation = _Conversation()
    ended = read_time(record["conversationEnd"], received=received)
    started = read_time(record.get("conversationStart"), received=received)
    if ended is not None:
        conversation.finish(ended)
    if started is not None:
        conversation.begin(started)
    elif ended is not None:
        conversation.begin(ended)
    flags: list[object] = []
    for participant in _objects(record.get("participants")):
        if participant.get("screenRecording") is True:
            flags.append(True)
        for session in _objects(participant.get("sessions")):
            medium = session.get("mediaType")
            if isinstance(medium, str) and medium and len(medium) <= 40:
                conversation.media.add(medium.lower())
            flags.append(session.get("recording"))
            for segment in _objects(session.get("segments")):
                conversation.involve(segment.get("queueId"))
    faults = () if started is not None and ended is not None else (FaultCode.EVENT_TIME_INVALID,)
    left = None if ended is None else left_at(record)
    return Folded(conversation.end(conversation_id, received=received, recording=_recorded(flags), left=left), faults)


def _recorded(flags: list[object]) -> bool | None:
    if any(flag is True for flag in flags):
        return True
    return False if flags and all(flag is False for flag in flags) else None


def _sessions(participant: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    for key, value in participant.items():
        if key.lower() in _MEDIA:
            for session in _objects(value):
                yield key.lower(), session


def _objects(value: object) -> Iterator[Mapping[str, Any]]:
    if isinstance(value, list):
        yield from (item for item in value if isinstance(item, dict))


def _name(part: Mapping[str, Any], index: int) -> str:
    """The part's id; its place where it has none. Ids are clipped: they are kept for as long as the conversation is."""
    value = part.get("id")
    return value[:64] if isinstance(value, str) and value else f"#{index}"
