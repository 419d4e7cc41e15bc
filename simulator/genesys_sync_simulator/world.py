"""What exists at a moment. Pure: the plan and a time go in, the platform's view comes out."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field, replace

from genesys_sync_simulator.plan import CallPlan, Plan, RecordingPlan, moved

FETCHABLE = frozenset({"AVAILABLE", "RESTORED"})
"""File states in which the media can be downloaded."""

UNKNOWN_STATE = "MIGRATING"
"""A file state that no documentation names; clients must wait it out."""

_SETTLED = {"deleted": "DELETED", "archived": "ARCHIVED", "error_state": "ERROR"}


def file_state(recording: RecordingPlan, at: float, *, restore_asked: float | None = None, restore_time: float = 0.0) -> str | None:
    """The published `fileState` at an offset, or None while the metadata do not list the recording yet."""
    if at < recording.appears:
        return None
    if at < recording.settles:
        return "UPLOADING"
    if at < recording.final_at:
        return UNKNOWN_STATE
    state = _SETTLED.get(recording.fault or "", "AVAILABLE")
    if state == "ARCHIVED" and restore_asked is not None:
        return "RESTORED" if at >= restore_asked + restore_time else "RESTORING"
    return state


@dataclass(slots=True)
class World:
    """A plan put on the clock. `started_at` is None until the first call may begin; offsets are negative until then.

    Calls that wait to be asked for are no part of the plan: each joins it as it begins.
    """

    plan: Plan
    waiting: deque[CallPlan] = field(default_factory=deque)
    asked: deque[CallPlan] = field(default_factory=deque)
    """Asked for, and not begun yet."""
    restore_time: float = 2.0
    started_at: float | None = None
    restores: dict[str, float] = field(default_factory=dict)
    kept_until: dict[str, float] = field(default_factory=dict)
    """The `archiveDate` (epoch seconds) to which a restore has moved it."""
    _calls: dict[str, CallPlan] = field(init=False, repr=False)
    _recordings: dict[str, RecordingPlan] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._calls = {call.id: call for call in self.plan.calls}
        self._recordings = {recording.id: recording for recording in self.plan.recordings}

    @property
    def planned(self) -> tuple[CallPlan, ...]:
        """The plan's calls, and those that may still join them."""
        return (*self.plan.calls, *self.asked, *self.waiting)

    @property
    def growing(self) -> bool:
        """Whether a call may still join the plan."""
        return bool(self.waiting or self.asked)

    def ask(self) -> CallPlan | None:
        """The next call that waits, as planned; it begins with the next `begin_asked`. None when none waits."""
        if not self.waiting:
            return None
        self.asked.append(call := self.waiting.popleft())
        return call

    def call_off(self) -> int:
        """Those that nobody has asked for will never begin. Returns how many."""
        number = len(self.waiting)
        self.waiting.clear()
        return number

    def begin_asked(self, now: float) -> tuple[CallPlan, ...]:
        """What was asked for begins now and joins the plan. Returns it, moved. Only once started."""
        if not self.asked:
            return ()
        offset = self.offset(now)
        begun = tuple(moved(call, round(offset - call.began, 3)) for call in self.asked)
        self.asked.clear()
        self.plan = replace(self.plan, calls=(*self.plan.calls, *begun))
        self._calls |= {call.id: call for call in begun}
        self._recordings |= {recording.id: recording for call in begun for recording in call.recordings}
        return begun

    def offset(self, now: float) -> float:
        """Seconds since the world started; minus infinity while it has not."""
        return now - self.started_at if self.started_at is not None else float("-inf")

    def moment(self, offset: float) -> float:
        """Epoch seconds of an offset. Only once started."""
        assert self.started_at is not None
        return self.started_at + offset

    def call(self, conversation_id: str, now: float) -> CallPlan | None:
        """The call, if it has begun. One that began before the world exists from the start of the world."""
        call = self._calls.get(conversation_id)
        return call if call is not None and self.offset(now) >= max(call.began, 0.0) else None

    def calls(self, now: float) -> list[CallPlan]:
        """All calls that have begun, oldest first."""
        offset = self.offset(now)
        return sorted((call for call in self.plan.calls if offset >= max(call.began, 0.0)), key=lambda call: call.began)

    def recording(self, recording_id: str) -> RecordingPlan | None:
        """The recording of that id, whether or not the platform lists it yet."""
        return self._recordings.get(recording_id)

    def state(self, recording: RecordingPlan, now: float) -> str | None:
        """The recording's `fileState`, or None while it is not listed."""
        return file_state(recording, self.offset(now), restore_asked=self.restores.get(recording.id), restore_time=self.restore_time)

    def listed(self, call: CallPlan, now: float) -> list[tuple[RecordingPlan, str]]:
        """The call's recordings that the metadata list, each with its state."""
        states = [(recording, self.state(recording, now)) for recording in call.recordings]
        return [(recording, state) for recording, state in states if state is not None]

    def restore(self, recording: RecordingPlan, now: float, until: float) -> None:
        """An archived recording begins to be restored, until that moment; asked again, only the moment changes."""
        self.restores.setdefault(recording.id, self.offset(now))
        self.kept_until[recording.id] = until

    def summary(self, now: float) -> dict[str, object]:
        """Counts for people and for tests: calls, and recordings by state."""
        offset = self.offset(now)
        states = Counter(state for recording in self.plan.recordings if (state := self.state(recording, now)) is not None)
        return {
            "started": self.started_at is not None,
            "callsPlanned": len(self.planned),
            "callsWaiting": len(self.waiting),
            "callsCreated": len(self.calls(now)),
            "callsEnded": sum(offset >= call.ended for call in self.plan.calls),
            "recordingsPlanned": sum(len(call.recordings) for call in self.planned),
            "recordingsCreated": states.total(),
            "recordingsByState": dict(sorted(states.items())),
        }

    def finished(self, now: float) -> bool:
        """Every call has ended and been wrapped up, every recording has reached its final state, and no call waits."""
        offset = self.offset(now)
        return (
            self.started_at is not None
            and not self.growing
            and all(
                offset >= call.wrapped_up and all(offset >= recording.final_at for recording in call.recordings) for call in self.plan.calls
            )
        )
