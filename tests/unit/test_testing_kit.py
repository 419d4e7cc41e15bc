"""The public test kit keeps the promises of the parts that it stands in for."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta

import anyio
import pytest

from genesys_sync import testing
from genesys_sync.errors import ConfigurationError, PermanentError, ReasonCode, StorageError, StorageFull, TransientError
from genesys_sync.events import Topic, delivery_id
from genesys_sync.plugin import Done, Handler, HttpReply, Look
from genesys_sync.testing import FakeGenesys, FakeHttp, FakeMedia, FolderStorage, make_event

pytestmark = pytest.mark.anyio

CONVERSATION, RECORDING = "c0c0c0c0-0000-4000-8000-000000000002", "e0e0e0e0-0000-4000-8000-000000000002"


async def test_sleepers_wake_in_the_order_of_their_time(fake_clock):
    woken = []

    async def sleeper(seconds):
        await fake_clock.sleep(seconds)
        woken.append((seconds, fake_clock.monotonic()))
        await fake_clock.sleep(10)
        woken.append((seconds + 10, fake_clock.monotonic()))

    async with anyio.create_task_group() as group:
        for seconds in (3, 1, 2):
            group.start_soon(sleeper, seconds)
        await fake_clock.advance(2.5)
        assert woken == [(1, 1), (2, 2)]
        await fake_clock.advance(20)
    assert woken == [(1, 1), (2, 2), (3, 3), (11, 11), (12, 12), (13, 13)]
    assert fake_clock.monotonic() == 22.5


async def test_a_stepped_wall_clock_moves_no_timer(fake_clock):
    before = fake_clock.now(), fake_clock.monotonic(), fake_clock.epoch_ms()
    fake_clock.step_wall(timedelta(hours=-1))
    assert (fake_clock.now(), fake_clock.monotonic(), fake_clock.epoch_ms()) == (before[0] - timedelta(hours=1), *before[1:])


@pytest.mark.parametrize("topic", list(Topic))
def test_every_topic_has_a_sample_event(topic):
    event = make_event(topic, body={"extra": 1})
    assert (event.topic, event.body["extra"]) == (topic, 1)
    assert (event.recording_id is not None) == topic.startswith(("recording.", "media."))
    assert make_event(topic).id == event.id != make_event(topic, state="other").id


def test_a_sample_s_revision_is_that_of_the_event():
    assert make_event("recording.ready", revision=3).body["revision"] == 3


def test_the_kit_names_what_it_has():
    for name in testing.__all__:
        assert getattr(testing, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        testing.Nothing  # noqa: B018 - the access itself is what is tested


async def test_what_was_not_put_into_the_platform_is_not_found_or_not_ready():
    genesys = FakeGenesys(FakeMedia())
    for question in (
        genesys.recordings.look(CONVERSATION),
        genesys.recordings.get(CONVERSATION, RECORDING),
        genesys.conversations.get(CONVERSATION),
        genesys.request("GET", "/api/v2/users/me"),
    ):
        with pytest.raises(PermanentError) as caught:
            await question
        assert caught.value.code is ReasonCode.NOT_FOUND
    with pytest.raises(TransientError) as caught:
        await genesys.recordings.locate(CONVERSATION, RECORDING)
    assert caught.value.code is ReasonCode.NOT_READY
    assert await genesys.conversations.details(CONVERSATION) is None


async def test_a_placed_recording_is_seen_located_and_downloaded(tmp_path):
    media = FakeMedia()
    genesys = FakeGenesys(media)
    genesys.recordings.place(CONVERSATION, RECORDING, b"one", b"two", content_type="audio/ogg")
    look = await genesys.recordings.look(CONVERSATION)
    assert [info.recording_id for info in look.recordings] == [RECORDING]
    first, second = await genesys.recordings.locate(CONVERSATION, RECORDING)
    got = await media.download(second, tmp_path / "second")
    assert (tmp_path / "second").read_bytes() == b"two"
    assert (got.size, got.sha256, got.content_type) == (3, hashlib.sha256(b"two").hexdigest(), "audio/ogg")
    media.fail(TransientError("broken off"))
    with pytest.raises(TransientError):
        await media.download(first, tmp_path / "first")
    assert (await media.download(first, tmp_path / "first")).size == 3


async def test_scripted_answers_come_in_order_and_the_last_repeats():
    genesys, http = FakeGenesys(FakeMedia()), FakeHttp()
    genesys.recordings.looks(CONVERSATION, Look((), definitive=True), TransientError("busy"))
    assert (await genesys.recordings.look(CONVERSATION)).recordings == ()
    for _ in range(2):
        with pytest.raises(TransientError):
            await genesys.recordings.look(CONVERSATION)
    genesys.answer("GET", "/api/v2/users/me", {"id": 1}, {"id": 2})
    assert [await genesys.request("GET", "/api/v2/users/me") for _ in range(3)] == [{"id": 1}, {"id": 2}, {"id": 2}]
    http.answer(503, HttpReply(200, {}, b"ok"))
    assert [(await http.request("POST", "https://crm.example", body=b"x")).status for _ in range(3)] == [503, 200, 200]
    assert [sent.body for sent in http.sent] == [b"x"] * 3


async def test_the_folder_keeps_the_archive_s_promises(tmp_path):
    storage = FolderStorage(tmp_path / "archive")
    source = tmp_path / "scratch"
    source.write_bytes(b"audio")
    await storage.adopt(source, "recordings/a.wav")
    await storage.write("recordings/a.json", b"{}")
    assert not source.exists()
    assert storage.keys() == ["recordings/a.json", "recordings/a.wav"]
    assert await storage.sha256("recordings/a.wav") == hashlib.sha256(b"audio").hexdigest()
    assert (await storage.size("recordings/a.wav"), await storage.size("none")) == (5, None)
    await storage.move("recordings/a.wav", "quarantine/a.wav")
    await storage.move("recordings/a.wav", "quarantine/a.wav")  # repeated: no error
    assert await storage.read("quarantine/a.wav") == b"audio"
    with pytest.raises(StorageError):
        await storage.read("quarantine/a.wav", limit=4)
    with pytest.raises(FileNotFoundError):
        await storage.read("recordings/a.wav")
    async with storage.local("quarantine/a.wav") as path:
        assert path.read_bytes() == b"audio"
    storage.fail(StorageFull("full"))
    with pytest.raises(StorageFull):
        await storage.write("recordings/b.json", b"{}")
    storage.fail(None)
    await storage.write("recordings/b.json", b"{}")


@pytest.mark.parametrize("key", ["", "/etc/passwd", "../up", "a/../b", "a//b", ".hidden", "a/.b", "a b", "ü"])
async def test_what_is_no_key_is_refused(tmp_path, key):
    with pytest.raises(StorageError):
        await FolderStorage(tmp_path).write(key, b"")


@dataclass(frozen=True)
class Config:
    times: int = 1


class Recorder(Handler[Config]):
    config_type = Config

    async def handle(self, event, delivery):
        for _ in range(self.config.times):
            self.services.audit.record("thing.done", delivery.id, attempt=delivery.attempt)
        async with self.services.scratch.file(".wav") as path:
            path.write_bytes(b"x")
            self.left = path
        return Done()

    def running(self, services):
        self.services = services
        return super().running(services)


async def test_the_harness_calls_a_handler_as_the_daemon_does(handler_harness, fake_clock):
    event = make_event("media.verified")
    async with handler_harness(Recorder, {"times": 2}, name="recorder") as harness:
        assert await harness.handle(event, attempt=3) == Done()
        assert not harness.handler.left.exists()
        with pytest.raises(RuntimeError, match="outside of a delivery"):
            harness.services.audit.record("thing.done", "x")
    assert [(entry.action, entry.target, entry.facts) for entry in harness.audited] == [
        ("thing.done", delivery_id(event.id, "recorder"), {"attempt": 3})
    ] * 2
    assert harness.clock is fake_clock


def test_the_harness_decodes_a_configuration_as_strictly_as_the_daemon(handler_harness):
    with pytest.raises(ConfigurationError, match=r"handlers\.under-test\.config\.tims: unknown key; did you mean 'times'\?"):
        handler_harness(Recorder, {"tims": 2})
