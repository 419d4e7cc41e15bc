"""The platform, as one interface."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from genesys_sync.services.architect import Flows, Prompts
from genesys_sync.services.control import RecordingControl
from genesys_sync.services.entitlements import Entitlements
from genesys_sync.services.recordings import Conversations, Recordings
from genesys_sync.services.speech import Transcripts
from genesys_sync.services.uploads import Uploads


class Genesys(Protocol):
    """The platform, under one token, one rate budget and one retry policy."""

    @property
    def organization_id(self) -> str: ...

    @property
    def sees_sensitive(self) -> bool | None:
        """Whether the client holds `recording:recording:viewSensitiveData`: without it what is fetched may be a redacted variant, and
        nothing in the platform's answers shows it. None while that is not known."""
        ...

    @property
    def recordings(self) -> Recordings: ...

    @property
    def conversations(self) -> Conversations: ...

    @property
    def transcripts(self) -> Transcripts: ...

    @property
    def entitlements(self) -> Entitlements: ...

    @property
    def control(self) -> RecordingControl: ...

    @property
    def uploads(self) -> Uploads: ...

    @property
    def prompts(self) -> Prompts: ...

    @property
    def flows(self) -> Flows: ...

    async def request(self, method: str, path: str, *, params: Mapping[str, str] | None = None, json: object | None = None) -> Any:
        """Any operation of the published API: parsed JSON, or None for an empty answer. `path` begins with `/api/v2/`.
        Safe methods are retried, others only where the platform
        said that it did not act (429). Raises TransientError or PermanentError."""
        ...
