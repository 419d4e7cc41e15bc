"""How a flow and its operations are read, and each refusal's sentence."""

from __future__ import annotations

from typing import Any

import pytest

from genesys_sync.cli.flows import Run, _left, exit_code
from genesys_sync.errors import PermanentError, ReasonCode, TransientError
from genesys_sync.genesys.answers import PlatformRefused
from genesys_sync.genesys.flow_rules import consumers, explained, failed, flow_of, operation_of
from genesys_sync.services import Flow

ID = "0a0a0a0a-0000-4000-8000-000000000001"
FLOW = Flow(ID, "Main", "INBOUNDCALL")


@pytest.mark.parametrize(
    ("body", "lock", "holder"),
    [
        ({}, "none", ""),
        ({"lockedUser": {"id": "u", "name": "Jane"}}, "other", "Jane"),
        ({"lockedUser": {"id": "c"}}, "other", "c"),
        ({"lockedClient": {"id": "c", "name": "ours"}}, "own", "ours"),
        ({"lockedClient": {"id": "d"}}, "other", "d"),
        ({"lockedUser": None, "lockedClient": {}}, "none", ""),
    ],
)
def test_whose_lock_it_is(body: dict[str, Any], lock: str, holder: str) -> None:
    flow = flow_of({"id": ID.upper(), "name": "Main", **body}, client_id="c")
    assert flow is not None
    assert (flow.id, flow.lock, flow.holder) == (ID, lock, holder)
    assert not holder or holder == "c" or holder == "d" or holder not in repr(flow)


@pytest.mark.parametrize(
    ("complete", "status", "over", "success"),
    [
        (False, "STARTED", False, False),
        (False, "PENDING_GENERATION", False, False),
        (False, "SUCCESS", False, True),
        (True, "STARTED", False, False),
        (True, "SUCCESS", True, True),
        (True, "FAILURE", True, False),
    ],
)
def test_an_operation_is_over_when_it_is_complete_with_an_end(*, complete: bool, status: str, over: bool, success: bool) -> None:
    operation = operation_of({"id": "o", "complete": complete, "actionStatus": status, "actionName": "PUBLISH"})
    assert operation is not None
    assert (operation.over, operation.success) == (over, success)
    assert operation_of({"actionStatus": status}) is None
    assert operation_of(None) is None


def test_a_failed_operation_tells_the_platforms_words_without_addresses() -> None:
    body = {"id": "o", "actionName": "CHECKIN", "errorMessage": "See https://x.example/secret", "errorDetails": [{"entityName": "Task 3"}]}
    operation = operation_of(body)
    assert operation is not None
    assert str(failed(operation, FLOW, "c")) == "the flow Main: checking in it failed: See <url>: Task 3"


def test_what_is_not_known_is_told_as_the_platform_said_it() -> None:
    error = explained(PlatformRefused("POST …: the platform answered 400 bad.thing: no", status=400, platform_code="bad.thing"), FLOW)
    assert str(error) == "the flow Main: POST …: the platform answered 400 bad.thing: no"
    assert (error.status, error.platform_code) == (400, "bad.thing")


def test_consumers_are_flows_that_are_not_deleted() -> None:
    other = ID.replace("1", "2")
    entities = [
        {"id": ID, "name": "Main", "type": "INBOUNDCALLFLOW", "deleted": False},
        {"id": ID, "name": "Main", "type": "INBOUNDCALLFLOW"},
        {"id": other, "name": "Gone", "type": "INBOUNDCALLFLOW", "deleted": True},
        {"id": other, "name": "Queue", "type": "QUEUE"},
        {"id": "nonsense", "type": "BOTFLOW"},
    ]
    assert consumers({"entities": entities}) == [(ID, "Main")]


def test_the_exit_code_puts_what_is_not_known_first() -> None:
    refused, forbidden = PermanentError("no"), PermanentError("no", code=ReasonCode.FORBIDDEN)
    assert exit_code([]) == 0
    assert exit_code([refused, forbidden]) == 69
    assert exit_code([forbidden]) == 77
    assert exit_code([refused, TransientError("perhaps")]) == 75


@pytest.mark.parametrize(
    ("step", "left"),
    [
        ("", "not begun"),
        ("checked in", "checked in, and not published"),
        ("publishing", "its publication was begun"),
        ("given back: its lock was released", "given back"),
    ],
)
def test_an_interrupted_run_says_how_a_flow_was_left(step: str, left: str) -> None:
    assert _left(Run(FLOW, step)).startswith(left)
