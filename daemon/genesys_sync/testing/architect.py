"""Stand-ins for Architect: prompts that are transcoded at once, and flows that publish at once, by what was put in."""

from __future__ import annotations

import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from fnmatch import fnmatchcase
from pathlib import Path

from anyio.lowlevel import checkpoint

from genesys_sync.actions import LookOnly
from genesys_sync.errors import ReasonCode
from genesys_sync.services import Actions, Flow, FlowRefused, FlowTold, Prompt, PromptAsset, Published, UploadForm


def _id(*words: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, "/".join(words)))


class FakePrompts:
    """`services.Prompts`. `prompts` is what the platform has, by name in lower case; `pushed` what came: (name, language, file).
    `actions` is where it tells what it did; a HandlerHarness sets it."""

    def __init__(self) -> None:
        self.prompts: dict[str, Prompt] = {}
        self.pushed: list[tuple[str, str, Path]] = []
        self.actions: Actions = LookOnly()
        self._failures: deque[Exception] = deque()

    def fail(self, *errors: Exception) -> None:
        """The coming pushes raise these, one each, before they do anything."""
        self._failures.extend(errors)

    async def listed(self, *, media: bool = False) -> dict[str, Prompt]:
        """See `services.Prompts.listed`."""
        await checkpoint()
        return dict(self.prompts)

    async def find(self, name: str) -> Prompt | None:
        """See `services.Prompts.find`."""
        await checkpoint()
        return self.prompts.get(name.lower())

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
        async with self.actions.perform("prompt.push", f"{name}/{language}", facts={"uploadForm": form.value}):
            await checkpoint()
            if self._failures:
                raise self._failures.popleft()
            prompt = known or self.prompts.get(name.lower()) or Prompt(_id(name.lower()), name)
            asset = PromptAsset(_id(name.lower(), language), prompt.id, language, "transcoded", seconds)
            self.prompts[name.lower()] = replace(prompt, assets={**prompt.assets, language: asset})
            self.pushed.append((name, language, audio))
        return asset


class FakeFlows:
    """`services.Flows`. `flows` is what the platform has, by id; `users` the ids of the flows that use a prompt, by its id; `published`
    the ids that were published, in order. `actions` is where it tells what it did; a HandlerHarness sets it."""

    def __init__(self) -> None:
        self.flows: dict[str, Flow] = {}
        self.users: dict[str, list[str]] = {}
        self.published: list[str] = []
        self.actions: Actions = LookOnly()
        self._failures: deque[Exception] = deque()

    def fail(self, *errors: Exception) -> None:
        """The coming publications raise these, one each, before they do anything."""
        self._failures.extend(errors)

    async def listed(self, names: str = "*") -> Sequence[Flow]:
        """See `services.Flows.listed`."""
        await checkpoint()
        found = (flow for flow in self.flows.values() if fnmatchcase(flow.name.lower(), names.lower()))
        return sorted(found, key=lambda flow: (flow.name.lower(), flow.id))

    async def find(self, flow: str) -> Flow:
        """See `services.Flows.find`."""
        await checkpoint()
        found = [one for one in self.flows.values() if flow.lower() in (one.id, one.name.lower())]
        if len(found) != 1:
            raise FlowRefused(f"{len(found)} flows are named {flow}", code=ReasonCode.NOT_FOUND)
        return found[0]

    async def using_prompt(self, prompt_id: str) -> Sequence[Flow]:
        """See `services.Flows.using_prompt`."""
        await checkpoint()
        return [self.flows[flow_id] for flow_id in self.users.get(prompt_id, [])]

    async def publish(self, flow: Flow, *, version: str = "", told: FlowTold | None = None) -> Published:
        """See `services.Flows.publish`."""
        async with self.actions.perform("flow.publish", flow.id):
            await checkpoint()
            if self._failures:
                raise self._failures.popleft()
            after = self.flows[flow.id] = replace(flow, published=version or flow.checked_in)
            self.published.append(flow.id)
            if told is not None:
                told(after, "published")
        return Published(after, _id(flow.id, str(len(self.published))), 0.0)
