"""`report` and `backfill` as people and programs read them, and what asking twice for the same time does."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from genesys_sync.caveats import Caveat
from genesys_sync.cli.backfill import Progress, as_json, progress, request
from genesys_sync.cli.moments import Window
from genesys_sync.cli.report import Report, as_csv, header, show
from genesys_sync.cli.report import as_json as report_as_json
from genesys_sync.cli.report_progress import shown
from genesys_sync.clock import SystemClock
from genesys_sync.completeness import Item, Judged, State
from genesys_sync.feed.backfill import OPERATOR
from genesys_sync.ledger import open_ledger
from genesys_sync.ledger.base import Gap
from genesys_sync.testing import FakeClock

SENSITIVE = "recording:recording:viewSensitiveData"
AT = datetime(2026, 8, 2, 1, tzinfo=UTC)
DAY = Window(datetime(2026, 8, 1, tzinfo=UTC), datetime(2026, 8, 2, tzinfo=UTC))


def made(*states: State, sensitive: bool | None = True, caveats: tuple[tuple[Caveat, str], ...] = ()) -> Report:
    report = Report(DAY, AT, SENSITIVE, organization_id="org", sensitive=sensitive, caveats=list(caveats))
    for number, state in enumerate(states):
        reason = "NOT_READY" if state in (State.DEAD, State.REJECTED, State.UNEXPLAINED) else ""
        recording = None if state is State.NONE_EXPECTED else f"r{number}"
        item = Item(conversation_id=f"c{number}", recording_id=recording, ended=AT, state=state, reason=reason)
        report.items.append(item)
        report.tally.add(Judged((item,)))
    return report


def test_the_word_complete_stands_only_in_a_report_that_is(capsys: pytest.CaptureFixture[str]) -> None:
    show(made(State.ARCHIVED, State.DEAD), limit=5)
    assert "complete: everything is accounted for" in capsys.readouterr().out
    for refused in (
        made(State.ARCHIVED, State.WAITING),
        made(State.UNEXPLAINED),
        made(State.ARCHIVED, sensitive=None, caveats=((Caveat.OFFLINE, "the platform was not asked"),)),
    ):
        show(refused, limit=5)
        assert "complete" not in capsys.readouterr().out
        assert not any("complete" in line for line in as_csv(refused).splitlines())
        assert report_as_json(refused)["complete"] is False


@pytest.mark.anyio
async def test_elsewhere_than_on_a_terminal_progress_is_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    clock = FakeClock()
    with shown(clock) as told:
        for second in range(25):
            told(f"after {second} s")
            await clock.advance(1)
    assert capsys.readouterr().err == "after 10 s\nafter 20 s\n"


def test_a_client_that_is_confined_to_divisions_has_that_said_beside_the_word_complete() -> None:
    """What lies in other divisions the platform leaves out of every answer, so no number shows it."""
    report = made(State.ARCHIVED)
    assert dict(header(report))["divisions"] == "not confined"
    report.divisions = ["Home", "Sales"]
    assert dict(header(report))["divisions"].startswith("Home, Sales alone")
    assert dict(header(report))["verdict"].endswith("for the divisions Home, Sales: the client sees no other")
    assert report_as_json(report)["divisions"] == ["Home", "Sales"]


@pytest.mark.parametrize(("sensitive", "word"), [(True, "held"), (False, "MISSING"), (None, "not proved")])
def test_every_report_says_in_its_header_whether_the_permission_is_held(sensitive: bool | None, word: str) -> None:
    report = made(State.ARCHIVED, sensitive=sensitive)
    assert dict(header(report))[SENSITIVE].startswith(word)
    assert f"# {SENSITIVE}: {word}" in as_csv(report)
    assert report_as_json(report)["permissions"] == {SENSITIVE: sensitive}


def test_every_state_has_its_line_and_bad_ones_are_listed_up_to_the_limit(capsys: pytest.CaptureFixture[str]) -> None:
    show(made(*State, State.DEAD, State.DEAD), limit=2)
    out = capsys.readouterr().out
    for state in State:
        assert f"\n{str(state).replace('_', ' ')} " in out
    assert "recording r5 of conversation c5" in out
    assert "and 1 more" in out


def test_csv_and_json_hold_every_item() -> None:
    report = made(*State)
    rows = list(csv.DictReader(io.StringIO("".join(line + "\n" for line in as_csv(report).splitlines() if not line.startswith("#")))))
    items = json.loads(json.dumps(report_as_json(report)))["items"]
    assert [row["state"] for row in rows] == [item["state"] for item in items] == [str(state) for state in State]
    assert [list(row) for row in rows] == [[*item, "communicationId"] for item in items]
    assert report_as_json(report)["counts"] == {str(state): 1 for state in State}


def gap(number: int, start: int, end: int, *, up_to: int | None = None, closed: int | None = None) -> Gap:
    return Gap(number, start, end, OPERATOR, closed, up_to, 10, 2)


@pytest.mark.parametrize(
    ("gaps", "expected"),
    [
        ([gap(1, 0, 100)], Progress(0.0, 0, 10, 2)),
        ([gap(1, 0, 100, up_to=25)], Progress(0.25, 25, 10, 2)),
        ([gap(1, 0, 100, up_to=100, closed=1), gap(2, 200, 300, up_to=250)], Progress(0.75, 250, 20, 4)),
        ([gap(1, 0, 100, up_to=100, closed=1)], Progress(1.0, 100, 10, 2)),
    ],
)
def test_how_far_a_request_has_come(gaps: list[Gap], expected: Progress) -> None:
    assert progress(gaps) == expected


@pytest.mark.anyio
async def test_asking_again_goes_on_with_the_request_that_is_open(tmp_path: Path) -> None:
    clock = SystemClock()
    hour = 3_600_000
    async with open_ledger(f"sqlite:///{tmp_path / 'ledger.db'}", clock=clock) as ledger:
        missed = await ledger.open_gap(from_ms=DAY.from_ms, to_ms=DAY.to_ms, cause="silence")
        [first] = await request(ledger, DAY, clock)
        assert await request(ledger, DAY, clock) == [first]
        later = Window(datetime.fromtimestamp((DAY.from_ms + hour) / 1000, UTC), datetime.fromtimestamp((DAY.to_ms + hour) / 1000, UTC))
        [again, rest] = await request(ledger, later, clock)
        assert again == first
        added = await ledger.gap(rest)
        assert added is not None
        assert (added.from_ms, added.to_ms, added.cause) == (DAY.to_ms, DAY.to_ms + hour, OPERATOR)
        await ledger.close_gap(first, at_ms=1)
        [fresh] = await request(ledger, DAY, clock)
        assert fresh not in (first, rest, missed)
        entries = await ledger.audit_entries(after=0, limit=10)
        assert [entry.entry.action for entry in entries].count("gap.open") == 3
        told = as_json(DAY, [gap for gap in await ledger.gaps(only_open=False) if gap.id == fresh], by_daemon=True)
        assert (told["by"], told["from"], told["conversationsNew"]) == ("daemon", "2026-08-01T00:00:00.000Z", 0)
