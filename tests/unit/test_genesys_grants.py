"""A further client must see all that the first one sees."""

from typing import Any

import pytest

from genesys_sync.genesys.grants import confined_to, lacking, sees_sensitive


def subject(*permissions: str, division: str = "home") -> dict[str, Any]:
    policies = [
        dict(zip(("domain", "entityName"), one.split(":")[:2], strict=True)) | {"actions": [one.split(":")[2]]} for one in permissions
    ]
    return {"grants": [{"division": {"id": division}, "role": {"policies": policies}}]}


VIEW, SENSITIVE = "recording:recording:view", "recording:recording:viewSensitiveData"


@pytest.mark.parametrize(
    ("own", "first", "missing"),
    [
        (subject(VIEW), subject(VIEW), []),
        (subject("recording:*:*"), subject(VIEW, SENSITIVE), []),
        (subject(VIEW), subject(VIEW, SENSITIVE), [f"{SENSITIVE} in division home"]),
        (subject(VIEW), subject("recording:recording:*"), ["recording:recording:* in division home"]),
        (subject(VIEW, division="home"), subject(VIEW, division="sales"), [f"{VIEW} in division sales"]),
        (subject(VIEW, division="*"), subject(VIEW, division="sales"), []),
        (subject(VIEW), subject(VIEW, "routing:queue:view", "architect:flow:publish"), []),
        ({}, subject(VIEW), [f"{VIEW} in division home"]),
        ({}, {}, []),
    ],
)
def test_what_is_missing_is_named_with_its_division(own: Any, first: Any, missing: list[str]) -> None:
    assert lacking(own, first) == missing


def together(*answers: dict[str, Any]) -> dict[str, Any]:
    return {"grants": [grant for answer in answers for grant in answer["grants"]]}


@pytest.mark.parametrize(
    ("answer", "sees"),
    [
        (subject(VIEW, SENSITIVE), True),
        (subject("recording:*:*"), True),
        (subject(VIEW), False),
        (together(subject(VIEW, SENSITIVE), subject(VIEW, division="sales")), False),
        (together(subject(VIEW, SENSITIVE), subject(VIEW, SENSITIVE, division="sales")), True),
        (together(subject(VIEW, division="*"), subject(SENSITIVE, division="sales")), False),
        (together(subject(VIEW, division="sales"), subject(SENSITIVE, division="*")), True),
        (subject("routing:queue:view"), False),
        ({}, None),
        ({"grants": "none"}, None),
    ],
)
def test_sensitive_recordings_are_seen_where_the_permission_reaches_as_far_as_the_recordings_do(answer: Any, sees: bool | None) -> None:
    assert sees_sensitive(answer) is sees


FOUND = "analytics:conversationDetail:view"


@pytest.mark.parametrize(
    ("answer", "divisions"),
    [
        (subject(VIEW, FOUND), ["home"]),
        (subject(VIEW, FOUND, division="*"), []),
        (together(subject(VIEW, division="*"), subject(FOUND, division="sales")), ["sales"]),
        (together(subject(VIEW, FOUND), subject(VIEW, FOUND, division="sales")), ["home", "sales"]),
        (together(subject(VIEW, FOUND), subject("routing:queue:view", division="sales")), ["home"]),
        ({}, []),
        (None, []),
    ],
)
def test_the_divisions_to_which_a_client_is_confined_are_named(answer: Any, divisions: list[str]) -> None:
    assert confined_to(answer) == divisions


def test_a_division_is_called_by_its_name() -> None:
    answer = subject(VIEW, FOUND)
    answer["grants"][0]["division"]["name"] = "Home"
    assert confined_to(answer) == ["Home"]
