"""`genesys-sync record pause|resume|start|stop|status CONVERSATION`: control of a live conversation's recording.

Each directive returns when the platform shows it in effect; one that is in effect already sends nothing and is a success. With
`--resume-after` the end of a pause is in the ledger before the pause is asked for, so that no kill leaves a recording paused.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genesys_sync.cli.invocation import load_settings, run_async, settings_path
from genesys_sync.cli.output import iso, print_json, print_line
from genesys_sync.errors import ConfigurationError, PermanentError, TransientError
from genesys_sync.events import Event, Topic, canonical_uuid
from genesys_sync.ledger.base import DeliveryState, Ledger
from genesys_sync.services import Controlled, Directive, RecordingMedia, RecordingStatus
from genesys_sync.settings import Settings
from genesys_sync.units import milliseconds, parse_duration

if TYPE_CHECKING:
    from genesys_sync.cli.acting import Workplace
    from genesys_sync.dispatch.registry import LoadedHandler

SHORTEST: Final = timedelta(seconds=5)
LONGEST: Final = timedelta(hours=24)
_REASON = re.compile(r"[^\x00-\x1f\x7f]{1,100}")
_DONE: Final[Mapping[Directive, str]] = {
    Directive.PAUSE: "paused",
    Directive.RESUME: "active",
    Directive.START: "active",
    Directive.STOP: "stopped",
}


@dataclass(frozen=True, slots=True)
class Done:
    """What the command did: the directive in effect, and when the pause ends by itself."""

    controlled: Controlled
    resume_at_ms: int | None = None
    held: bool = True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options, and its five actions."""
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    for directive, what in (
        (Directive.PAUSE, "begin a secure pause"),
        (Directive.RESUME, "end a pause"),
        (Directive.START, "take up a recording that was stopped"),
        (Directive.STOP, "end the recording"),
    ):
        action = _action(actions, directive.value, what)
        action.add_argument("--reason", type=_reason, metavar="TEXT", help="why, for the audit trail; nothing personal")
        if directive is Directive.PAUSE:
            action.add_argument(
                "--resume-after", type=_resume_after, metavar="TIME", help='resume it after this long, such as "90s", whatever happens'
            )
        action.set_defaults(run=run, directive=directive, resume_after=None)
    _action(actions, "status", "how the recording stands").set_defaults(run=run, directive=None)


def _action(actions: argparse._SubParsersAction[argparse.ArgumentParser], name: str, what: str) -> argparse.ArgumentParser:
    action = actions.add_parser(name, help=what)
    action.add_argument("conversation", type=_conversation, metavar="CONVERSATION", help="the conversation's id")
    action.add_argument(
        "--media",
        type=_media,
        default=RecordingMedia.CALL,
        metavar="MEDIA",
        help=f"which communication: {', '.join(RecordingMedia)} (default: call)",
    )
    action.add_argument("--json", action="store_true", help="as JSON")
    return action


def run(args: argparse.Namespace) -> int:
    """0 when the directive is in effect. 69 refused, 75 not confirmed in time or not reachable, 77 a permission is missing."""
    from genesys_sync.cli.acting import report_failure

    settings, base = load_settings(args), settings_path(args).parent
    try:
        if args.directive is None:
            status, ends = run_async(partial(_status, settings, base, args))
            print_json(status_as_json(status, ends)) if args.json else _show_status(status, ends)
        else:
            done = run_async(partial(_control, settings, base, args))
            print_json(as_json(done)) if args.json else _show(done)
    except (PermanentError, TransientError) as error:
        return report_failure(error, as_json=args.json)
    return 0


async def _status(settings: Settings, base: Path, args: argparse.Namespace) -> tuple[RecordingStatus, str | None]:
    from genesys_sync.cli.acting import workplace

    async with workplace(settings, base=base) as place:
        await place.platform.tokens.get()
        status = await place.platform.control.status(args.conversation, media=args.media)
        return status, await ends_at(place.ledger, args.conversation)


async def _control(settings: Settings, base: Path, args: argparse.Namespace) -> Done:
    from genesys_sync.cli.acting import workplace
    from genesys_sync.ledger import daemon_holds

    async with workplace(settings, base=base) as place:
        if args.resume_after is not None:
            require_resumer(place.handlers)
        await place.platform.tokens.get()
        pause = _LeftPause(place, args.conversation, args.media, args.resume_after) if args.resume_after is not None else None
        try:
            controlled = await place.platform.control.control(
                args.directive,
                args.conversation,
                media=args.media,
                reason=args.reason or "",
                prepare=pause.leave if pause is not None else None,
            )
        except PermanentError:
            if pause is not None:
                await pause.withdraw("the pause was refused")
            raise
        if args.directive is not Directive.PAUSE:
            await _withdraw(place, args.conversation, f"ended by hand: record {args.directive}")
    return Done(controlled, None if pause is None else pause.due_ms, held=daemon_holds(settings.ledger.url))


def require_resumer(handlers: Sequence[LoadedHandler]) -> None:
    """Raises ConfigurationError unless a handler takes the event by its own name: whoever listens to everything resumes nothing. Pure."""
    if not any(Topic.RECORDING_PAUSE_LEFT in handler.topics for handler in handlers):
        raise ConfigurationError(
            f"handlers: none takes {Topic.RECORDING_PAUSE_LEFT}, so nobody would resume the recording; nothing was paused. "
            'Add a table [handlers.resume] with use = "resume"'
        )


class _LeftPause:
    """The durable end of one pause."""

    def __init__(self, place: Workplace, conversation_id: str, media: RecordingMedia, after: timedelta) -> None:
        self._place = place
        self._conversation_id = conversation_id
        self._media = media
        self._after = after
        self._event: Event | None = None
        self.due_ms: int | None = None

    async def leave(self) -> None:
        """Commit it. An earlier one of this conversation is withdrawn afterwards: killed in between, both stand, and the earlier counts."""
        place = self._place
        organization_id = await place.platform.identify()
        self.due_ms = place.clock.epoch_ms() + milliseconds(self._after)
        self._event = Event.of(
            Topic.RECORDING_PAUSE_LEFT,
            occurred_at=place.clock.now(),
            organization_id=organization_id,
            conversation_id=self._conversation_id,
            state=f"{self._media}:{self.due_ms}",
            body={"media": self._media.value, "resumeAt": iso(self.due_ms)},
        )
        await place.ledger.append(place.router.route([self._event]))
        await self.withdraw("another pause has taken its place", keep=self._event.id)

    async def withdraw(self, note: str, *, keep: str | None = None) -> None:
        """Nothing to do if it was never left."""
        if self._event is not None:
            await _withdraw(self._place, self._conversation_id, note, keep=keep)


async def _withdraw(place: Workplace, conversation_id: str, note: str, *, keep: str | None = None) -> None:
    await place.ledger.withdraw(Topic.RECORDING_PAUSE_LEFT, conversation_id, note=note, now_ms=place.clock.epoch_ms(), keep=keep)


async def ends_at(ledger: Ledger, conversation_id: str) -> str | None:
    """When a pause of this conversation ends by itself, ISO 8601; None when no end was left."""
    waiting = (DeliveryState.READY, DeliveryState.LEASED)
    found = [record for record in await ledger.find(conversation_id) if record.event.topic == Topic.RECORDING_PAUSE_LEFT]
    return min((str(record.event.body["resumeAt"]) for record in found if record.state in waiting), default=None)


def as_json(done: Done) -> dict[str, Any]:
    """What programs read."""
    controlled = done.controlled
    return {
        "outcome": "success",
        "directive": controlled.directive.value,
        "already": controlled.already,
        "before": status_as_json(controlled.before),
        "after": status_as_json(controlled.after),
        "seconds": round(controlled.seconds, 3),
        "correlationId": controlled.correlation_id or None,
        "resumeAt": iso(done.resume_at_ms),
    }


def status_as_json(status: RecordingStatus, ends: str | None = None) -> dict[str, Any]:
    """What programs read. `resumeAt`: when a pause ends by itself."""
    return {
        "conversationId": status.conversation_id,
        "media": status.media.value,
        "live": status.live,
        "connected": status.connected,
        "recordingState": status.state,
        "securePause": status.secure_pause,
        "recorded": status.recorded,
        "screenRecordingState": status.screen or None,
        "resumeAt": ends,
    }


def _show(done: Done) -> None:
    controlled = done.controlled
    word = _DONE[controlled.directive]
    if controlled.already:
        print_line(f"the recording is {word} already; nothing was sent")
    else:
        print_line(f"the recording is {word}, as the platform shows after {controlled.seconds:.1f} s")
    if done.resume_at_ms is not None:
        who = "the daemon resumes it" if done.held else "no daemon runs on this ledger now; when one does, it resumes it"
        print_line(f"{who} at {iso(done.resume_at_ms)}, unless `genesys-sync record resume` comes first")


def _show_status(status: RecordingStatus, ends: str | None) -> None:
    pause = {True: "yes", False: "no", None: "the platform does not say"}[status.secure_pause]
    for name, value in (
        ("conversation", status.conversation_id),
        ("media", status.media.value),
        ("live", "yes" if status.live else "no: it has ended"),
        ("connected", "yes" if status.connected else "no"),
        ("recording", status.state if status.recorded else "none: nothing is recorded"),
        ("secure pause", pause),
        ("screen", status.screen or "not recorded"),
        ("resumes at", ends or "not by itself: no --resume-after waits for it"),
    ):
        print_line(f"{name:<13} {value}")


def _conversation(text: str) -> str:
    found = canonical_uuid(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no conversation id: it looks like 2f4a8b1e-0c3d-4e5f-8a9b-0c1d2e3f4a5b")
    return found


def _media(text: str) -> RecordingMedia:
    try:
        return RecordingMedia(text.lower())
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is no media; known: {', '.join(RecordingMedia)}") from None


def _reason(text: str) -> str:
    if _REASON.fullmatch(text) is None:
        raise argparse.ArgumentTypeError("must be one line of 1 to 100 characters")
    return text


def _resume_after(text: str) -> timedelta:
    try:
        value = parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not SHORTEST <= value <= LONGEST:
        raise argparse.ArgumentTypeError("must be from 5s to 24h")
    return value
