"""Were the promises kept? Pure: what was created, what lies there, what was told, against the invariants of docs/howto/acceptance.md.

Three verdicts. FAIL: an invariant is broken. UNKNOWN: none is, but the run proves nothing, because too little happened or the fault
did not bite. PASS: neither.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from .formats import NO_TRAIL, Archive, Letter, Request, Sidecar, Trail, Truth
from .reasons import MAY_BE_ARCHIVED, REASONS, TRUE_REASONS, WITHHELD

CLOCK_TOLERANCE = 300.0
CLOCKS = 0.25
"""Seconds by which two processes may differ about one moment: each has read the machine's clock once, and frames take their time."""
SHOWN = 20


class Verdict(StrEnum):
    """What one row says."""

    PASS = "PASS"
    FAIL = "FAIL"
    UNKNOWN = "UNKNOWN"
    SKIPPED = "SKIPPED"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a run left behind. `open_gaps` is None when nobody could be asked. `silences` are the intervals (epoch seconds) in which
    nobody heard what the platform told."""

    truth: Sequence[Truth]
    archive: Archive
    letters: Sequence[Letter]
    requests: Sequence[Request]
    secret: bytes
    open_gaps: int | None
    trail: Trail = NO_TRAIL
    silences: Sequence[tuple[float, float]] = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """What is asked of a row.

    least      recordings below which the run proves nothing
    slo        seconds from available (or the end of the fault, `calm_at`) to told; beyond it a recording is late
    blind      formats in which a changed byte before the first hash cannot be seen by anybody: altered there is reported, not a breach
    reasons    further true reasons, by fault
    ends_deaf  the row ends without a live connection: what nobody heard since then has no gap yet, and comes by reconciliation
    """

    least: int = 20
    slo: float = 30.0
    calm_at: float = 0.0
    blind: frozenset[str] = frozenset()
    reasons: Mapping[str, frozenset[str]] = field(default_factory=dict)
    ends_deaf: bool = False


@dataclass(frozen=True, slots=True)
class Breach:
    """One broken invariant: which, whose, and a sentence."""

    invariant: str
    id: str
    sentence: str


@dataclass(slots=True)
class Finding:
    """The judgement of a run; `counts` are ids by what is wrong with them."""

    created: int = 0
    breaches: list[Breach] = field(default_factory=list)
    unproved: list[str] = field(default_factory=list)
    counts: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))

    @property
    def verdict(self) -> Verdict:
        if self.breaches:
            return Verdict.FAIL
        return Verdict.UNKNOWN if self.unproved else Verdict.PASS

    def breach(self, invariant: str, name: str, sentence: str, count: str = "") -> None:
        self.breaches.append(Breach(invariant, name, sentence))
        if count:
            self.counts[count].add(name)

    def add(self, other: Finding) -> None:
        """Takes another run's judgement in."""
        self.created += other.created
        self.breaches += other.breaches
        self.unproved += other.unproved
        for name, ids in other.counts.items():
            self.counts[name] |= ids

    def lines(self) -> Iterator[str]:
        """The first of each kind, for people."""
        for breach in self.breaches[:SHOWN]:
            yield f"{breach.invariant} {breach.id}: {breach.sentence}"
        if len(self.breaches) > SHOWN:
            yield f"and {len(self.breaches) - SHOWN} more"
        yield from self.unproved


def judge(evidence: Evidence, terms: Terms) -> Finding:
    """Every invariant, at rest."""
    finding = Finding(created=len(evidence.truth))
    _covered(evidence, finding)
    _exact(evidence, terms, finding)
    _once(evidence, finding)
    _nothing_foreign(evidence, finding)
    _reasons(evidence, terms, finding)
    _delivered(evidence, terms, finding)
    _stable_ids(evidence.requests, finding)
    _authentic(evidence, finding)
    _chained(evidence, finding)
    _gaps(evidence, terms, finding)
    if len(evidence.truth) < terms.least:
        finding.unproved.append(f"only {len(evidence.truth)} recordings were created, {terms.least} are the least")
    if not any(one.accepted for one in evidence.requests):
        finding.unproved.append("no completion was accepted")
    return finding


def _given_up(evidence: Evidence) -> dict[str, str]:
    """The reason for each recording that was withheld or given up, and is not archived. Letters of receivers are none of these."""
    archived = {sidecar.recording_id for sidecar in evidence.archive.sidecars}
    newest: dict[str, Sidecar] = {}
    for sidecar in evidence.archive.withheld:
        if sidecar.recording_id not in newest or newest[sidecar.recording_id].revision < sidecar.revision:
            newest[sidecar.recording_id] = sidecar
    reasons = {name: sidecar.rejected or "" for name, sidecar in newest.items()}
    by_conversation = {letter.conversation_id: letter for letter in evidence.letters if not letter.recording_id}
    for one in evidence.truth:
        if one.recording_id not in reasons and one.conversation_id in by_conversation:
            reasons[one.recording_id] = by_conversation[one.conversation_id].reason
    reasons |= {letter.recording_id: letter.reason for letter in evidence.letters if letter.recording_id and _of_a_recording(letter)}
    return {name: reason for name, reason in reasons.items() if name not in archived}


def _of_a_recording(letter: Letter) -> bool:
    """Whether it says that a recording is missing; a letter about a completion says only that somebody was not told."""
    return letter.topic in {"recording.ready", "recording.lost", "media.archived", "conversation.ended"}


def _covered(evidence: Evidence, finding: Finding) -> None:
    """I1: each recording is archived, or given up with a reason; never neither, never both."""
    archived = {sidecar.recording_id for sidecar in evidence.archive.sidecars}
    given_up = _given_up(evidence)
    letters = {letter.recording_id for letter in evidence.letters if letter.recording_id and _of_a_recording(letter)}
    for one in evidence.truth:
        name = one.recording_id
        if name not in archived and name not in given_up:
            finding.breach("I1", name, f"is neither archived nor given up ({one.format}, fault {one.fault})", "lost")
        elif name in archived and name in letters:
            finding.breach("I1", name, "is archived and given up at the same time")
        elif one.good and name in given_up:
            finding.breach("I1", name, f"is good and was given up: {given_up[name]}", "lost")
        elif not one.good and name in archived and one.fault not in MAY_BE_ARCHIVED:
            finding.breach("I1", name, f"is spoilt ({one.fault}) and lies in the archive as if it were good", "altered")


def _exact(evidence: Evidence, terms: Terms, finding: Finding) -> None:
    """I2: the bytes on the disk are those of the sidecar, of the completion, and of the truth; so is their number."""
    files = {file.key: file for file in evidence.archive.media}
    truth = {one.recording_id: one for one in evidence.truth}
    for sidecar in evidence.archive.sidecars:
        name = sidecar.recording_id
        for key, (digest, size) in sidecar.parts.items():
            if key in files and (files[key].sha256, files[key].size) != (digest, size):
                finding.breach("I2", name, f"{key} is not what its sidecar says", "altered")
        one = truth.get(name)
        if one is None or not one.good:
            continue
        found = sorted(files[key].sha256 for key in sidecar.parts if key in files)
        if found != sorted(one.parts):
            finding.counts["altered"].add(name)
            if one.format not in terms.blind:
                finding.breach("I2", name, f"{one.format}: the archive's bytes are not those that were created")
    for told in evidence.requests:
        if told.type != "media.verified":
            continue
        for part in told.data.get("parts", ()):
            file = files.get(part["key"])
            if file is not None and (file.sha256, file.size) != (part["sha256"], part["bytes"]):
                finding.breach("I2", file.recording_id, f"{file.key} is not what the receiver was told", "altered")


def _once(evidence: Evidence, finding: Finding) -> None:
    """I3: one set of files and one sidecar for each recording; no file without a sidecar, no sidecar without its files, no leavings."""
    archive = evidence.archive
    for name, copies in Counter(sidecar.recording_id for sidecar in archive.sidecars).items():
        if copies > 1:
            finding.breach("I3", name, f"has {copies} sidecars", "duplicated")
    files = {file.key for file in archive.media}
    named = {key for sidecar in archive.sidecars for key in sidecar.parts}
    for file in archive.media:
        if file.key not in named:
            finding.breach("I3", file.recording_id, f"{file.key} stands in no sidecar", "duplicated")
    for sidecar in archive.sidecars:
        for key in sidecar.parts:
            if key not in files:
                finding.breach("I3", sidecar.recording_id, f"{key} is named by its sidecar and not there", "lost")
    for key in archive.unfinished:
        finding.breach("I3", key, "is unfinished work that nobody removed")
    for key in archive.strays:
        finding.breach("I3", key, "has no business in the archive")


def _nothing_foreign(evidence: Evidence, finding: Finding) -> None:
    """I4: nothing is archived, given up or told that was never created."""
    known = {one.recording_id for one in evidence.truth}
    archive = evidence.archive
    seen = {file.recording_id for file in (*archive.media, *archive.withheld_media)}
    seen |= {sidecar.recording_id for sidecar in (*archive.sidecars, *archive.withheld)}
    seen |= {letter.recording_id for letter in evidence.letters if letter.recording_id}
    seen |= {name for one in evidence.requests if isinstance(name := one.data.get("recordingId"), str)}
    for name in sorted(seen - known):
        finding.breach("I4", name, "was never created", "unexpected")


def _reasons(evidence: Evidence, terms: Terms, finding: Finding) -> None:
    """I5: each dead letter has a reason of the closed list, attempts, times and errors; and the reason is true."""
    for letter in evidence.letters:
        if letter.reason not in REASONS:
            finding.breach("I5", letter.delivery_id, f"{letter.reason or 'no reason'} is not on the list of reasons")
        if letter.attempts < 1 or not letter.complete:
            finding.breach("I5", letter.delivery_id, "lacks attempts, times or errors")
    given_up = _given_up(evidence)
    for sidecar in evidence.archive.withheld:
        if sidecar.rejected not in WITHHELD:
            finding.breach("I5", sidecar.recording_id, f"was withheld for {sidecar.rejected or 'no reason'}, which is not on the list")
    for one in evidence.truth:
        reason = given_up.get(one.recording_id)
        true = TRUE_REASONS.get(one.fault or "", frozenset()) | terms.reasons.get(one.fault or "", frozenset())
        if reason is not None and not one.good and reason not in true:
            finding.breach("I5", one.recording_id, f"was given up for {reason}; the truth is {one.fault}")


def _delivered(evidence: Evidence, terms: Terms, finding: Finding) -> None:
    """I6: the receiver accepted a completion for each recording: verified, or rejected, or lost."""
    told: dict[str, dict[str, float]] = defaultdict(dict)
    for request in evidence.requests:
        if request.accepted:
            for name in {str(request.data.get("recordingId") or ""), str(request.data.get("conversationId") or "")}:
                told[name].setdefault(request.type, request.at)
    archived = {sidecar.recording_id for sidecar in evidence.archive.sidecars}
    given_up = _given_up(evidence)
    for one in evidence.truth:
        name = one.recording_id
        if name in archived:
            owed = {"media.verified"}
        elif name in given_up:
            owed = {"media.rejected", "recording.lost", "delivery.dead_lettered"}
        else:
            continue
        times = [at for kind, at in {**told[one.conversation_id], **told[name]}.items() if kind in owed]
        if name in archived:
            times = [at for kind, at in told[name].items() if kind in owed]
        if not times:
            finding.breach("I6", name, f"nobody was told ({' or '.join(sorted(owed))})", "undelivered")
        elif min(times) > max(one.available_at, terms.calm_at) + terms.slo:
            finding.counts["late"].add(name)


def _stable_ids(requests: Sequence[Request], finding: Finding) -> None:
    """I7: all attempts of one completion carry one id and one body; two completions never share an id."""
    bodies: dict[str, set[bytes]] = defaultdict(set)
    ids: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for one in requests:
        bodies[one.id].add(one.body)
        if one.type:
            ids[("event", str(one.data.get("eventId")))].add(one.id)
            if one.type.startswith("media."):
                ids[(one.type, str(one.data.get("recordingId")), str(one.data.get("revision")))].add(one.id)
    for name, texts in bodies.items():
        if len(texts) > 1 or not name:
            finding.breach("I7", name or "-", "one webhook-id with several bodies" if name else "a request without a webhook-id")
    for completion, names in ids.items():
        if len(names) > 1:
            finding.breach("I7", " ".join(completion), f"one completion was sent under {len(names)} ids", "duplicated")


def _authentic(evidence: Evidence, finding: Finding) -> None:
    """I8: each request verifies after Standard Webhooks, and its timestamp is that of its sending."""
    for one in evidence.requests:
        stamp = one.headers.get("webhook-timestamp", "")
        signed = f"{one.id}.{stamp}.".encode() + one.body
        expected = "v1," + base64.b64encode(hmac.new(evidence.secret, signed, hashlib.sha256).digest()).decode()
        if not any(hmac.compare_digest(expected, offered) for offered in one.headers.get("webhook-signature", "").split(" ")):
            finding.breach("I8", one.id, "carries no signature that verifies")
        elif not stamp.isdecimal() or abs(int(stamp) - one.at) > CLOCK_TOLERANCE:
            finding.breach("I8", one.id, f"was stamped {stamp}, and came at {one.at:.0f}")


def _chained(evidence: Evidence, finding: Finding) -> None:
    """I10: the audit trail follows from its first entry to its last, and tells of each recording that is archived."""
    trail = evidence.trail
    if trail.broken:
        finding.breach("I10", "trail", trail.broken)
    elif not trail.entries:
        finding.unproved.append("there is no audit trail")
    for sidecar in evidence.archive.sidecars if trail.entries and not trail.broken else ():
        if ("recording.archive", sidecar.recording_id) not in trail.done:
            finding.breach("I10", sidecar.recording_id, "was archived, and the audit trail does not say so")


def _gaps(evidence: Evidence, terms: Terms, finding: Finding) -> None:
    """I11: no gap is open; and whenever nobody heard what the platform told, there is a gap that was closed."""
    if evidence.open_gaps is None:
        finding.unproved.append("nobody could be asked for open gaps")
    elif evidence.open_gaps and not terms.ends_deaf:
        finding.breach("I11", "gaps", f"{evidence.open_gaps} gaps are still open")
    closed = sorted((gap.begun, gap.ended) for gap in evidence.trail.gaps if gap.closed)
    for begun, ended in evidence.silences:
        reached = begun
        for start, end in closed:
            if start <= reached + CLOCKS:
                reached = max(reached, end)
        if reached + CLOCKS < ended and not terms.ends_deaf:
            finding.breach(
                "I11", f"{begun:.3f}-{ended:.3f}", f"nobody heard the platform, and no closed gap covers it beyond {reached:.3f}"
            )
