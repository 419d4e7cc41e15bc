"""Prompts: what is there, and one language's audio from a file to a transcoded resource."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Final

import anyio

from genesys_sync.clock import Clock
from genesys_sync.genesys.answers import PlatformRefused
from genesys_sync.genesys.client import Caller
from genesys_sync.genesys.grants import objects
from genesys_sync.genesys.lanes import Lane
from genesys_sync.genesys.prompt_rules import asset_of, is_done, may_fall_back, no_asset, prompt_of
from genesys_sync.genesys.prompt_upload import PromptUpload
from genesys_sync.services.actions import Action, Actions
from genesys_sync.services.architect import Prompt, PromptAsset, UploadForm
from genesys_sync.services.control import NotConfirmed
from genesys_sync.settings import GenesysSettings

_PATH: Final = "/api/v2/architect/prompts"
_PAGES_MAX: Final = 1000
_SLOWEST_LOOK: Final = 15.0


class PromptService:
    """Implements `services.Prompts`."""

    def __init__(self, client: Caller, upload: PromptUpload, settings: GenesysSettings, *, clock: Clock, actions: Actions) -> None:
        self._client = client
        self._upload = upload
        self._every = settings.architect_look.total_seconds()
        self._within = settings.prompt_wait.total_seconds()
        self._clock = clock
        self._actions = actions

    async def listed(self, *, media: bool = False) -> dict[str, Prompt]:
        """See `services.Prompts.listed`."""
        wanted = {"includeMediaUris": "true"} if media else {}
        return {prompt.name.lower(): prompt async for prompt in self._pages(wanted)}

    async def find(self, name: str) -> Prompt | None:
        """See `services.Prompts.find`."""
        async for prompt in self._pages({"name": name}):
            if prompt.name.lower() == name.lower():
                return prompt
        return None

    async def push(
        self,
        name: str,
        language: str,
        audio: Path,
        *,
        seconds: float,
        form: UploadForm = UploadForm.AUTO,
        known: Prompt | None = None,
    ) -> PromptAsset:
        """See `services.Prompts.push`."""
        async with self._actions.perform("prompt.push", f"{name}/{language}") as action:
            prompt = known or await self._prompt(name, action)
            asset = prompt.assets.get(language) or await self._resource(prompt, language, action)
            action.correlation_id = await self._send(asset, audio, form, action) or action.correlation_id
            action.bytes = (await anyio.Path(audio).stat()).st_size
            done = await self._transcoded(asset, seconds)
            action.note(promptId=prompt.id, resourceId=done.id, seconds=done.seconds)
        return done

    async def _pages(self, params: Mapping[str, str]) -> AsyncIterator[Prompt]:
        for page in range(1, _PAGES_MAX + 1):
            wanted = {"pageSize": "100", "pageNumber": str(page), "includeMediaUris": "false", **params}
            body = (await self._client.call("GET", _PATH, params=wanted, shape=dict, lane=Lane.ARCHITECT)).body
            for entity in objects(body, "entities"):
                if (prompt := prompt_of(entity)) is not None:
                    yield prompt
            pages = body.get("pageCount")
            if not objects(body, "entities") or (isinstance(pages, int) and page >= pages):
                return

    async def _prompt(self, name: str, action: Action) -> Prompt:
        """The prompt of this name, made where it is not there: one that is there already is taken."""
        try:
            reply = await self._client.call("POST", _PATH, json={"name": name}, shape=dict, lane=Lane.ARCHITECT)
        except PlatformRefused as error:
            # by its status, not its code: the one for too many prompts is not published
            taken = await self.find(name) if error.status == 409 else None
            if taken is None:
                raise
            return taken
        made = prompt_of(reply.body)
        if made is None:
            raise no_asset()
        action.note(created=True)
        return made

    async def _resource(self, prompt: Prompt, language: str, action: Action) -> PromptAsset:
        path = f"{_PATH}/{prompt.id}/resources"
        try:
            body = (await self._client.call("POST", path, json={"language": language}, shape=dict, lane=Lane.ARCHITECT)).body
        except PlatformRefused as error:
            if error.status != 409:
                raise
            return await self._look(prompt.id, language)
        action.note(createdLanguage=True)
        return _asset(body, prompt.id)

    async def _send(self, asset: PromptAsset, audio: Path, form: UploadForm, action: Action) -> str:
        if form is not UploadForm.DEPRECATED:
            try:
                action.note(uploadForm=UploadForm.CURRENT.value)
                return await self._upload.current(f"{_PATH}/{asset.prompt_id}/resources/{asset.language}", audio)
            except PlatformRefused as error:
                if not may_fall_back(error, form, asset):
                    raise
        action.note(uploadForm=UploadForm.DEPRECATED.value)
        return await self._upload.deprecated(asset, audio)

    async def _transcoded(self, asset: PromptAsset, seconds: float) -> PromptAsset:
        """The resource once it is transcoded. Looks become rarer, so that many that wait together leave the budget to others."""
        deadline, pause = self._clock.monotonic() + self._within, self._every
        while True:
            await self._clock.sleep(pause)
            shown = await self._look(asset.prompt_id, asset.language)
            if is_done(shown, seconds):
                return shown
            if self._clock.monotonic() >= deadline:
                plays = f", and plays {shown.seconds:g} s instead of {seconds:.3g} s" if shown.seconds is not None else ""
                raise NotConfirmed(f"the audio was uploaded, but after {self._within:g} s it is {shown.status or 'without status'}{plays}")
            pause = min(pause * 2, _SLOWEST_LOOK, max(self._every, deadline - self._clock.monotonic()))

    async def _look(self, prompt_id: str, language: str) -> PromptAsset:
        path = f"{_PATH}/{prompt_id}/resources/{language}"
        return _asset((await self._client.call("GET", path, shape=dict, lane=Lane.ARCHITECT)).body, prompt_id)


def _asset(body: Mapping[str, Any], prompt_id: str) -> PromptAsset:
    asset = asset_of(body, prompt_id)
    if asset is None:
        raise no_asset()
    return asset
