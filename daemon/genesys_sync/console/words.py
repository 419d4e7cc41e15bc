"""What the console says of health, in sentences. Pure. docs/howto/operate.md has the same codes, with more to each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

REASONS: Final[Mapping[str, str]] = {
    "loop_blocked": "the event loop has not ticked for 5 s; the log has the place",
    "dispatcher_stuck": "the dispatcher has not turned for 60 s",
    "ledger_not_writable": "the ledger cannot be written: the log says why",
    "archive_full": "the archive's disk has less than storage.min_free left; the work waits",
    "data_dir_unsafe": "the ledger or the archive lies where what is committed need not last; genesys-sync check says which and why",
    "audit_not_sealed": "audit entries wait in the ledger: the log names the cause, genesys-sync verify the place",
    "no_events": "no live subscription for longer than feed.ready_within",
    "stream_silent": "the connection fell silent, and no other is up yet",
    "stream_starved": "the channel brought no event while calls ended; it is being replaced, and back-fill finds them",
    "channel_evicted": "another program pushed our channel out lately: give it an OAuth client of its own",
    "creation_paused": "no channel is made for now; reconciliation goes on",
    "channel_forbidden": "the platform refuses the connection with 403",
    "frame_too_big": "the same frame was too big twice: raise feed.frame_limit",
    "work_forbidden": "the platform forbids all that a handler asks for: a permission is missing, and the dead letters name it",
    "topics_refused": "the platform refuses some topics: a permission or a division is missing; the log names them",
    "topics_left_out": "more queues than the notification channels can follow; back-fill finds the others' calls",
    "live_refused": "no call is followed live: the client lacks conversation:transcription:view",
    "live_left_out": "more calls than the notification channels have places for; those that began last are not followed live",
    "backfill_refused": "the platform refuses the analytics query: a permission is missing, and gaps stay open",
    "sensitive_not_visible": "the client lacks recording:recording:viewSensitiveData, so nothing proves that all is there",
    "retention_near": "recordings that are not archived yet are soon deleted by the platform; the log names them",
    "config_rejected": "changed settings were rejected; the ones before are in force, and the log has every fault",
    "clock_off": "this machine's clock is more than a minute off the platform's: set it, and start again",
    "client_out": "one of the further OAuth clients takes no part in the work; genesys-sync check says which and why",
}

_UNREADY: Final = ("loop_blocked", "dispatcher_stuck", "ledger_not_writable", "no_events")
"""The reasons that make the daemon not ready, the worst first."""


def meaning(code: str) -> str:
    """The sentence of a reason code, without a capital or a full stop; the code itself where it is not known."""
    return REASONS.get(code, code.replace("_", " "))


def sentence(readiness: Mapping[str, Any]) -> str:
    """How everything is, in one sentence, from the answer of `/readyz`."""
    reasons = readiness["reasons"]
    if readiness["ready"]:
        also = f"; {counted(len(reasons), 'thing')} to look at" if reasons else ""
        return f"Ready: events flow, and the ledger takes them{also}."
    why = next((code for code in _UNREADY if code in reasons), "")
    state = "Not ready" if readiness["state"] == "not_ready" else "Standing still"
    return f"{state}: {meaning(why)}." if why else f"{state}."


def further(reasons: Sequence[str], *, ready: bool) -> list[str]:
    """The reasons that `sentence` does not tell."""
    told = None if ready else next((code for code in _UNREADY if code in reasons), None)
    return [code for code in reasons if code != told]


def counted(number: int, noun: str) -> str:
    """`1 thing`, `2 things`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def sized(size: float) -> str:
    """Bytes for people, in powers of 1000 as prices count them: `512 B`, `1.5 MB`."""
    units = ["B", "kB", "MB", "GB", "TB", "PB"]
    while size >= 1000 and len(units) > 1:
        size /= 1000
        units.pop(0)
    unit = units[0]
    return f"{size:.0f} {unit}" if unit == "B" or size >= 100 else f"{size:.1f} {unit}"
