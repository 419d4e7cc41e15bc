"""The acceptance harness can fail: each invariant, broken on purpose, is named; a run in which nothing happened proves nothing."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from tests.harness import formats
from tests.harness.checker import Evidence, Finding, Terms, Verdict, judge
from tests.harness.reasons import REASONS, TRUE_REASONS

SECRET = b"k" * 32
NOW = 1_790_000_000.0


def uuid(number: int) -> str:
    return f"00000000-0000-4000-8000-{number:012d}"


def truth(number: int, fault: str | None = None) -> formats.Truth:
    digest = hashlib.sha256(str(number).encode()).hexdigest()
    good = fault not in {"deleted", "error_page", "truncated"}
    return formats.Truth(uuid(number), uuid(1000 + number), (digest,), "WAV", fault, good, NOW)


def key(one: formats.Truth) -> str:
    return f"recordings/2026/09/21/{one.conversation_id}/{one.recording_id}.wav"


def signed(name: str, body: bytes, at: float = NOW, secret: bytes = SECRET, answered: int = 204) -> formats.Request:
    stamp = str(int(at))
    mark = base64.b64encode(hmac.new(secret, f"{name}.{stamp}.".encode() + body, hashlib.sha256).digest()).decode()
    headers = {"Webhook-Id": name, "Webhook-Timestamp": stamp, "Webhook-Signature": f"v1,{mark}"}
    return formats.request(at, headers, body, answered)


def verified(one: formats.Truth, **more: Any) -> formats.Request:
    data = {
        "recordingId": one.recording_id,
        "conversationId": one.conversation_id,
        "eventId": f"evt-{one.recording_id}",
        "revision": 1,
        "parts": [{"key": key(one), "sha256": one.parts[0], "bytes": 9}],
    }
    kind = more.pop("kind", "media.verified")
    return signed(f"dlv-{one.recording_id}", json.dumps({"type": kind, "data": data | more}).encode())


def whole() -> Evidence:
    """Two dozen recordings as they should be: 22 archived, one deleted upstream, one an error page in quarantine."""
    good = [truth(number) for number in range(22)]
    deleted, page = truth(22, "deleted"), truth(23, "error_page")
    archive = formats.Archive(
        media=tuple(formats.StoredFile(key(one), one.recording_id, one.parts[0], 9) for one in good),
        sidecars=tuple(sidecar(one) for one in good),
        withheld=(formats.Sidecar("q.json", page.recording_id, page.conversation_id, {}, "ERROR_PAGE", 2),),
    )
    letter = formats.Letter(
        "dlv-x", "archive", "recording.lost", "DELETED_UPSTREAM", 1, complete=True, recording_id=deleted.recording_id, conversation_id=""
    )
    told = [verified(one) for one in good]
    told += [verified(deleted, kind="recording.lost", parts=[]), verified(page, kind="media.rejected", parts=[])]
    gaps = (formats.Gap(NOW - 60, NOW - 50, "restart", closed=True), formats.Gap(NOW - 50, NOW - 40, "closed", closed=True))
    trail = formats.Trail(30, "", gaps, frozenset(("recording.archive", one.recording_id) for one in good))
    return Evidence((*good, deleted, page), archive, (letter,), told, SECRET, 0, trail, [(NOW - 59, NOW - 41)])


def broken(finding: Finding) -> set[str]:
    return {breach.invariant for breach in finding.breaches}


def test_a_run_as_promised_passes() -> None:
    finding = judge(whole(), Terms())
    assert list(finding.lines()) == []
    assert finding.verdict is Verdict.PASS


def sidecar(one: formats.Truth) -> formats.Sidecar:
    return formats.Sidecar(f"{one.recording_id}.json", one.recording_id, one.conversation_id, {key(one): (one.parts[0], 9)})


def without_first(evidence: Evidence) -> Evidence:
    archive = replace(evidence.archive, media=evidence.archive.media[1:], sidecars=evidence.archive.sidecars[1:])
    return replace(evidence, archive=archive)


def with_trail(**change: Any) -> Callable[[Evidence], Evidence]:
    return lambda evidence: replace(evidence, trail=replace(evidence.trail, **change))


def with_archive(change: Callable[[formats.Archive], dict[str, Any]]) -> Callable[[Evidence], Evidence]:
    return lambda evidence: replace(evidence, archive=replace(evidence.archive, **change(evidence.archive)))


def with_letter(**change: Any) -> Callable[[Evidence], Evidence]:
    return lambda evidence: replace(evidence, letters=(replace(evidence.letters[0], **change),))


def with_first_file(**change: Any) -> Callable[[Evidence], Evidence]:
    return with_archive(lambda archive: {"media": (replace(archive.media[0], **change), *archive.media[1:])})


def with_requests(*more: formats.Request, dropped: int = 0) -> Callable[[Evidence], Evidence]:
    return lambda evidence: replace(evidence, requests=[*evidence.requests[dropped:], *more])


def also(more: Callable[[Evidence], formats.Request]) -> Callable[[Evidence], Evidence]:
    return lambda evidence: replace(evidence, requests=[*evidence.requests, more(evidence)])


FOREIGN = formats.StoredFile("recordings/2026/09/21/x/y.wav", uuid(99), "00", 1)
FIRST = truth(0)
DAMAGES: list[tuple[str, str, Callable[[Evidence], Evidence]]] = [
    ("a recording is missing", "I1", without_first),
    ("a good one was given up", "I1", lambda one: with_letter(recording_id=FIRST.recording_id)(without_first(one))),
    ("archived and given up at once", "I1", with_letter(recording_id=FIRST.recording_id)),
    ("a spoilt one lies there as good", "I1", lambda one: replace(one, truth=(truth(0, "truncated"), *one.truth[1:]))),
    ("a byte differs from the truth and the sidecar", "I2", with_first_file(sha256="ff" * 32)),
    ("the size differs", "I2", with_first_file(size=8)),
    (
        "file and sidecar agree on the wrong bytes",
        "I2",
        with_archive(
            lambda archive: {
                "media": (replace(archive.media[0], sha256="ff" * 32), *archive.media[1:]),
                "sidecars": (replace(archive.sidecars[0], parts={key(FIRST): ("ff" * 32, 9)}), *archive.sidecars[1:]),
            }
        ),
    ),
    (
        "the receiver was told another hash",
        "I2",
        with_requests(verified(FIRST, parts=[{"key": key(FIRST), "sha256": "ee", "bytes": 9}]), dropped=1),
    ),
    ("two sidecars", "I3", with_archive(lambda archive: {"sidecars": (*archive.sidecars, archive.sidecars[0])})),
    ("a second copy that no sidecar names", "I3", with_archive(lambda a: {"media": (*a.media, replace(a.media[0], key="elsewhere"))})),
    ("a sidecar without its file", "I3", with_archive(lambda archive: {"media": archive.media[1:]})),
    ("unfinished work left", "I3", with_archive(lambda _: {"unfinished": (".incoming/abc",)})),
    ("something strange in the archive", "I3", with_archive(lambda _: {"strays": ("recordings/core",)})),
    ("a recording that never was", "I4", with_archive(lambda archive: {"media": (*archive.media, FOREIGN)})),
    ("a completion for one that never was", "I4", with_requests(verified(truth(99)))),
    ("a reason that is not on the list", "I5", with_letter(reason="WHATEVER")),
    ("a reason that is not true", "I5", with_letter(reason="NOT_FOUND")),
    ("no attempt", "I5", with_letter(attempts=0)),
    ("no errors, no times", "I5", with_letter(complete=False)),
    ("withheld for nothing", "I5", with_archive(lambda archive: {"withheld": (replace(archive.withheld[0], rejected=None),)})),
    ("nobody was told", "I6", with_requests(dropped=1)),
    ("told, and never accepted", "I6", with_requests(replace(verified(FIRST), answered=500), dropped=1)),
    ("a lost one that nobody was told of", "I6", lambda one: replace(one, requests=[*one.requests[:22], one.requests[23]])),
    ("another id after a restart", "I7", also(lambda one: signed("dlv-new", one.requests[0].body))),
    (
        "one id for two completions",
        "I7",
        lambda one: replace(one, requests=[*one.requests, signed(one.requests[0].id, one.requests[1].body)]),
    ),
    ("no id", "I7", with_requests(signed("", b"{}"))),
    ("a wrong signature", "I8", also(lambda _: signed("dlv-y", b"{}", secret=b"other"))),
    (
        "a stamp from another day",
        "I8",
        lambda one: replace(one, requests=[*one.requests, replace(signed("dlv-y", b"{}"), at=NOW + 90_000)]),
    ),
    ("a trail that does not follow", "I10", with_trail(broken="2026-09-21.jsonl, line 3 does not follow")),
    ("archived, and the trail does not say so", "I10", with_trail(done=frozenset())),
    ("an open gap", "I11", lambda one: replace(one, open_gaps=2)),
    ("unheard, and no gap", "I11", with_trail(gaps=())),
    ("unheard for longer than the gap", "I11", lambda one: replace(one, silences=[(NOW - 59, NOW - 30)])),
    ("unheard before the gap", "I11", lambda one: replace(one, silences=[(NOW - 70, NOW - 55)])),
    ("a gap that nobody closed", "I11", with_trail(gaps=(formats.Gap(NOW - 60, NOW - 40, "restart", closed=False),))),
]


@pytest.mark.parametrize(("invariant", "damage"), [row[1:] for row in DAMAGES], ids=[row[0] for row in DAMAGES])
def test_what_breaks_an_invariant_is_named(invariant: str, damage: Callable[[Evidence], Evidence]) -> None:
    finding = judge(damage(whole()), Terms())
    assert finding.verdict is Verdict.FAIL
    assert invariant in broken(finding), list(finding.lines())


def test_every_invariant_has_a_damage() -> None:
    assert {invariant for _, invariant, _ in DAMAGES} == {"I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I10", "I11"}


@pytest.mark.parametrize(
    "idle",
    [
        lambda one: replace(one, truth=(), archive=formats.Archive(), letters=(), requests=[]),
        lambda one: replace(one, open_gaps=None),
        with_trail(entries=0),
    ],
    ids=["nothing happened", "nobody could be asked", "no audit trail"],
)
def test_a_run_that_proves_nothing_is_unknown(idle: Callable[[Evidence], Evidence]) -> None:
    assert judge(idle(whole()), Terms()).verdict is Verdict.UNKNOWN


def test_a_run_of_too_few_recordings_is_unknown() -> None:
    assert judge(whole(), Terms(least=100)).verdict is Verdict.UNKNOWN


def test_a_blind_spot_is_counted_and_is_no_breach() -> None:
    def wrong(archive: formats.Archive) -> dict[str, Any]:
        return {
            "media": (replace(archive.media[0], sha256="ff" * 32), *archive.media[1:]),
            "sidecars": (replace(archive.sidecars[0], parts={key(FIRST): ("ff" * 32, 9)}), *archive.sidecars[1:]),
        }

    evidence = with_archive(wrong)(whole())
    told = verified(FIRST, parts=[{"key": key(FIRST), "sha256": "ff" * 32, "bytes": 9}])
    finding = judge(replace(evidence, requests=[told, *evidence.requests[1:]]), Terms(blind=frozenset({"WAV"})))
    assert finding.verdict is Verdict.PASS
    assert finding.counts["altered"] == {FIRST.recording_id}


def test_what_is_told_beyond_the_objective_is_late() -> None:
    evidence = whole()
    slow = signed(evidence.requests[0].id, evidence.requests[0].body, at=NOW + 31)
    finding = judge(replace(evidence, requests=[slow, *evidence.requests[1:]]), Terms(slo=30))
    assert finding.verdict is Verdict.PASS
    assert finding.counts["late"] == {FIRST.recording_id}
    assert not judge(replace(evidence, requests=[slow, *evidence.requests[1:]]), Terms(slo=30, calm_at=NOW + 10)).counts["late"]


def test_the_list_of_reasons_is_the_documented_one() -> None:
    assert {"ATTEMPTS_EXHAUSTED", "DELETED_UPSTREAM", "RECEIVER_UNREACHABLE"} < REASONS
    assert all(code.isupper() and code.replace("_", "").isalpha() for code in REASONS)
    assert all(codes <= REASONS for fault, codes in TRUE_REASONS.items() if fault in ("deleted", "archived", "error_state"))


def test_only_the_first_twenty_breaches_are_shown() -> None:
    finding = judge(replace(whole(), archive=formats.Archive()), Terms())
    lines = list(finding.lines())
    assert len(lines) == 21
    assert lines[-1].startswith("and ")
