"""Which topics are wanted, given the queues that there are and those that were chosen."""

from __future__ import annotations

import pytest

from genesys_sync.feed.subscriptions import Wanted, wanted_topics
from genesys_sync.genesys.platform import Queue

FIRST = Queue("aaaaaaaa-1111-4222-8333-444444444444", "Sales")
SECOND = Queue("bbbbbbbb-1111-4222-8333-444444444444", "Care")


def topic(queue: Queue) -> str:
    return f"v2.routing.queues.{queue.id}.conversations"


@pytest.mark.parametrize(
    ("chosen", "wanted"),
    [
        (["*"], Wanted((topic(FIRST), topic(SECOND)))),
        (["Care"], Wanted((topic(SECOND),))),
        ([FIRST.id], Wanted((topic(FIRST),))),
        ([FIRST.id.upper()], Wanted((topic(FIRST),))),
        (["care"], Wanted((), unmatched=("care",))),
        ([], Wanted(())),
    ],
)
def test_queues_are_chosen_by_id_in_any_case_or_by_their_exact_name(chosen: list[str], wanted: Wanted) -> None:
    assert wanted_topics([SECOND, FIRST], chosen=chosen, extra=[]) == wanted
