"""`genesys-sync transcribe CONVERSATION|FILE`: has a speech provider make a transcript of a recording in the archive, or of a file.

The request is committed to the ledger, once for the same sound, provider and locale; the daemon has it transcribed. A file is put into the
archive first.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from genesys_sync.cli.invocation import load_settings, run_async, settings_path
from genesys_sync.cli.output import print_json, print_line
from genesys_sync.errors import EX_NOPERM, EX_TEMPFAIL, EX_UNAVAILABLE, ConfigurationError, PermanentError, ReasonCode, TransientError
from genesys_sync.events import Event, Topic, canonical_uuid, event_id
from genesys_sync.faults import nearest
from genesys_sync.ledger.base import DeliveryState, Ledger
from genesys_sync.services import TranscriptionCheck
from genesys_sync.settings import Settings

if TYPE_CHECKING:
    from genesys_sync.cli.acting import Workplace

_LOCALE: Final = re.compile(r"[A-Za-z]{2,3}(?:-[A-Za-z0-9]{2,8}){0,3}")
_LOOK_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked for besides the sound."""

    provider: str
    locale: str
    phrases: tuple[str, ...]
    redact: bool
    speaker_labels: bool
    again: bool


@dataclass(slots=True)
class Asked:
    """One request and how it stands. `new`: it was committed by this command; `end`: its `transcription.completed`; `dead`: why a delivery
    of it was given up."""

    request: Event
    new: bool
    end: Event | None = None
    dead: str = ""

    @property
    def over(self) -> bool:
        return self.end is not None or bool(self.dead)

    @property
    def checks(self) -> Sequence[Mapping[str, str]]:
        """Every check that did not hold, with its sentence."""
        return () if self.end is None else self.end.body.get("checks") or ()

    @property
    def good(self) -> bool:
        return self.end is not None and self.end.body.get("outcome") == "completed"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("what", metavar="CONVERSATION|FILE", help="a conversation's id, or the path of a sound file")
    parser.add_argument("--provider", metavar="NAME", help="a table [providers.NAME] of the settings (default: the first)")
    parser.add_argument("--locale", type=_locale, help="what is spoken, such as en-US (default: the provider's locale in the settings)")
    parser.add_argument(
        "--phrases",
        action="append",
        type=_phrases,
        default=[],
        metavar="TEXT",
        help="words that are likely to be said, with commas between them",
    )
    parser.add_argument("--redact", action="store_true", help="ask the provider to leave out personal data")
    parser.add_argument("--no-speaker-labels", dest="speaker_labels", action="store_false", help="do not ask who speaks")
    parser.add_argument("--again", action="store_true", help="once more, though it was asked for before")
    parser.add_argument("--wait", action=argparse.BooleanOptionalAction, default=True, help="follow it to its end (the default)")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """0 when every transcript is there (with --no-wait: when all is asked for). 69 one was refused or failed, 77 one for want of a
    permission, 75 not ended."""
    from genesys_sync.cli.acting import report_failure

    settings, base = load_settings(args), settings_path(args).parent
    wanted = wanted_of(settings, args)
    try:
        asked, held = run_async(partial(_transcribe, settings, base, args, wanted))
    except (PermanentError, TransientError) as error:
        return report_failure(error, as_json=args.json)
    if args.json:
        print_json({"daemon": held, "requests": [as_json(one) for one in asked]})
    else:
        _show(asked, held=held)
    if not args.wait:
        return 0
    if not all(one.over for one in asked):
        return EX_TEMPFAIL
    if any(check["check"] == TranscriptionCheck.PERMISSION for one in asked for check in one.checks):
        return EX_NOPERM
    return 0 if all(one.good for one in asked) else EX_UNAVAILABLE


def wanted_of(settings: Settings, args: argparse.Namespace) -> Wanted:
    """Provider and locale, proved against the settings. Raises ConfigurationError."""
    names = list(settings.providers)
    if not names:
        raise ConfigurationError("providers: there is no speech provider: add a table [providers.NAME], see docs/howto/transcribe.md")
    name = args.provider or names[0]
    if name not in settings.providers:
        raise ConfigurationError(f"providers: there is no {name!r}{nearest(name, names)} (there are: {', '.join(names)})")
    locale = args.locale or settings.providers[name].locale
    if not locale:
        raise ConfigurationError(f"providers.{name}.locale: is not set; set it, or name --locale, such as --locale en-US")
    phrases = tuple(dict.fromkeys(phrase for listed in args.phrases for phrase in listed))
    return Wanted(name, locale, phrases, args.redact, args.speaker_labels, args.again)


async def _transcribe(settings: Settings, base: Path, args: argparse.Namespace, wanted: Wanted) -> tuple[list[Asked], bool]:
    from genesys_sync.cli.acting import workplace
    from genesys_sync.cli.transcribe_sources import Commit, conversation, file
    from genesys_sync.ledger import daemon_holds

    async with workplace(settings, base=base) as place:
        if not any(Topic.TRANSCRIPTION_REQUESTED in handler.topics for handler in place.handlers):
            raise ConfigurationError(
                f"handlers: none takes {Topic.TRANSCRIPTION_REQUESTED}, so nobody would transcribe; nothing was asked for. "
                'Add a table [handlers.transcribe] with use = "transcribe"'
            )
        commit = Commit(place, wanted)
        named = canonical_uuid(args.what)
        asked = await conversation(commit, named) if named is not None else await file(commit, Path(args.what))
        held = daemon_holds(settings.ledger.url)
        await _look(place.ledger, asked)
        if args.wait and held:
            if not args.json and not all(one.over for one in asked):
                print(f"asked of {wanted.provider}; waiting for the daemon (Ctrl-C leaves it to work on)", file=sys.stderr)
            await _follow(place, asked)
        return asked, daemon_holds(settings.ledger.url)


async def _follow(place: Workplace, asked: Sequence[Asked]) -> None:
    """Until all are over, or nobody works on them any more."""
    from genesys_sync.ledger import daemon_holds

    while not all(one.over for one in asked) and daemon_holds(place.settings.ledger.url):
        await place.clock.sleep(_LOOK_SECONDS)
        await _look(place.ledger, asked)


async def _look(ledger: Ledger, asked: Sequence[Asked]) -> None:
    for one in asked:
        if one.over:
            continue
        found = await ledger.events_about(end_id(one.request), limit=1)
        one.end = found[0] if found else None
        if one.end is None:
            dead = [record for record in await ledger.find(one.request.id) if record.state is DeliveryState.DEAD]
            one.dead = f"{dead[0].reason}: {dead[0].last_error}" if dead else ""


def end_id(request: Event) -> str:
    """The id of the event that tells of a request's end."""
    return event_id(
        Topic.TRANSCRIPTION_COMPLETED,
        organization_id=request.organization_id,
        conversation_id=request.conversation_id,
        recording_id=request.recording_id,
        state=request.id,
    )


def as_json(one: Asked) -> dict[str, Any]:
    """What programs read of one request."""
    end = {} if one.end is None else one.end.body
    return {
        "request": one.request.id,
        "conversationId": one.request.conversation_id,
        "recordingId": one.request.recording_id,
        "provider": one.request.body["provider"],
        "locale": one.request.body["locale"],
        "new": one.new,
        "outcome": end.get("outcome") or ("dead" if one.dead else "waiting"),
        "check": end.get("check"),
        "checks": list(one.checks),
        "reason": end.get("reason") or one.dead or None,
        "sentence": end.get("sentence"),
        "transcript": end.get("transcript"),
        "latencySeconds": end.get("latencySeconds"),
    }


def _show(asked: Sequence[Asked], *, held: bool) -> None:
    for one in asked:
        told = as_json(one)
        subject = one.request.recording_id or one.request.id
        match told["outcome"]:
            case "completed":
                print_line(f"{subject}  {told['transcript']}  ({told['latencySeconds']:.0f} s after the request)")
            case "refused":
                for check in one.checks or [{"check": told["check"], "sentence": told["sentence"]}]:
                    print_line(f"{subject}  refused by the check {check['check']}: {check['sentence']}")
                print_line(f"{subject}  nothing was sent; with --again it is asked for once more when that is mended")
            case "failed":
                print_line(f"{subject}  failed ({told['reason']}): {told['sentence']}")
            case "dead":
                print_line(f"{subject}  given up, {told['reason']}; `genesys-sync dead-letters` shows it")
            case _:
                print_line(f"{subject}  {'asked for' if one.new else 'asked for before'}")
    if not held and not all(one.over for one in asked):
        print_line("no daemon runs on this ledger now; when one does, it has this transcribed")


def _locale(text: str) -> str:
    if _LOCALE.fullmatch(text) is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no locale: it looks like en-US")
    return text


def _phrases(text: str) -> list[str]:
    found = [phrase.strip() for phrase in text.split(",") if phrase.strip()]
    if not found or any(len(phrase) > 100 or not phrase.isprintable() for phrase in found):
        raise argparse.ArgumentTypeError("must be phrases of 1 to 100 characters, separated by commas")
    return found


def not_found(sentence: str) -> PermanentError:
    """What was named is not there: exit code 69."""
    return PermanentError(sentence, code=ReasonCode.NOT_FOUND)
