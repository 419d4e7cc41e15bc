"""A batch that waits to be filled outlives the process: real processes, real kill -9."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.harness.receiver import Receiver

CALLS = 7
SCENARIO = f"""
start = "at-once"
[calls]
count = {CALLS}
per_second = 50.0
duration = "500ms"
head_start = "400ms"
recordings_per_call = [0]
"""


@pytest.fixture
def receiver(tmp_path: Path) -> Iterator[Receiver]:
    with closing(Receiver(tmp_path)) as made:
        yield made


def items(receiver: Receiver) -> list[dict[str, Any]]:
    return [item for one in receiver.accepted() for item in json.loads(one.body)["data"]["items"]]


def test_a_part_filled_batch_that_was_killed_arrives_after_the_restart_each_item_once(
    simulator: Callable[..., Any], daemon: Callable[..., Any], receiver: Receiver, wait: Callable[..., Any]
) -> None:
    """Five fill a batch and go; two wait for company when the process is killed. They were in the ledger, so they come."""
    platform = simulator(SCENARIO)
    here = daemon(
        platform,
        'handlers.tell.use="webhook"',
        'handlers.tell.topics=["conversation.ended"]',
        f'handlers.tell.config.url="{receiver.url}"',
        f'handlers.tell.config.secret_files=["{receiver.secret_file}"]',
        "handlers.tell.config.allow_http=true",
        "handlers.tell.config.batch=5",
        'http.allow_private=["127.0.0.0/8"]',
    )
    patient = here.overrides
    here.overrides = (*patient, 'handlers.tell.config.batch_within="10m"')
    here.start()

    def two_wait() -> bool:
        told = here.call("status", "--json")
        return told.returncode == 0 and json.loads(told.stdout)["deliveries"].get("tell", {}).get("leased") == CALLS - 5

    wait(lambda: len(items(receiver)) == 5 and two_wait(), what="a batch that went, and one that waits")
    here.kill()
    first = items(receiver)
    assert len(first) == 5, "what waits was not sent"
    here.overrides = (*patient, 'handlers.tell.config.batch_within="500ms"')
    here.start()
    wait(lambda: len(items(receiver)) >= CALLS, what="the last part-filled batch")
    ended = {one["conversationId"] for one in platform.truth("call_ended")}
    assert Counter(item["data"]["conversationId"] for item in items(receiver)) == Counter(ended)
    assert len({item["id"] for item in items(receiver)}) == CALLS
    assert here.stop() == 0
    assert len(items(receiver)) == CALLS
