"""A webhook that sends in batches: N events or T seconds, each with its own ending, and nothing held in memory alone."""

import base64
import hashlib
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

from genesys_sync.events import Event, delivery_id
from genesys_sync.plugin import Done, HttpReply, Outcome, Park, PermanentError, ReasonCode, TransientError
from genesys_sync.testing import make_event
from genesys_sync.testing.harness import HandlerHarness
from genesys_sync_handlers._messages import entry
from genesys_sync_handlers.webhook import Webhook

pytestmark = pytest.mark.anyio
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
Make = Callable[..., HandlerHarness[Any]]
Ending = Outcome | Exception


@pytest.fixture
def make(handler_harness: Make, monkeypatch: pytest.MonkeyPatch) -> Make:
    monkeypatch.setenv("CRM_SECRET", SECRET)

    def made(**config: object) -> HandlerHarness[Any]:
        return handler_harness(Webhook, {"url": "https://crm.example/hook", "secrets_env": "CRM_SECRET", **config})

    return made


def events(count: int) -> list[Event]:
    return [make_event("media.verified", revision=number + 1) for number in range(count)]


class Runs:
    """Deliveries in flight, each in a task with a scope of its own."""

    def __init__(self, harness: HandlerHarness[Any], tasks: anyio.abc.TaskGroup) -> None:
        self.harness, self.tasks = harness, tasks
        self.endings: dict[str, Ending] = {}
        self.scopes: dict[str, anyio.CancelScope] = {}

    async def _run(self, event: Event) -> None:
        scope = self.scopes[event.id] = anyio.CancelScope()
        with scope:
            try:
                self.endings[event.id] = await self.harness.handle(event)
            except (TransientError, PermanentError) as error:
                self.endings[event.id] = error

    async def start(self, *many: Event) -> None:
        for event in many:
            self.tasks.start_soon(self._run, event)
        await anyio.wait_all_tasks_blocked()


def batches(harness: HandlerHarness[Any]) -> list[list[str]]:
    return [[item["id"] for item in orjson.loads(sent.body)["data"]["items"]] for sent in harness.http.sent]


def ids(harness: HandlerHarness[Any], many: list[Event]) -> list[str]:
    return sorted(delivery_id(event.id, harness.handler.name) for event in many)


async def test_a_full_batch_goes_at_once_and_the_last_part_filled_one_when_its_time_is_up(make: Make) -> None:
    five = events(5)
    async with make(batch=2, batch_within="10s") as harness, anyio.create_task_group() as tasks:
        runs = Runs(harness, tasks)
        await runs.start(*five)
        assert [len(batch) for batch in batches(harness)] == [2, 2]
        await harness.clock.advance(9.9)
        assert len(harness.http.sent) == 2
        await harness.clock.advance(0.2)
        await anyio.wait_all_tasks_blocked()
        assert [len(batch) for batch in batches(harness)] == [2, 2, 1]
    assert sorted(item for batch in batches(harness) for item in batch) == ids(harness, five)
    assert all(isinstance(runs.endings[event.id], Done) for event in five)
    assert len(harness.audited) == 5


async def test_only_the_items_that_the_receiver_names_are_sent_again(make: Make) -> None:
    three = events(3)
    async with make(batch=3) as harness, anyio.create_task_group() as tasks:
        bad = delivery_id(three[1].id, harness.handler.name)
        harness.http.answer(HttpReply(207, {}, orjson.dumps({"failed": [{"id": bad, "code": "NO_SUCH_ACCOUNT"}]})), 200)
        runs = Runs(harness, tasks)
        await runs.start(*three)
        error = runs.endings.pop(three[1].id)
        assert isinstance(error, TransientError)
        assert error.reason == "crm.example answered 207 and names this item as failed: NO_SUCH_ACCOUNT"
        assert all(isinstance(ending, Done) for ending in runs.endings.values())
        await runs.start(three[1])
        await harness.clock.advance(10)
    assert batches(harness)[1] == [bad]


@pytest.mark.parametrize("body", [b"", b"not JSON", b'{"failed": 3}', b'{"failed": [7]}'])
async def test_a_207_that_cannot_be_read_leaves_none_of_them_done(make: Make, body: bytes) -> None:
    async with make(batch=2) as harness, anyio.create_task_group() as tasks:
        harness.http.answer(HttpReply(207, {}, body))
        runs = Runs(harness, tasks)
        await runs.start(*events(2))
    assert len(runs.endings) == 2
    assert all(isinstance(ending, TransientError) for ending in runs.endings.values())


async def test_a_receiver_that_chokes_on_one_item_still_gets_the_others(make: Make) -> None:
    four = events(4)
    async with make(batch=4) as harness, anyio.create_task_group() as tasks:
        poison = delivery_id(four[2].id, harness.handler.name)

        async def judge(*_: Any, body: bytes, **__: Any) -> HttpReply:
            return HttpReply(422 if poison.encode() in body else 204, {}, b"")

        harness.http.request = judge
        runs = Runs(harness, tasks)
        await runs.start(*four)
    error = runs.endings.pop(four[2].id)
    assert isinstance(error, TransientError)
    assert error.reason == "crm.example answered 422"
    assert [type(ending) for ending in runs.endings.values()] == [Done] * 3


async def test_an_outage_is_every_members_own_failure_and_410_parks(make: Make) -> None:
    gone = TransientError("no answer", code=ReasonCode.RECEIVER_UNREACHABLE)
    async with make(batch=2) as harness, anyio.create_task_group() as tasks:
        harness.http.answer(gone, 410)
        runs = Runs(harness, tasks)
        first, second = events(2), events(4)[2:]
        await runs.start(*first)
        assert [runs.endings[event.id] for event in first] == [gone, gone]
        await runs.start(*second)
        assert all(isinstance(runs.endings[event.id], Park) for event in second)


async def test_when_the_one_that_leads_is_handed_back_the_others_go_on(make: Make) -> None:
    three = events(3)
    async with make(batch=3, batch_within="10s") as harness, anyio.create_task_group() as tasks:
        runs = Runs(harness, tasks)
        await runs.start(*three[:2])
        runs.scopes[three[0].id].cancel()
        await anyio.wait_all_tasks_blocked()
        await harness.clock.advance(10)
        await anyio.wait_all_tasks_blocked()
        assert batches(harness) == [ids(harness, three[1:2])]
        await runs.start(three[2])  # a new batch: the old one is closed
        runs.scopes[three[2].id].cancel()
    assert list(runs.endings) == [three[1].id]


async def test_the_same_members_are_the_same_bytes_under_the_same_id(make: Make) -> None:
    async with make(batch=2) as harness, anyio.create_task_group() as tasks:
        harness.http.answer(500, 204)
        for pair in (events(2), events(2)[::-1]):
            await Runs(harness, tasks).start(*pair)
    first, again = harness.http.sent
    assert first.body == again.body
    assert first.headers["webhook-id"] == again.headers["webhook-id"]


def test_the_policy_has_room_for_two_batches_and_the_wait() -> None:
    handler = Webhook("crm", Webhook.config_type(url="https://crm.example", secrets_env="X", batch=50, batch_within=timedelta(minutes=5)))
    assert handler.policy.concurrency == 100
    assert handler.policy.timeout == timedelta(minutes=6)
    assert Webhook.policy.concurrency == 8


# --- templates

TRANSCRIPT = orjson.dumps({"segments": [{"speaker": "customer", "text": "my card is [CARD]"}]})


def redacted(sha256: str) -> Event:
    body = {
        "communicationId": "c",
        "conversationEndedAt": "2026-08-01T11:59:30.000Z",
        "transcript": {"key": "redacted/transcripts/t.json", "sha256": sha256, "bytes": len(TRANSCRIPT)},
        "forms": [{"form": "vtt", "key": "redacted/transcripts/t.vtt", "sha256": "ab", "bytes": 3}],
        "hidden": {"card": 1},
    }
    return make_event("transcript.redacted", body=body)


async def test_an_nlp_pipeline_gets_the_redacted_transcript_itself(make: Make) -> None:
    async with make(template="transcript") as harness:
        await harness.storage.write("redacted/transcripts/t.json", TRANSCRIPT)
        await harness.handle(redacted(hashlib.sha256(TRANSCRIPT).hexdigest()))
    data = orjson.loads(harness.http.sent[0].body)["data"]
    assert data["content"] == orjson.loads(TRANSCRIPT)
    assert data["latency"] == {"fromCallEndSeconds": 30.0}
    assert harness.audited[0].facts["latency"] == {"fromCallEndSeconds": 30.0}


async def test_a_transcript_that_is_not_the_archived_one_is_not_sent(make: Make, tmp_path: Path) -> None:
    async with make(template="transcript") as harness:
        with pytest.raises(PermanentError, match="not in the archive"):
            await harness.handle(redacted("00"))
        await harness.storage.write("redacted/transcripts/t.json", TRANSCRIPT + b" ")
        with pytest.raises(PermanentError, match="SHA-256 differs"):
            await harness.handle(redacted(hashlib.sha256(TRANSCRIPT).hexdigest()))
    assert harness.http.sent == []


def test_a_document_system_gets_the_files_and_no_text() -> None:
    data = entry(redacted("ff"), template="document")["data"]
    assert [(file["kind"], file["key"]) for file in data["files"]] == [
        ("transcript", "redacted/transcripts/t.json"),
        ("form", "redacted/transcripts/t.vtt"),
    ]
    assert data["hidden"] == {"card": 1}
    assert "transcript" not in data
    assert "forms" not in data
