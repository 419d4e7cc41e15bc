"""The table of a report's transcripts: what the ledger holds and the platform tells, and what that comes to."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from typing import Any

import pytest

from genesys_sync.cli.moments import Window
from genesys_sync.cli.report import Report, as_csv, as_json, show
from genesys_sync.errors import ReasonCode
from genesys_sync.events import Event, Topic
from genesys_sync.ledger.base import DeliveryState, Fact, Standing
from genesys_sync.transcript_states import TranscriptItem, TranscriptRoles, TranscriptState, TranscriptUnexplained, judge_transcripts

AT = datetime(2026, 8, 1, 12, tzinfo=UTC)
CONVERSATION = "aaaaaaaa-1111-4222-8333-444444444444"
ONE, TWO = "dddddddd-1111-4222-8333-444444444444", "dddddddd-1111-4222-8333-555555555555"
ROLES = TranscriptRoles.of({"write": "transcript", "hide": "redact", "tell": "webhook"})
READY, LEASED, DONE, SKIPPED, DEAD = DeliveryState
S, U = TranscriptState, TranscriptUnexplained


def fact(topic: str, *deliveries: tuple[str, DeliveryState], communication: str | None = ONE, **body: Any) -> Fact:
    named = {} if communication is None else {"communicationId": communication}
    event = Event.of(topic, occurred_at=AT, organization_id="o", conversation_id=CONVERSATION, body={**named, **body})
    return Fact(event, tuple(Standing(name, state, ReasonCode.NOT_READY if state is DEAD else None) for name, state in deliveries))


def end(state: DeliveryState | None = DONE) -> Fact:
    works = () if state is None else (("write", state),)
    return fact(Topic.CONVERSATION_ENDED, *works, ("tell", DEAD), communication=None)


def archived(state: DeliveryState = DONE, **more: Any) -> Fact:
    return fact(Topic.TRANSCRIPT_ARCHIVED, ("hide", state), ("tell", READY), **more)


def missing(reason: str, communication: str = ONE) -> Fact:
    return fact(Topic.TRANSCRIPT_MISSING, communication=communication, reason=reason)


TABLE: list[tuple[str, list[Fact], list[str] | None, list[tuple[str | None, TranscriptState, str]]]] = [
    ("looked for", [end(READY)], [ONE], [(ONE, S.DETECTED, "")]),
    ("looked for, platform not asked", [end(LEASED)], None, [(None, S.DETECTED, "")]),
    ("there", [end(), archived()], [ONE], [(ONE, S.ARCHIVED, "")]),
    ("there, being redacted", [end(), archived(LEASED)], [ONE], [(ONE, S.WAITING, "")]),
    ("redaction given up", [end(), archived(DEAD)], [ONE], [(ONE, S.DEAD, "NOT_READY")]),
    ("one there, one late", [end(READY), archived()], [ONE, TWO], [(ONE, S.ARCHIVED, ""), (TWO, S.DETECTED, "")]),
    ("none", [end(), missing("too_short")], [ONE], [(ONE, S.MISSING, "too_short")]),
    ("none, and then there was one", [end(), missing("never_appeared"), archived()], [ONE], [(ONE, S.ARCHIVED, "")]),
    ("left out", [end(), missing("excluded")], [ONE], [(ONE, S.EXCLUDED, "")]),
    ("left out altogether", [end(SKIPPED)], [ONE], [(ONE, S.EXCLUDED, "")]),
    ("given up", [end(DEAD)], [ONE], [(ONE, S.DEAD, "NOT_READY")]),
    ("given up, nothing known", [end(DEAD)], None, [(None, S.DEAD, "NOT_READY")]),
    ("nobody told", [end()], [ONE], [(ONE, S.UNEXPLAINED, U.NOBODY_WORKS_ON_IT)]),
    ("nobody was asked to", [end(None)], [ONE], [(ONE, S.UNEXPLAINED, U.NOBODY_WORKS_ON_IT)]),
    ("never heard of", [], [ONE], [(ONE, S.UNEXPLAINED, U.NOT_IN_LEDGER)]),
    ("unknown to the platform", [end(), archived()], [], [(ONE, S.UNEXPLAINED, U.NOT_ON_PLATFORM)]),
    ("made by a provider", [end(), archived(source="acme", communication=TWO)], [], [(TWO, S.ARCHIVED, "")]),
    ("nothing to transcribe", [end()], [], []),
    ("nothing known of it", [end()], None, []),
]


@pytest.mark.parametrize(("facts", "communications", "expected"), [case[1:] for case in TABLE], ids=[case[0] for case in TABLE])
def test_every_communication_is_in_one_state(
    facts: list[Fact], communications: list[str] | None, expected: list[tuple[str | None, TranscriptState, str]]
) -> None:
    items = judge_transcripts(CONVERSATION, AT, facts, communications, ROLES)
    assert [(item.communication_id, item.state, item.reason) for item in items] == expected


def test_without_a_handler_only_what_is_there_is_told() -> None:
    assert judge_transcripts(CONVERSATION, AT, [end()], [ONE], TranscriptRoles()) == ()
    [item] = judge_transcripts(CONVERSATION, AT, [end(), archived()], [TWO], TranscriptRoles())
    assert (item.communication_id, item.state) == (ONE, S.ARCHIVED)


def made(*states: TranscriptState) -> Report:
    report = Report(Window(AT, AT), AT, permission="p", sensitive=True)
    report.transcripts.expected = True
    for number, state in enumerate(states):
        item = TranscriptItem(conversation_id=f"c{number}", communication_id=f"m{number}", ended=AT, state=state, reason="why")
        report.transcripts.add([item])
    return report


@pytest.mark.parametrize("state", TranscriptState)
def test_what_is_on_its_way_or_unexplained_forbids_the_word_complete(state: TranscriptState) -> None:
    assert made(state).complete is (state not in (S.DETECTED, S.WAITING, S.UNEXPLAINED))


def test_table_json_and_csv_tell_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    report = made(*TranscriptState)
    told = json.loads(json.dumps(as_json(report)))["transcripts"]
    assert told["counts"] == {str(state): 1 for state in TranscriptState}
    rows = list(csv.DictReader(io.StringIO("".join(f"{line}\n" for line in as_csv(report).splitlines() if not line.startswith("#")))))
    assert [(row["communicationId"], row["state"]) for row in rows] == [(item["communicationId"], item["state"]) for item in told["items"]]
    show(report, limit=20)
    shown = capsys.readouterr().out
    assert "transcripts still on their way: 2" in shown
    assert "transcripts missing:" in shown
    assert "communication m3 of conversation c3" in shown


def test_a_report_without_transcripts_says_nothing_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(Window(AT, AT), AT, permission="p")
    assert as_json(report)["transcripts"] is None
    show(report, limit=20)
    assert "transcript" not in capsys.readouterr().out + as_csv(report)
