"""A kill loses no utterance that was held: what the next process finds is hidden at the worst, told once, and read with what follows."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Any

import anyio
import pytest

from genesys_sync.events import Event
from genesys_sync.feed.held import HeldBook
from genesys_sync.feed.live import Live, utterance_finished
from genesys_sync.metrics import Metrics
from genesys_sync.redaction import Redactor
from genesys_sync.settings import FeedSettings
from genesys_sync.testing import FakeClock

pytestmark = pytest.mark.anyio
CALL, LEG = "0b0b0b0b-1111-4222-8333-444444444444", "0c0c0c0c-1111-4222-8333-444444444444"


class Hand:
    """An intake that keeps what it is given, and commits when it is told to."""

    full = False

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.empty = False

    def add(self, event: Event, size: int) -> None:
        self.events.append(event)

    async def room(self) -> None:
        pass


class Process:
    """A life of `Live` over one file. `known`: ids of events that the ledger has."""

    def __init__(self, file: Path, clock: FakeClock, known: set[str] | None = None) -> None:
        self.hand, self.metrics = Hand(), Metrics()
        intake: Any = self.hand
        self.known = known or set()
        self.live = Live(
            redactor=Redactor(),
            intake=intake,
            clock=clock,
            settings=FeedSettings(live_transcripts=True),
            metrics=self.metrics,
            organization_id="org",
            held=HeldBook(file),
            known=self._known,
        )

    async def _known(self, event_id: str) -> bool:
        return event_id in self.known

    def say(self, number: int, text: str) -> None:
        guess = {"transcript": text, "offsetMs": 1000 * number, "durationMs": 900}
        one = {"utteranceId": f"u{number}", "isFinal": True, "channel": "EXTERNAL", "alternatives": [guess]}
        told = {"conversationId": CALL, "communicationId": LEG, "transcriptionStartTimeMs": 1785585600000, "transcripts": [one]}
        assert self.live.take(told, 100)

    def texts(self) -> dict[str, str]:
        return {event.body["utteranceId"]: event.body["text"] for event in self.hand.events}

    def recovered(self) -> float | None:
        return self.metrics.registry.get_sample_value("genesys_sync_live_utterances_total", {"outcome": "recovered"})


async def at_kill(file: Path, clock: FakeClock, *lines: str, committed: bool) -> tuple[bytes, Process]:
    """What lies in the file when a process that heard these lines is killed: the file as it is while the process still works."""
    first = Process(file, clock)
    first.hand.empty = committed
    async with anyio.create_task_group() as group:
        group.start_soon(first.live.run)
        for number, line in enumerate(lines):
            first.say(number, line)
        with anyio.fail_after(5):
            while first.live._waiting:
                await anyio.sleep(0.001)
            await clock.advance(1.1)
            while not file.exists() or b'"u%d"' % (len(lines) - 1) not in file.read_bytes():
                await anyio.sleep(0.001)
        left = file.read_bytes()
        group.cancel_scope.cancel()
    return left, first


async def test_what_was_held_at_a_kill_is_told_once_by_the_next_process_with_nothing_that_a_number_may_begin(
    tmp_path: Path, fake_clock: FakeClock
) -> None:
    file = tmp_path / "held"
    left, first = await at_kill(file, fake_clock, "I want to pay by card", "it is four one one one one one one one", committed=True)
    assert b"one" not in left
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.write_bytes(left)  # a kill: what the orderly end wrote is not there
    second = Process(file, fake_clock)
    async with anyio.create_task_group() as group:
        group.start_soon(second.live.run)
        with anyio.fail_after(5):
            while len(second.hand.events) < 1:
                await anyio.sleep(0.001)
            second.say(2, "one one one one")
            second.say(1, "it is four one one one one one one one")
            while second.live._waiting:
                await anyio.sleep(0.001)
        group.cancel_scope.cancel()
    assert second.recovered() == 1
    assert [event.body["utteranceId"] for event in second.hand.events] == ["u1", "u2"], "each once, also when the platform repeats it"
    assert "one" not in str(second.texts())
    assert {event.id for event in first.hand.events} >= {second.hand.events[0].id}, "one utterance, one event, whoever tells it"


async def test_what_was_told_and_not_committed_is_written_down_too_and_what_the_ledger_knows_is_not_told_again(
    tmp_path: Path, fake_clock: FakeClock
) -> None:
    file = tmp_path / "held"
    left, _ = await at_kill(file, fake_clock, "good morning", "I would like to change my tariff", "and my address", committed=False)
    file.write_bytes(left)
    told = HeldBook(file).load()
    assert [one.utterance.utterance_id for one in told] == ["u0", "u1", "u2"]
    known = {utterance_finished(one, organization_id="org", received=fake_clock.now()).id for one in told[:2]}
    second = Process(file, fake_clock, known)
    async with anyio.create_task_group() as group:
        group.start_soon(second.live.run)
        with anyio.fail_after(5):
            while not second.hand.events:
                await anyio.sleep(0.001)
        group.cancel_scope.cancel()
    assert (list(second.texts()), second.recovered()) == (["u2"], 1)


@pytest.mark.parametrize(
    "content", [None, b"", b"[]", b"{}", b'{"schema": 2, "held": []}', b'{"schema": 1, "held": [{"text": 1}]}', b"\xff"]
)
def test_a_file_that_is_none_is_the_same_as_none(content: bytes | None, tmp_path: Path) -> None:
    file = tmp_path / "held"
    if content is not None:
        file.write_bytes(content)
    assert HeldBook(file).load() == []
    assert HeldBook(None).load() == []
    assert HeldBook(tmp_path / "no" / "folder").save([]) != ""
