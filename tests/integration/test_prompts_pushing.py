"""A folder pushed with a real ledger: what is recorded, what is noticed, what one file's trouble does to the others."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from anyio.lowlevel import checkpoint

from genesys_sync.actions import AuditedActions
from genesys_sync.architect.folder import read_folder
from genesys_sync.architect.pushing import Entry, Means, Pushing, find_audio, prompt_form
from genesys_sync.audit import AuditEntry
from genesys_sync.cli.prompts import as_json, exit_code
from genesys_sync.clock import SystemClock
from genesys_sync.errors import PermanentError, ReasonCode, TransientError
from genesys_sync.ledger import open_ledger
from genesys_sync.ledger.base import Ledger
from genesys_sync.routing import Router
from genesys_sync.services import (
    BadAudio,
    Downloaded,
    Encoding,
    MediaPart,
    Prompt,
    PromptAsset,
    PromptForm,
    PromptSound,
    SecretUrl,
    UploadForm,
)
from genesys_sync.settings import PromptSettings
from genesys_sync.testing.architect import FakePrompts
from genesys_sync_handlers.prompt_audio import PromptAudio

pytestmark = pytest.mark.anyio
ORGANIZATION = "0a0a0a0a-0000-4000-8000-000000000001"


class Served(FakePrompts):
    """As the platform: it shows where a prompt's audio lies."""

    async def push(self, name: str, language: str, audio: Path, **more: Any) -> PromptAsset:
        asset = await super().push(name, language, audio, **more)
        return replace(asset, media=SecretUrl("https://media.example.com/x"))

    async def listed(self, *, media: bool = False) -> dict[str, Prompt]:
        found = await super().listed()
        uri = SecretUrl("https://media.example.com/x") if media else None
        return {
            name: replace(prompt, assets={language: replace(asset, media=uri) for language, asset in prompt.assets.items()})
            for name, prompt in found.items()
        }


class Audio:
    """Every file plays one second, unless it says `bad`. `back` is how long what is fetched back plays."""

    def __init__(self) -> None:
        self.converted: list[str] = []
        self.back = 1.0

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        yield

    async def convert(self, source: Path, into: Path, form: PromptForm) -> PromptSound:
        await checkpoint()
        content = source.read_bytes()
        if content == b"bad":
            raise BadAudio("it is bad")
        self.converted.append(source.parent.name)
        into.write_bytes(content)
        return PromptSound(1.0, len(content), "wav", 0.0, -20.0, limited=False, sha256=hashlib.sha256(content).hexdigest())

    async def seconds(self, path: Path) -> float:
        await checkpoint()
        return self.back


class Store:
    def __init__(self) -> None:
        self.sha256 = "5e"
        self.downloads = 0

    async def download(self, part: MediaPart, into: Path) -> Downloaded:
        await checkpoint()
        self.downloads += 1
        into.write_bytes(b"served")
        return Downloaded(6, self.sha256, "audio/wav", None, length_stated=True, resumed=0)


class Here:
    def __init__(self, folder: Path, ledger: Ledger) -> None:
        self.folder = folder
        self.prompts = Served()
        self.audio = Audio()
        self.store = Store()
        self.ledger = ledger
        self.settings = PromptSettings()
        clock = SystemClock()
        self.prompts.actions = AuditedActions(self._record, clock=clock, client_id="c", actor="test")

    async def _record(self, entry: AuditEntry) -> None:
        await self.ledger.record_audit([entry])

    def put(self, place: str, content: bytes) -> None:
        (self.folder / place).parent.mkdir(parents=True, exist_ok=True)
        (self.folder / place).write_bytes(content)

    async def run(self, *, push: bool = True, compare_audio: bool = False) -> list[Entry]:
        means = Means(
            prompts=self.prompts,
            media=self.store,
            audio=self.audio,
            ledger=self.ledger,
            router=Router({}),
            clock=SystemClock(),
            organization_id=ORGANIZATION,
            settings=self.settings,
            compare_audio=compare_audio,
        )
        return await Pushing(means, self.folder).run(read_folder(self.folder), push=push, told=lambda _: None)

    async def changes(self, *, push: bool = True) -> dict[str, str]:
        return {entry.name: entry.outcome or entry.change.value for entry in await self.run(push=push)}


@pytest.fixture
async def here(tmp_path: Path) -> AsyncGenerator[Here]:
    async with open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock=SystemClock()) as ledger:
        made = Here(tmp_path / "prompts", ledger)
        for name in ("one", "two", "three"):
            made.put(f"{name}/en-us.wav", name.encode())
        yield made


async def test_a_plan_changes_nothing_and_a_push_is_done_once(here: Here) -> None:
    assert await here.changes(push=False) == dict.fromkeys(("one", "two", "three"), "new")
    assert here.prompts.pushed == []
    assert await here.changes() == dict.fromkeys(("one", "two", "three"), "pushed")
    here.audio.converted.clear()
    assert await here.changes() == dict.fromkeys(("one", "two", "three"), "unchanged")
    assert (len(here.prompts.pushed), here.audio.converted) == (3, []), "what is unchanged is not even decoded"
    assert [entry.entry.action for entry in await here.ledger.audit_entries(after=0, limit=9)] == ["prompt.push"] * 3


async def test_only_what_changed_is_pushed_and_the_record_follows(here: Here) -> None:
    await here.run()
    for content in (b"second", b"third", b"one"):
        here.put("one/en-us.wav", content)
        assert await here.changes() == {"one": "pushed", "two": "unchanged", "three": "unchanged"}, "also back to what it was once"
    here.settings = PromptSettings(encoding="ulaw", loudness="keep")
    assert set((await here.changes()).values()) == {"pushed"}
    assert set((await here.changes()).values()) == {"unchanged"}


async def test_a_change_that_somebody_made_in_architect_is_noticed(here: Here) -> None:
    await here.run()
    prompt = here.prompts.prompts["two"]
    here.prompts.prompts["two"] = replace(prompt, assets={"en-us": replace(prompt.assets["en-us"], seconds=7.0)})
    (entry,) = [one for one in await here.run(push=False) if one.name == "two"]
    assert (entry.change, entry.why) == ("changed", "somebody else has changed its audio on the platform")


async def test_a_replacement_of_the_same_length_and_format_is_noticed_when_audio_is_compared(here: Here) -> None:
    await here.run()
    here.store.downloads = 0
    assert {entry.change for entry in await here.run(compare_audio=True)} == {"unchanged"}
    assert here.store.downloads == 3
    here.store.sha256 = "07"
    assert {entry.change for entry in await here.run(push=False)} == {"unchanged"}, "nothing that is published tells it"
    found = await here.run(push=False, compare_audio=True)
    assert {(entry.change, entry.why) for entry in found} == {("changed", "somebody else has changed its audio on the platform")}
    assert {entry.outcome for entry in await here.run(compare_audio=True)} == {"pushed"}
    assert {entry.change for entry in await here.run(compare_audio=True)} == {"unchanged"}


async def test_one_files_trouble_is_its_own(here: Here) -> None:
    here.put("two/en-us.wav", b"bad")
    assert await here.changes() == {"one": "pushed", "two": "invalid", "three": "pushed"}
    here.put("four/en-us.wav", b"4")
    here.put("two/en-us.wav", b"good")
    here.settings = PromptSettings(at_a_time=1)
    here.prompts.fail(BadAudio("the platform could not transcode it"), TransientError("the store is away"))
    entries = await here.run()
    assert {entry.name: entry.outcome for entry in entries} == {"one": "", "three": "", "four": "bad", "two": "failed"}
    assert exit_code(entries) == 75
    failures = {one["prompt"]: one["failure"] for one in as_json(here.folder, entries)["prompts"]}
    assert failures["two"]["error"] == "the store is away"
    assert await here.changes() == {"one": "unchanged", "three": "unchanged", "four": "pushed", "two": "pushed"}


async def test_what_would_refuse_every_file_ends_the_push(here: Here) -> None:
    here.prompts.fail(*[PermanentError("a permission is missing", code=ReasonCode.FORBIDDEN)] * 3)
    with pytest.raises(PermanentError, match="a permission is missing"):
        await here.run()
    here.prompts.fail(PermanentError("too many prompts", code=ReasonCode.REQUEST_REFUSED))
    entries = await here.run()
    assert sorted(entry.outcome for entry in entries) == ["pushed", "pushed", "refused"]
    assert exit_code(entries) == 69


async def test_what_the_platform_serves_is_heard_before_it_is_recorded(here: Here) -> None:
    here.audio.back = 3.0
    entries = await here.run()
    assert {str(entry.error) for entry in entries} == {"what the platform serves plays 3.00 s instead of 1.00 s"}
    assert exit_code(entries) == 75
    here.audio.back = 1.0
    assert set((await here.changes()).values()) == {"pushed"}


def test_settings_become_the_form_and_the_installed_converter_is_found() -> None:
    form = prompt_form(PromptSettings(encoding="alaw", sample_rate=8000, loudness="keep", peak=-3))
    assert form == PromptForm(Encoding.ALAW, 8000, None, -3)
    assert isinstance(find_audio(PromptSettings()), PromptAudio)
    assert {form.value for form in UploadForm} == {"auto", "current", "deprecated"}


async def test_the_real_processes_convert_and_measure_and_refuse(tmp_path: Path) -> None:
    audio = PromptAudio(workers=1)
    (tmp_path / "bad.wav").write_text("no sound")
    async with audio.running():
        for name, why in (("bad.wav", "no known audio"), ("none.wav", "cannot be read")):
            with pytest.raises(BadAudio, match=why):
                await audio.convert(tmp_path / name, tmp_path / "out.wav", PromptForm())
    assert not (tmp_path / "out.wav").exists()


@pytest.mark.parametrize("value", [-5, -41, "loud", True, "-20"])
def test_a_loudness_that_is_none_is_one_sentence(value: object) -> None:
    with pytest.raises(ValueError, match='must be a number of LUFS from -40 to -10, or "keep"') as refused:
        PromptSettings.model_validate({"loudness": value})
    assert str(refused.value).startswith("1 validation error")
