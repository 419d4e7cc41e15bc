"""Uploading recordings made elsewhere: what is sent, and what the platform reports of it afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Any, Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadFile:
    """A file on this machine that is to be uploaded, as it was found.

    name          what the platform shall call it; see `upload_name`
    bytes         its size
    modified_ns   when it was last written, nanoseconds since 1970: with the size, how a change on the way is noticed
    md5           of its content, lower-case hexadecimal: the store refuses anything else
    content_type  what it is, by its content
    facts         JSON values that are found again after a restart (`Uploads.begun`)
    """

    path: Path
    name: str
    bytes: int
    modified_ns: int
    md5: str
    content_type: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sent:
    """A file that the store holds, whole.

    upload_key  by which the platform's reports name it
    since       no report that begins at this time misses it
    md5_echoed  the store named the MD5 of what it holds, and it is the file's; False where it named none
    """

    upload_key: str
    since: datetime
    md5_echoed: bool


class UploadStatus(StrEnum):
    """What the platform's report says of an upload, verbatim."""

    PENDING = "Pending"
    SUCCESS = "Success"
    FAILURE = "Failure"
    WAIT_FOR_CONVERSATION = "WaitForConversation"


@dataclass(frozen=True, slots=True)
class Reported:
    """One line of an upload report; `reason` is the platform's own, cleaned and clipped."""

    status: UploadStatus
    reason: str = ""


class Uploads(Protocol):
    """Recordings made elsewhere, to the platform. Presigned addresses stay inside: no result and no error holds one."""

    async def begun(self, key: str) -> UploadFile | None:
        """The file as an earlier run described it that began to send it under this key; None when none did, or when it was too long
        ago to go on from."""
        ...

    async def send(self, key: str, file: UploadFile) -> Sent:
        """The store holds the file, and it was sent no more often than needed: under one key (of letters, digits and `_`; a delivery's
        id) what was begun is gone on with, also by another process; what is there already is not sent again. Memory stays flat.

        Raises PermanentError(MEDIA_CHANGED) when the file is not as described, PermanentError where the platform refuses, and
        TransientError: call again with the same key. Performs the action `upload.send`."""
        ...

    async def look(self, sent: Sent) -> Reported | None:
        """What the platform reports of it now; None while it is not listed. Shared: asked often, it reports once in a while.
        Raises TransientError or PermanentError."""
        ...
