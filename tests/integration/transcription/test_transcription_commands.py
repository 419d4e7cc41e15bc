"""`transcription` and `transcribe` from their arguments to their exit codes, against the simulated platform and a real ledger."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from genesys_sync.cli import main
from genesys_sync.clock import SystemClock
from genesys_sync.ledger import open_ledger
from genesys_sync.routing import Router
from genesys_sync.testing import make_event
from genesys_sync_simulator.clock import SystemClock as PlatformClock
from genesys_sync_simulator.platform import DEFAULT_CLIENT, Platform, assemble
from genesys_sync_simulator.scenario_file import read
from genesys_sync_simulator.server import running

pytestmark = pytest.mark.anyio

CONVERSATION = "c0c0c0c0-0000-4000-8000-000000000001"
RECORDING = "e0e0e0e0-0000-4000-8000-000000000001"
SETTINGS = """
[genesys]
api_url = "{url}"
login_url = "{url}"
[storage]
min_free = "1MiB"
[handlers.transcribe]
use = "transcribe"
[providers.speech]
use = "at-once"
locale = "en-US"
config = {{ url = "http://127.0.0.1:9", model = "m" }}
[providers.other]
use = "at-once"
config = {{ url = "http://127.0.0.1:9", model = "m" }}
"""


@dataclass
class Terminal:
    platform: Platform
    folder: Path
    capsys: Any
    queue: str

    async def call(self, *words: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        code = await to_thread.run_sync(main, ["--settings", str(self.folder / "settings.toml"), *words])
        said = self.capsys.readouterr()
        return code, said.out, said.err

    async def audited(self) -> list[tuple[str, str, str]]:
        async with open_ledger("sqlite:///./state/ledger.db", clock=SystemClock(), read_only=True) as ledger:
            entries = [one.entry for one in await ledger.audit_entries(after=0, limit=100)]
        return [(one.action, one.target, one.outcome) for one in entries]


@pytest.fixture
def terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    monkeypatch.chdir(tmp_path)

    @asynccontextmanager
    async def started(*lacking: str, **transcripts: Any) -> AsyncIterator[Terminal]:
        client = {"id": DEFAULT_CLIENT.id, "secret": DEFAULT_CLIENT.secret}
        if lacking:
            client["permissions"] = [one for one in DEFAULT_CLIENT.permissions if one not in lacking]
        document = {"start": "on-request", "calls": {"count": 1}, "transcripts": transcripts, "clients": [client]}
        platform = assemble(read(document), PlatformClock(), truth_log=tmp_path / "truth.jsonl")
        monkeypatch.setenv("GENESYS_CLIENT_ID", DEFAULT_CLIENT.id)
        monkeypatch.setenv("GENESYS_CLIENT_SECRET", DEFAULT_CLIENT.secret)
        async with running(platform):
            (tmp_path / "settings.toml").write_text(SETTINGS.format(url=platform.base_url))
            yield Terminal(platform, tmp_path, capsys, platform.world.plan.queues[0].id)

    return started


async def test_enable_changes_what_is_off_shows_what_the_platform_shows_and_is_audited(terminal) -> None:
    async with terminal(setting="Disabled") as here:
        code, out, _ = await here.call("transcription", "enable", "--queue", here.queue, "--json")
        told = json.loads(out)
        assert (code, told["transcription"], told["queues"][0]["enabled"]) == (0, "EnabledQueueFlow", True)
        assert here.platform.speech.queues[here.queue] is True
        changes = [("transcription.enable", "organization", "success"), ("transcription.enable", here.queue, "success")]
        assert await here.audited() == changes
        assert (await here.call("transcription", "enable", "--queue", here.queue))[0] == 0
        assert await here.audited() == changes, "what is on is left alone"
        assert (await here.call("transcription", "enable"))[0] == 0
        code, out, _ = await here.call("transcription", "status")
        assert (code, out.splitlines()[0].split()) == (0, ["transcription", "EnabledGlobally"])


async def test_what_keeps_it_off_is_named_and_nothing_is_changed(terminal) -> None:
    async with terminal(setting="Disabled", licensed=False) as here:
        code, _, err = await here.call("transcription", "enable")
        assert (code, "refused by the check product" in err, "--unlisted" in err) == (69, True, True)
        code, out, err = await here.call("transcription", "enable", "--unlisted", "--json")
        assert (code, json.loads(out)["check"], "403 feature.forbidden" in err, "CX 3" in err) == (69, "product", True, True)
        assert await here.audited() == [("transcription.enable", "organization", "refused")]
        unknown = "00000000-0000-4000-8000-000000000000"
        code, _, err = await here.call("transcription", "status", "--queue", unknown)
        assert (code, "refused by the check queue" in err) == (69, True)
    async with terminal("routing:transcriptionSettings:edit", setting="Disabled") as here:
        code, _, err = await here.call("transcription", "enable")
        assert (code, "lacks routing:transcriptionSettings:edit" in err) == (77, True)
        assert here.platform.speech.settings["transcription"] == "Disabled"


async def test_a_file_lies_in_the_archive_before_it_is_asked_for_and_only_once(terminal) -> None:
    async with terminal() as here:
        (here.folder / "a call.wav").write_bytes(b"RIFF and so on")
        code, out, _ = await here.call("transcribe", "a call.wav", "--phrases", "one, two", "--json")
        told = json.loads(out)
        (one,) = told["requests"]
        assert (code, told["daemon"], one["new"], one["outcome"]) == (75, False, True, "waiting")
        (kept,) = [path for path in (here.folder / "archive").rglob("*") if path.is_file()]
        assert (kept.parent.name, kept.name, kept.read_bytes()) == (one["request"], "media.wav", b"RIFF and so on")
        code, out, _ = await here.call("transcribe", "a call.wav", "--no-wait")
        assert (code, "asked for before" in out, "no daemon runs on this ledger now" in out) == (0, True, True)
        code, out, _ = await here.call("transcribe", "a call.wav", "--again", "--json")
        assert json.loads(out)["requests"][0]["request"] != one["request"]
        assert json.loads((await here.call("verify", "--json"))[1])["verdict"] == "clean"


async def test_a_conversations_recordings_are_found_in_the_ledger(terminal) -> None:
    part = {"key": f"recordings/2026/08/01/{CONVERSATION}/{RECORDING}.wav", "sha256": "1" * 64, "bytes": 9, "contentType": "audio/wav"}
    ids = {"conversation_id": CONVERSATION, "recording_id": RECORDING}
    events = [
        make_event("recording.ready", **ids, body={"sessionId": "d0d0d0d0-0000-4000-8000-000000000001"}),
        make_event("media.archived", **ids, body={"parts": [part], "revision": 1, "conversationEndedAt": "2026-08-01T12:00:00.000Z"}),
        make_event("media.verified", **ids, body={"parts": [{**part, "duration": 7.5, "codec": "pcm"}], "revision": 1, "warnings": []}),
    ]
    async with terminal() as here:
        assert (await here.call("transcribe", CONVERSATION))[0] == 69
        async with open_ledger("sqlite:///./state/ledger.db", clock=SystemClock()) as ledger:
            await ledger.append(Router({}).route(events))
        code, out, _ = await here.call("transcribe", CONVERSATION.upper(), "--json")
        assert code == 75
        async with open_ledger("sqlite:///./state/ledger.db", clock=SystemClock(), read_only=True) as ledger:
            (asked,) = await ledger.events_about(json.loads(out)["requests"][0]["request"])
        assert (asked.body["seconds"], asked.body["silent"], asked.body["communicationId"]) == (7.5, False, events[0].body["sessionId"])
        assert (asked.recording_id, asked.body["source"]["sha256"]) == (RECORDING, "1" * 64)


async def test_every_check_that_does_not_hold_has_its_line_and_a_missing_permission_its_exit_code(terminal) -> None:
    part = {"key": f"recordings/2026/08/01/{CONVERSATION}/{RECORDING}.wav", "sha256": "1" * 64, "bytes": 9, "contentType": "audio/wav"}
    archived = make_event("media.archived", conversation_id=CONVERSATION, recording_id=RECORDING, body={"parts": [part], "revision": 1})
    async with terminal() as here:
        async with open_ledger("sqlite:///./state/ledger.db", clock=SystemClock()) as ledger:
            await ledger.append(Router({}).route([archived]))
        _, out, _ = await here.call("transcribe", CONVERSATION, "--json")
        async with open_ledger("sqlite:///./state/ledger.db", clock=SystemClock()) as ledger:
            (asked,) = await ledger.events_about(json.loads(out)["requests"][0]["request"])
            sentences = {"permission": "the role lacks recording:recording:view", "length": "it is 9 s long, and 5 s are taken"}
            checks = [{"check": name, "sentence": sentence} for name, sentence in sentences.items()]
            body = {"outcome": "refused", "check": "permission", "sentence": "; ".join(sentences.values()), "checks": checks}
            refused = asked.derive("transcription.completed", occurred_at=asked.occurred_at, state=asked.id, body=body)
            await ledger.append(Router({}).route([refused]))
        code, out, _ = await here.call("transcribe", CONVERSATION)
        assert code == 77
        for name, sentence in sentences.items():
            assert f"refused by the check {name}: {sentence}\n" in out
        assert "--again" in out
        code, out, _ = await here.call("transcribe", CONVERSATION, "--json")
        assert (code, json.loads(out)["requests"][0]["checks"]) == (77, checks)


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (["nothing.wav"], 69, "is no conversation id, and there is no such file"),
        (["."], 69, "is a folder"),
        (["settings.toml"], 69, "does not end in .wav"),
        (["empty.wav"], 69, "is empty"),
        ([CONVERSATION], 69, "the ledger knows no conversation"),
        (["x.wav", "--provider", "speach"], 78, "did you mean 'speech'?"),
        (["x.wav", "--provider", "other"], 78, "providers.other.locale: is not set"),
        (["x.wav", "--set", 'handlers.transcribe.topics=["a.happened"]'], 78, "nothing was asked for"),
        (["x.wav", "--locale", "english"], 64, "is no locale"),
        (["x.wav", "--phrases", " , "], 64, "must be phrases"),
    ],
)
async def test_bad_input_is_one_sentence(terminal, words: list[str], code: int, sentence: str) -> None:
    async with terminal() as here:
        (here.folder / "empty.wav").touch()
        found, _, err = await here.call("transcribe", *words)
        assert (found, sentence in err, "Traceback" in err) == (code, True, False), err
