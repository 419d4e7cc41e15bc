"""Did the demo keep its promise? Pure: what the simulator created against what lies in the archive and the ledger.

It reads the simulator's truth log, the files of the archive and the ledger's dead letters, and trusts none of the daemon's own counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

TRUE_REASONS: Mapping[str, frozenset[str]] = {
    "error_page": frozenset({"ERROR_PAGE"}),
    "header_only": frozenset({"HEADER_ONLY"}),
    "truncated": frozenset({"TRUNCATED"}),
    "deleted": frozenset({"DELETED_UPSTREAM"}),
    "error_state": frozenset({"FILESTATE_ERROR"}),
    "too_large": frozenset({"FILESTATE_ERROR"}),
}
"""For each planted fault that spoils a recording, the reasons that tell the truth about it."""


@dataclass(frozen=True, slots=True)
class Created:
    """One recording as the simulator made it: `sha256` of the bytes that a good download must give; `fault` spoils it, or None."""

    recording_id: str
    conversation_id: str
    sha256: str
    size: int
    format: str
    fault: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """What became of the recordings, by recording id.

    archived     SHA-256 of each file as read back from the archive (several would be one too many)
    quarantined  the reason given
    dead         the reason code of a dead letter
    verified     recordings that passed the verifier
    """

    archived: Mapping[str, Sequence[str]]
    quarantined: Mapping[str, str]
    dead: Mapping[str, str]
    verified: Collection[str]


@dataclass(frozen=True, slots=True)
class Verdict:
    """Counts for the table, and one sentence for everything that is not as promised; the demo succeeds when there is none."""

    created: int
    archived: int
    verified: int
    rejected: int
    dead: int
    size: int
    formats: Mapping[str, int]
    bad: Sequence[tuple[str, str, str]]
    problems: Sequence[str] = field(default_factory=tuple)


def judge(created: Sequence[Created], found: Found) -> Verdict:
    """Every good recording archived once and bit-exact, every spoilt one withheld for its true reason, nothing else there."""
    problems: list[str] = []
    bad: list[tuple[str, str, str]] = []
    for recording in created:
        name = f"recording {recording.recording_id}"
        copies = found.archived.get(recording.recording_id, ())
        reason = found.quarantined.get(recording.recording_id) or found.dead.get(recording.recording_id)
        if recording.fault is not None and recording.fault in TRUE_REASONS:
            bad.append((recording.fault, recording.recording_id, reason or "-"))
            problems += _spoilt(name, recording.fault, reason, archived=bool(copies))
        else:
            problems += _good(name, recording, copies, reason, verified=recording.recording_id in found.verified)
    known = {recording.recording_id for recording in created}
    strangers = (found.archived.keys() | found.quarantined.keys() | found.dead.keys()) - known
    problems += [f"recording {stranger} was never created by the simulator" for stranger in sorted(strangers)]
    return Verdict(
        created=len(created),
        archived=len(found.archived),
        verified=len(set(found.verified) & found.archived.keys()),
        rejected=len(found.quarantined),
        dead=len(found.dead),
        size=sum(recording.size for recording in created if recording.recording_id in found.archived),
        formats=Counter(recording.format for recording in created if recording.recording_id in found.archived),
        bad=bad,
        problems=problems,
    )


def _spoilt(name: str, fault: str, reason: str | None, *, archived: bool) -> list[str]:
    problems = []
    if archived:
        problems.append(f"{name} ({fault}) lies in the archive as if it were good")
    if reason is None:
        problems.append(f"{name} ({fault}) is neither in quarantine nor in the dead letters")
    elif reason not in TRUE_REASONS[fault]:
        problems.append(f"{name} ({fault}) was given the reason {reason}, which is not the true one")
    return problems


def _good(name: str, recording: Created, copies: Sequence[str], reason: str | None, *, verified: bool) -> list[str]:
    if reason is not None:
        return [f"{name} is good and was withheld: {reason}"]
    if not copies:
        return [f"{name} is missing"]
    problems = []
    if len(copies) > 1:
        problems.append(f"{name} is archived {len(copies)} times")
    if any(copy != recording.sha256 for copy in copies):
        problems.append(f"{name} is not bit-exact")
    if not verified:
        problems.append(f"{name} was not verified")
    return problems


def percentile(values: Sequence[float], share: float) -> float | None:
    """The nearest-rank percentile; None for no values."""
    if not values:
        return None
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, max(0, round(share * len(ordered) + 0.5) - 1))]
