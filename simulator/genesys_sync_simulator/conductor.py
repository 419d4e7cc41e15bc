"""Plays the world: as its moments come, frames go out, truth lines are written, faults fire."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from anyio import to_thread

from genesys_sync_simulator import snapshots
from genesys_sync_simulator.clock import iso
from genesys_sync_simulator.digital.body import written
from genesys_sync_simulator.digital.content import message_count
from genesys_sync_simulator.media import MediaObject
from genesys_sync_simulator.plan import CallPlan, RecordingPlan, spoils
from genesys_sync_simulator.platform import Platform, encoded
from genesys_sync_simulator.scenario import Moment
from genesys_sync_simulator.speech import live
from genesys_sync_simulator.speech import truth as speech_truth
from genesys_sync_simulator.speech.plan import TranscriptPlan
from genesys_sync_simulator.world import file_state

Frame = tuple[str, dict[str, Any]]
"""Topic and body of one notification."""

_LOOK_EVERY = 0.05


@dataclass(order=True, slots=True)
class _Due:
    """One thing to do at an offset. `rank` decides among those of one offset: created before ended before listed."""

    offset: float
    rank: int
    index: int
    kind: str = field(compare=False)
    call: CallPlan | None = field(compare=False, default=None)
    recording: RecordingPlan | None = field(compare=False, default=None)
    moment: Moment | None = field(compare=False, default=None)
    heard: tuple[TranscriptPlan, live.Message] | None = field(compare=False, default=None)


class Conductor:
    """Plays one world once. `run` ends when everything has reached its final state."""

    def __init__(self, platform: Platform) -> None:
        self._platform = platform
        self._frames = 0
        self._late_due = 0
        self._twice_due = 0
        self._held: dict[str, list[Frame]] = {}

    async def run(self) -> None:
        """Waits for the start that the scenario names, then plays to the end: until nothing is due, and no call may still be asked for."""
        platform, world = self._platform, self._platform.world
        await self._wait_for_start()
        world.started_at = platform.now()
        platform.truth.write(
            "scenario_started",
            scenario=platform.scenario.name,
            seed=platform.scenario.seed,
            calls=len(world.planned),
            recordings=sum(len(call.recordings) for call in world.planned),
        )
        timeline = [*_timeline(world.plan.calls, world.plan.moments), *_heard(platform)]
        heapq.heapify(timeline)
        while timeline or world.growing:
            for due in _timeline(world.begin_asked(platform.now()), ()):
                heapq.heappush(timeline, due)
            rest = world.moment(timeline[0].offset) - platform.now() if timeline else _LOOK_EVERY
            if world.waiting and rest > 0:
                await platform.clock.sleep(min(rest, _LOOK_EVERY))
            elif timeline:
                await platform.clock.sleep(rest)
                await self._play(heapq.heappop(timeline))
        plan = world.plan
        finals = [file_state(recording, recording.final_at) for recording in plan.recordings]
        for silence in platform.hub.silences:
            platform.truth.write("unheard", begun=iso(silence.begun), ended=iso(silence.ended), frames=silence.frames)
        platform.truth.write(
            "scenario_finished",
            calls=len(plan.calls),
            recordings=len(finals),
            good=sum(not spoils(recording.fault) for recording in plan.recordings),
            faults=dict(platform.faults.fired),
        )
        platform.played = True

    async def _wait_for_start(self) -> None:
        platform = self._platform
        match platform.scenario.start:
            case "at-once":
                return
            case "on-request":
                await platform.start_asked.wait()
            case _:
                while not platform.hub.listened_to(platform.now()) and not platform.start_asked.is_set():
                    await platform.clock.sleep(_LOOK_EVERY)

    async def _play(self, due: _Due) -> None:
        if due.heard is not None:
            self._heard(*due.heard)
        elif due.moment is not None:
            fire(self._platform, due.moment.kind)
        elif due.recording is not None and due.call is not None:
            await self._created(due.call, due.recording)
        elif due.call is not None:
            self._changed(due.call, due.offset)

    def _changed(self, call: CallPlan, offset: float) -> None:
        platform = self._platform
        view = platform.view_at(call, offset)
        if offset == max(call.began, 0.0):
            begun = {"media": call.media, "startedAt": view.at(call.began)}
            platform.truth.write("call_started", conversationId=call.id, **begun, recordings=len(call.recordings))
        if call.taken_up and offset == call.legs[1].alerted:
            platform.truth.write("call_taken_up", conversationId=call.id, media=call.media, leftAt=view.at(call.legs[0].ended))
        if offset == call.ended:
            times = {"startedAt": view.at(call.began), "endedAt": view.at(call.ended)}
            platform.truth.write("call_ended", conversationId=call.id, **times, recordings=len(call.recordings))
        self._tell(call, offset, snapshots.frames(view))

    def _tell(self, call: CallPlan, offset: float, frames: list[Frame]) -> None:
        """Sends the frames of one change. A late one is held until the next change of the same call has gone out before it."""
        plan, desk = self._platform.world.plan, self._platform.faults
        self._late_due += self._frames in plan.reordered
        self._twice_due += self._frames in plan.duplicated
        self._frames += 1
        held = self._held.pop(call.id, None)
        if self._late_due and held is None and offset != call.changes[-1]:
            self._late_due -= 1
            self._held[call.id] = frames
            return
        self._platform.publish(frames)
        if held is not None:
            desk.fire("reorder_events", conversationId=call.id)
            self._platform.publish(held)
        if self._twice_due:
            self._twice_due -= 1
            desk.fire("duplicate_events", conversationId=call.id)
            self._platform.publish(frames)

    def _heard(self, transcript: TranscriptPlan, message: live.Message) -> None:
        platform = self._platform
        assert platform.world.started_at is not None
        if not platform.speech.refused(transcript, platform.world.started_at):
            body = live.body(platform.world.plan, transcript, message, platform.world.started_at)
            sent = platform.publish([(live.topic(transcript), body)])
            final = [result["utteranceId"] for result in body["transcripts"] if result["isFinal"]]
            if sent and final:
                # nothing has been sent yet: the sockets' turn comes with the next wait
                ids = {"conversationId": transcript.call.id, "communicationId": transcript.session_id}
                platform.truth.write("live_results", **ids, utteranceIds=final, sockets=sent)

    async def _created(self, call: CallPlan, recording: RecordingPlan) -> None:
        """The truth about a recording is on disk before its metadata can be asked for (or as soon as its sound is made)."""
        platform = self._platform
        if recording.written:
            content_type, described = "application/json", [_typed(call, recording, platform)]
        else:
            parts = [await platform.object(recording, part) for part in range(recording.parts)]
            content_type, described = parts[0].content_type, [await to_thread.run_sync(_described, media, platform) for media in parts]
        view = platform.view_at(call, max(recording.appears, call.ended))
        platform.truth.write(
            "recording",
            conversationId=call.id,
            recordingId=recording.id,
            sessionId=recording.session_id,
            media=recording.media,
            format=recording.format,
            channels=recording.channels,
            sampleRate=recording.sample_rate,
            seconds=recording.seconds,
            contentType=content_type,
            bytes=described[0]["bytes"],
            sha256=described[0]["sha256"],
            parts=described,
            fault=recording.fault,
            good=not spoils(recording.fault),
            callStartedAt=view.at(call.began),
            callEndedAt=view.at(call.ended),
            startedAt=view.at(recording.began),
            endedAt=view.at(recording.ended),
            availableAt=iso(platform.world.moment(recording.final_at)),
        )
        transcript = platform.speech.transcripts.get(recording.session_id)
        if transcript is not None and platform.world.started_at is not None:
            for kind, fields in speech_truth.lines(transcript, platform.world.started_at):
                platform.truth.write(kind, **fields)


def _described(media: MediaObject, platform: Platform) -> dict[str, Any]:
    return {"bytes": media.size, "sha256": media.sha256(platform.stopping), "seconds": media.seconds}


def _typed(call: CallPlan, recording: RecordingPlan, platform: Platform) -> dict[str, Any]:
    """The body that the API answers once it is available."""
    data = encoded(written(platform.world, platform.scenario, call, recording, "AVAILABLE", platform.now()))
    return {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "seconds": 0.0, "messages": message_count(recording)}


def _timeline(calls: tuple[CallPlan, ...], moments: tuple[Moment, ...]) -> Iterator[_Due]:
    for call in calls:
        for offset in call.changes:
            yield _Due(offset, 0, call.index, "call", call)
        for recording in call.recordings:
            # Made known when the call ends (a part of it, when it is taken up again), a little before the metadata list it.
            ended = max((leg.ended for leg in call.legs if call.taken_up and leg.recording is recording), default=call.ended)
            yield _Due(max(ended, 0.0), 1, call.index, "recording", call, recording)
            yield _Due(recording.final_at, 2, call.index, "settled")
    for index, moment in enumerate(moments):
        yield _Due(moment.at, 3, index, "moment", moment=moment)


def _heard(platform: Platform) -> Iterator[_Due]:
    """Live transcription from the world's start on; what was said before nobody hears."""
    rules = platform.scenario.transcripts
    if rules is None:
        return
    for transcript in platform.speech.transcripts.values():
        if transcript.reason in live.UNHEARD or transcript.call.media != "voice":
            continue
        for number, message in enumerate(live.messages(transcript, rules)):
            if message.offset >= 0:
                yield _Due(message.offset, 4, number, "heard", heard=(transcript, message))


def fire(platform: Platform, kind: str) -> None:
    """Lets a fault of the platform as a whole happen now, or with the next request or socket that it can spoil."""
    now = platform.now()
    match kind:
        case "rate_limit":
            platform.faults.storms_due += 1
        case "server_error_once":
            platform.faults.errors_due += 1
        case "revoke_token":
            for token in platform.tokens.living(now):
                token.revoked = True
                platform.hub.revoked(token)
            platform.faults.fire(kind)
        case _:
            platform.socket_faults.append(kind)
            spoil_sockets(platform)


def spoil_sockets(platform: Platform) -> None:
    """Fires the socket faults that wait, if a socket is there to be spoilt; called again whenever one connects."""
    sockets = [socket for socket in platform.hub.sockets if not socket.closing and not socket.stalled]
    while sockets and platform.socket_faults:
        kind = platform.socket_faults.pop(0)
        platform.faults.fire(kind, sockets=len(sockets))
        for socket in sockets:
            match kind:
                case "drop_socket":
                    socket.close(None)
                    platform.faults.sockets_refused_until = platform.now() + platform.faults.rules.drop_socket_for
                case "silent_stall":
                    socket.stalled = True
                case _:
                    body = {"message": "The socket will be closed for maintenance."}
                    socket.send({"topicName": "v2.system.socket_closing", "eventBody": body})
                    socket.closes_at = platform.now() + platform.rules.socket_closing_grace
        sockets = [socket for socket in sockets if not socket.closing and not socket.stalled]


async def watch(platform: Platform) -> None:
    """Closes sockets whose channel's or token's time is over, for as long as the simulator runs."""
    while True:
        await platform.clock.sleep(0.5)
        platform.hub.sweep(platform.now())


async def make_media(platform: Platform) -> None:
    """Makes all media in the order in which they are needed, so that nothing waits for an encoder later."""
    for call in sorted(platform.world.planned, key=lambda call: call.ended):
        for recording in call.recordings:
            for part in range(0 if recording.written else recording.parts):
                media = await platform.object(recording, part)
                await to_thread.run_sync(media.sha256, platform.stopping)
