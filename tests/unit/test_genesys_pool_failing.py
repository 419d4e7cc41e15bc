"""A further client that fails again and again is left out: it would be given ever more of the work, because nobody uses up its room."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from genesys_sync.errors import ReasonCode, TransientError
from genesys_sync.genesys.pool import FAILURES_MOST, Pool
from genesys_sync.metrics import Metrics
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio


class Asked:
    """Answers, or fails with the code it is given."""

    def __init__(self, name: str, room: int) -> None:
        self.name = name
        self.fails: ReasonCode | None = None
        self.calls = 0
        self._room = room

    def room(self, _lane: object) -> tuple[float, int]:
        return 0.0, self._room

    async def call(self, *_words: object, **_more: object) -> Any:
        self.calls += 1
        if self.fails is not None:
            raise TransientError("it answers 500", code=self.fails)
        return self.name


def pool(further: Asked) -> Pool:
    made = Pool(Asked("main", 10), [further], clock=FakeClock(), metrics=Metrics())  # type: ignore[arg-type, list-item]  # what is called
    made.members[0].code = ""
    return made


async def ask(made: Pool, times: int) -> list[object]:
    answers: list[object] = []
    for _ in range(times):
        try:
            answers.append(await made.call("GET", "/api/v2/x"))
        except TransientError as error:
            answers.append(error.code)
    return answers


@pytest.mark.parametrize("code", [ReasonCode.BAD_ANSWER, ReasonCode.UNREACHABLE])
async def test_it_is_left_out_after_some_failures_in_a_row_and_told_of_once(code: ReasonCode) -> None:
    further = Asked("second", 100)
    further.fails = code
    made = pool(further)
    with capture_logs() as lines:
        assert await ask(made, FAILURES_MOST + 2) == [code] * FAILURES_MOST + ["main", "main"]
    assert made.members[0].code == "client_failing"
    assert [line["code"] for line in lines if line["event"] == "client_out"] == ["client_failing"]


async def test_a_success_in_between_begins_anew() -> None:
    further = Asked("second", 100)
    made = pool(further)
    for _ in range(3):
        further.fails = ReasonCode.BAD_ANSWER
        await ask(made, FAILURES_MOST - 1)
        further.fails = None
        assert await ask(made, 1) == ["second"]
    assert made.members[0].usable


async def test_a_client_that_is_told_to_wait_is_not_failing() -> None:
    further = Asked("second", 100)
    further.fails = ReasonCode.RATE_LIMITED
    made = pool(further)
    await ask(made, 2 * FAILURES_MOST)
    assert made.members[0].usable
