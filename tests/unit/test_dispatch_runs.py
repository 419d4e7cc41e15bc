"""How long after a call its consequences were done."""

from datetime import UTC, datetime, timedelta

import pytest

from genesys_sync.dispatch.runs import age_of_call
from genesys_sync.testing import make_event

NOW = datetime(2026, 8, 1, 12, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ({"conversationEndedAt": "2026-08-01T12:00:00.000Z"}, 1800),
        ({"endedAt": "2026-08-01T12:29:59.500Z"}, 0.5),
        ({"conversationEndedAt": "2026-08-01T13:00:00.000Z"}, 0),  # clocks differ: nothing is done before it began
        ({}, None),
        ({"conversationEndedAt": "yesterday"}, None),
        ({"conversationEndedAt": 7}, None),
        ({"conversationEndedAt": "2026-08-01T12:00:00"}, None),
    ],
)
def test_the_age_is_told_from_the_end_of_the_call_where_the_event_knows_it(body: dict[str, object], seconds: float | None) -> None:
    assert age_of_call(make_event("upload.completed", body=body), now=NOW) == seconds


def test_the_age_does_not_depend_on_when_the_event_was_derived() -> None:
    event = make_event("upload.completed", body={"conversationEndedAt": "2026-08-01T12:00:00.000Z"})
    assert age_of_call(event, now=NOW + timedelta(hours=1)) == 5400
