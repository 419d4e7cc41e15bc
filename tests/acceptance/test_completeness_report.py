"""`report` and `backfill` as installed: their numbers are those of the simulator's truth log, whatever happened on the way."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

REPORT_AS = {
    None: "archived",
    "deleted": ("dead", "DELETED_UPSTREAM"),
    "error_state": ("dead", "FILESTATE_ERROR"),
    "error_page": "rejected",
    "header_only": "rejected",
    "truncated": "rejected",
}
SENSITIVE = "recording:recording:viewSensitiveData"
PERMISSIONS = (
    "analytics:conversationDetail:view",
    "conversation:communication:view",
    "recording:recording:view",
    "recording:recording:editRetention",
    "routing:queue:view",
)
SCENARIO = """
seed = 7
start = "{start}"
[calls]
count = 24
per_second = 4.0
duration = ["1s", "2s"]
recordings_per_call = [1, 0, 2]
[recordings]
appear_after = ["100ms", "200ms"]
available_after = ["200ms", "600ms"]
[platform]
batch_job_time = "200ms"
rate_limit_per_minute = 6000
[faults]
{faults}
[[clients]]
id = "auditor"
secret = "auditor-secret"
permissions = {permissions}
"""
FAULTS = """
deleted = 2
error_state = 1
error_page = 1
truncated = 1
drop_socket = 1
"""
SURE = (
    'handlers.discover.config.confirm_after="4s"',
    'handlers.discover.config.give_up="20s"',
    "handlers.verify.config.fetches=1",
    "feed.reconcile_every=3s",
    "feed.backfill_settle=1s",
    "genesys.requests_per_minute=6000",
)
Sim = Callable[..., Any]


def scenario(*permissions: str, start: str = "on-subscribe", faults: str = FAULTS) -> str:
    return SCENARIO.format(start=start, faults=faults, permissions=json.dumps([*PERMISSIONS, *permissions]))


def as_auditor(platform: Any) -> None:
    platform.said |= {"clientId": "auditor", "clientSecret": "auditor-secret"}


def report(here: Any, *words: str) -> tuple[int, dict[str, Any]]:
    answer = here.call("report", "--from", "1h", "--json", *words)
    assert answer.returncode in (0, 1), answer.stderr
    return answer.returncode, json.loads(answer.stdout)


def truth_of(platform: Any) -> Counter[tuple[str, str | None]]:
    """What the report must count, by state and, for the dead, reason."""
    counted: Counter[tuple[str, str | None]] = Counter()
    for line in platform.truth("recording"):
        told = REPORT_AS[line["fault"]]
        counted[told if isinstance(told, tuple) else (told, None)] += 1
    silent = sum(line["recordings"] == 0 for line in platform.truth("call_ended"))
    if silent:
        counted["none_expected", None] = silent
    return counted


def counted(told: dict[str, Any]) -> Counter[tuple[str, str | None]]:
    """The report's own numbers; recovered ones are archived ones, found another way."""
    found: Counter[tuple[str, str | None]] = Counter()
    for item in told["items"]:
        state = "archived" if item["state"] == "recovered" else item["state"]
        found[state, item["reason"] if state == "dead" else None] += 1
    return found


@pytest.mark.timeout(150)
def test_after_a_run_with_faults_the_report_counts_what_the_truth_log_counts(
    simulator: Sim, daemon: Callable[..., Any], wait: Callable[..., Any]
) -> None:
    platform = simulator(scenario(SENSITIVE))
    as_auditor(platform)
    here = daemon(platform, *SURE)
    here.start()
    wait(lambda: here.events("conversation.ended") >= 8, what="some calls ended")
    here.kill()
    wait(lambda: platform.truth("scenario_finished"), what="the end of the scenario, without a daemon")
    here.start()
    wait(lambda: report(here)[0] == 0, seconds=60, what="a report that says complete")
    told = report(here)[1]
    assert here.stop() == 0

    truth = truth_of(platform)
    assert counted(told) == truth
    assert told["complete"] is True
    assert told["caveats"] == []
    assert sum(told["counts"].values()) == len(told["items"]) == truth.total()
    assert told["counts"]["recovered"] > 0, "what ended while the daemon was dead was found by back-fill alone"
    assert (told["recordings"], told["conversations"]) == (len(platform.truth("recording")), 24)

    offline = here.call("report", "--from", "1h", "--offline")
    assert offline.returncode == 1
    assert "complete" not in offline.stdout
    table = here.call("report", "--from", "1h", "--csv")
    lines = [line for line in table.stdout.splitlines() if not line.startswith("#")]
    assert Counter(row["state"] for row in csv.DictReader(io.StringIO("\n".join(lines)))) == Counter(
        {state: number for state, number in told["counts"].items() if number}
    )


@pytest.mark.timeout(150)
def test_backfill_finds_what_nobody_heard_and_the_second_run_changes_nothing(
    simulator: Sim, daemon: Callable[..., Any], wait: Callable[..., Any]
) -> None:
    """Without a daemon it works itself, through details jobs too; beside one it hands the work over; both find the same."""
    platform = simulator(scenario(start="at-once", faults="details_job_failed = 1\ndetails_job_expired = 1"))
    as_auditor(platform)
    here = daemon(platform, *SURE, "feed.backfill_first=1s", "genesys.details_jobs_after=2s", "genesys.details_job_poll=200ms")
    wait(lambda: platform.truth("scenario_finished"), what="the end of the scenario")

    first = here.call("backfill", "--from", "1h", "--to", "now", "--json")
    assert first.returncode == 0, first.stderr
    assert json.loads(first.stdout) | {"requests": 0, "from": 0, "to": 0} == {
        "by": "command",
        "conversationsSeen": 24,
        "conversationsNew": 24,
        "requests": 0,
        "from": 0,
        "to": 0,
    }
    again = here.call("backfill", "--from", "1h")
    assert again.returncode == 0
    assert "24 conversations seen, 0 of them new" in again.stdout
    assert "100%" in again.stderr

    here.start()
    wait(lambda: report(here)[1]["counts"]["recovered"] == len(platform.truth("recording")), what="everything recovered")
    beside = here.call("backfill", "--from", "1h", "--json")
    assert beside.returncode == 0, beside.stderr
    told = json.loads(beside.stdout)
    assert (told["by"], told["conversationsSeen"], told["conversationsNew"]) == ("daemon", 24, 0)

    code, without_permission = report(here)
    assert here.stop() == 0
    assert code == 1
    assert [caveat["code"] for caveat in without_permission["caveats"]] == ["PERMISSION_MISSING", "VARIANT_NOT_WHOLE"]
    assert without_permission["permissions"] == {SENSITIVE: False}
    shown = here.call("report", "--from", "1h").stdout
    assert f"{SENSITIVE}  MISSING" in shown
    assert "complete" not in shown
