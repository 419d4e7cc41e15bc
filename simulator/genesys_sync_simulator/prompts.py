"""User prompts and their resources, one for each language; what was uploaded is transcoded, or found to be no prompt."""

from __future__ import annotations

import random
import uuid
from dataclasses import dataclass, field
from typing import Any

from genesys_sync_simulator.faults import FaultDesk
from genesys_sync_simulator.scenario import Scenario
from genesys_sync_simulator.wav import LARGEST, NotAPrompt, Sound, parse


@dataclass(slots=True, eq=False)
class Resource:
    """A prompt in one language."""

    id: str
    language: str
    tts: str | None = None
    text: str | None = None
    tags: dict[str, Any] = field(default_factory=dict)
    uploaded_at: float | None = None
    sound: Sound | None = None
    """What the last upload holds; None while there is none, or when it is no prompt."""

    def status(self, now: float, transcode_time: float) -> str:
        """The published `uploadStatus`."""
        if self.uploaded_at is None:
            return "created"
        if now < self.uploaded_at + transcode_time:
            return "uploaded"
        return "transcoded" if self.sound is not None else "transcodeFailed"

    def clear(self) -> None:
        """The audio is gone; the texts stay."""
        self.uploaded_at, self.sound = None, None


@dataclass(slots=True, eq=False)
class Prompt:
    """One prompt. `resources` by language, the first of them the default."""

    id: str
    name: str
    description: str = ""
    resources: dict[str, Resource] = field(default_factory=dict)


@dataclass(slots=True)
class PromptShelf:
    """All prompts of the organisation by id."""

    scenario: Scenario
    faults: FaultDesk
    prompts: dict[str, Prompt] = field(default_factory=dict)

    def __post_init__(self) -> None:
        chance = random.Random(f"prompts {self.scenario.seed}")
        rules = self.scenario.architect
        for name in dict.fromkeys([*rules.prompts, *(used for flow in rules.flows for used in flow.uses)]):
            prompt = Prompt(str(uuid.UUID(int=chance.getrandbits(128), version=4)), name)
            self.prompts[prompt.id] = prompt

    def named(self, name: str) -> Prompt | None:
        """The prompt of that name; upper and lower case are the same."""
        return next((prompt for prompt in self.prompts.values() if prompt.name.lower() == name.lower()), None)

    def resource(self, resource_id: str) -> Resource | None:
        """The resource of that id, whichever prompt it belongs to."""
        return next((one for prompt in self.prompts.values() for one in prompt.resources.values() if one.id == resource_id), None)

    def receive(self, resource: Resource, data: bytes, size: int, now: float) -> None:
        """An upload has come: `size` bytes, of which `data` were kept. Its transcode begins, and its outcome is already certain."""
        resource.uploaded_at = now
        try:
            resource.sound = parse(data) if size <= LARGEST else None
        except NotAPrompt:
            resource.sound = None
        if resource.sound is not None and self.faults.first("transcode_failed", resourceId=resource.id):
            resource.sound = None
