"""The work on a folder of prompts, several files at a time: each is hashed, looked up, converted where it has to be, and pushed."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from importlib.metadata import entry_points
from pathlib import Path, PurePath
from typing import Final

import anyio
from anyio import to_thread

from genesys_sync.architect.folder import Misplaced, Source, arrange
from genesys_sync.architect.plan import REPLACED, Change, Known, form_text, judge
from genesys_sync.architect.record import last_push, pushed
from genesys_sync.clock import Clock
from genesys_sync.errors import ConfigurationError, GenesysSyncError, PermanentError, ReasonCode, TransientError
from genesys_sync.ledger.base import Ledger
from genesys_sync.routing import Router
from genesys_sync.services import (
    BadAudio,
    Downloaded,
    Encoding,
    Media,
    MediaPart,
    Prompt,
    PromptAsset,
    PromptAudio,
    PromptForm,
    Prompts,
    PromptSound,
    UploadForm,
)
from genesys_sync.settings import PromptSettings

GROUP: Final = "genesys_sync.tools"
"""The entry point group in which a package offers a `prompt_audio`."""
_TOLERANCE: Final = 0.5
_USELESS: Final = frozenset({ReasonCode.FORBIDDEN, ReasonCode.UNAUTHORIZED})
"""Refusals that would meet every other prompt too."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One file, and what would be done or was done about it.

    why      for a change the occasion, for INVALID the reason
    sound    what it was converted to; None where that was not needed
    outcome  of a push: `pushed`, `bad`, `refused` or `failed`; empty where nothing was to be done
    error    of an outcome other than `pushed`
    """

    place: PurePath
    name: str
    language: str
    change: Change
    why: str = ""
    sound: PromptSound | None = None
    outcome: str = ""
    error: GenesysSyncError | None = None
    seconds: float | None = None


Told = Callable[[Entry], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What the work needs. `compare_audio`: what the platform serves is fetched and compared where nothing else tells of a change."""

    prompts: Prompts
    media: Media
    audio: PromptAudio
    ledger: Ledger
    router: Router
    clock: Clock
    organization_id: str
    settings: PromptSettings
    compare_audio: bool = False


def prompt_form(settings: PromptSettings) -> PromptForm:
    """What the settings ask prompts to be converted to."""
    loudness = None if settings.loudness == "keep" else float(settings.loudness)
    return PromptForm(Encoding(settings.encoding), settings.sample_rate, loudness, settings.peak)


def find_audio(settings: PromptSettings) -> PromptAudio:
    """The converter that is installed. Raises ConfigurationError when there is none, or more than one."""
    found = list(entry_points(group=GROUP).select(name="prompt_audio"))
    if len({one.value for one in found}) != 1:
        raise ConfigurationError(f"prompts: {len(found)} installed packages offer a converter ({GROUP}: prompt_audio); there must be one")
    made: PromptAudio = found[0].load()(workers=settings.workers, memory=settings.memory)
    return made


class Pushing:
    """One look at a folder, or one push of it."""

    def __init__(self, means: Means, folder: Path) -> None:
        self._means = means
        self._folder = folder
        self._form = prompt_form(means.settings)
        self._there: dict[str, Prompt] = {}

    async def run(self, places: Sequence[PurePath], *, push: bool, told: Told) -> list[Entry]:
        """What there is to do about each file; with `push` it is done too. In the order of `places`. A file that is bad, refused or failed
        stops no other; raises PermanentError where none could succeed (a permission is missing)."""
        sources, misplaced = arrange(places)
        self._there = await self._means.prompts.listed(media=self._means.compare_audio)
        entries = [_invalid(one) for one in misplaced]
        for entry in entries:
            told(entry)
        limit = anyio.CapacityLimiter(self._means.settings.at_a_time)

        async def one(source: Source, work: Path) -> None:
            async with limit:
                entry = await self._one(source, work / f"{source.name}.{source.language}.wav", push=push)
            entries.append(entry)
            told(entry)

        try:
            async with _scratch() as work, self._means.audio.running(), anyio.create_task_group() as tasks:
                for source in sources:
                    tasks.start_soon(one, source, work)
        except BaseExceptionGroup as group:
            known, others = group.split(GenesysSyncError)
            if known is None or others is not None:
                raise
            raise _first(known) from None
        return sorted(entries, key=lambda entry: entry.place)

    async def _one(self, source: Source, wav: Path, *, push: bool) -> Entry:
        means, form = self._means, form_text(self._form)
        prompt = self._there.get(source.name.lower())
        asset = prompt.assets.get(source.language) if prompt is not None else None
        entry = Entry(source.place, source.name, source.language, Change.INVALID)
        path = self._folder / source.place
        try:
            size, sha256 = await to_thread.run_sync(_content, path, means.settings.largest_source)
            known = None if prompt is None else await last_push(means.ledger, means.organization_id, prompt.id, source.language)
            change, why = judge(sha256, form, known, asset)
            if change is Change.UNCHANGED and means.compare_audio and await self._replaced(asset, known, wav):
                change, why = Change.CHANGED, REPLACED
            if change is Change.UNCHANGED:
                return replace(entry, change=change, seconds=None if asset is None else asset.seconds)
            sound = await means.audio.convert(path, wav, self._form)
            entry = replace(entry, change=change, why=why, sound=sound, seconds=sound.seconds)
            if push:
                await self._push(entry, prompt, wav, {"sha256": sound.sha256, "bytes": size})
                entry = replace(entry, outcome="pushed")
        except BadAudio as error:
            return _bad(entry, error, push=push)
        except (PermanentError, TransientError) as error:
            if isinstance(error, PermanentError) and error.code in _USELESS:
                raise
            return replace(entry, outcome="refused" if isinstance(error, PermanentError) else "failed", error=error)
        finally:
            await to_thread.run_sync(lambda: wav.unlink(missing_ok=True))
        return entry

    async def _replaced(self, asset: PromptAsset | None, known: Known | None, wav: Path) -> bool:
        """Whether the platform serves other bytes than after the last push: of the same length and format nothing published tells it."""
        if asset is None or known is None or not known.served:
            return False
        if asset.media is None:
            raise TransientError("the platform does not say where its audio lies, so it cannot be compared", code=ReasonCode.BAD_ANSWER)
        there = wav.with_suffix(".there")
        try:
            return (await self._means.media.download(MediaPart(asset.media, "audio/wav"), there)).sha256 != known.served
        finally:
            await to_thread.run_sync(lambda: there.unlink(missing_ok=True))

    async def _push(self, entry: Entry, prompt: Prompt | None, wav: Path, source: dict[str, object]) -> None:
        means = self._means
        assert entry.sound is not None  # it was converted
        asset = await means.prompts.push(
            entry.name, entry.language, wav, seconds=entry.sound.seconds, form=UploadForm(means.settings.upload_form), known=prompt
        )
        if asset.media is None:
            raise TransientError("the platform shows the prompt as transcoded, but not where its audio lies", code=ReasonCode.BAD_ANSWER)
        served = await self._served(MediaPart(asset.media, "audio/wav"), wav, entry.sound.seconds)
        # looked up only now: the prompt may have been there without having been listed, or have been pushed meanwhile
        last = await last_push(means.ledger, means.organization_id, asset.prompt_id, asset.language)
        event = pushed(
            asset,
            at=means.clock.now(),
            organization_id=means.organization_id,
            name=entry.name,
            form=form_text(self._form),
            source=source,
            media={"sha256": served.sha256, "bytes": served.size},
            revision=1 if last is None else last.revision + 1,
        )
        await means.ledger.append(means.router.route([event]))

    async def _served(self, part: MediaPart, wav: Path, seconds: float) -> Downloaded:
        """What the platform serves now, fetched back and measured. Raises TransientError when it plays another time."""
        back = wav.with_suffix(".back")
        try:
            served = await self._means.media.download(part, back)
            plays = await self._means.audio.seconds(back)
        except BadAudio as error:
            raise TransientError(f"what the platform serves is no good: {error}", code=ReasonCode.BAD_ANSWER) from None
        finally:
            await to_thread.run_sync(lambda: back.unlink(missing_ok=True))
        if abs(plays - seconds) > _TOLERANCE:
            raise TransientError(f"what the platform serves plays {plays:.2f} s instead of {seconds:.2f} s", code=ReasonCode.BAD_ANSWER)
        return served


def _first(group: BaseExceptionGroup[GenesysSyncError]) -> GenesysSyncError:
    """Of errors that are all the same trouble, one."""
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found


def _invalid(misplaced: Misplaced) -> Entry:
    return Entry(misplaced.place, misplaced.place.parent.as_posix(), misplaced.place.stem, Change.INVALID, misplaced.why)


def _bad(entry: Entry, error: BadAudio, *, push: bool) -> Entry:
    """The file's fault, or, once it had been converted, that of its transcode on the platform."""
    if entry.sound is None:
        return replace(entry, change=Change.INVALID, why=str(error))
    return replace(entry, outcome="bad" if push else "", error=error)


def _content(path: Path, most: int) -> tuple[int, str]:
    """Size and SHA-256. Raises BadAudio for what is no file, empty, or larger than `most`; nothing of that is read."""
    try:
        if not path.is_file():
            raise BadAudio("it is no file")
        size = path.stat().st_size
        if not size:
            raise BadAudio("the file is empty")
        if size > most:
            raise BadAudio(f"the file has {size / 1e6:.1f} MB, more than {most / 1e6:g} MB (prompts.largest_source)")
        with path.open("rb") as file:
            return size, hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise BadAudio(f"the file cannot be read: {error.strerror}") from None


@asynccontextmanager
async def _scratch() -> AsyncGenerator[Path]:
    folder = await to_thread.run_sync(lambda: tempfile.TemporaryDirectory(prefix="genesys-sync-prompts-"))
    try:
        yield Path(folder.name)
    finally:
        await to_thread.run_sync(folder.cleanup)
