"""Files that are to be uploaded: how one is described and asked for, and how it stands.

Asked for is a file by its content: the event's id follows from the organisation and the SHA-256, so the same content is accepted once,
under whatever name and however often it is dropped. Another revision is another upload, for those who want it once more.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Final

from anyio import to_thread

from genesys_sync.audit import AuditEntry
from genesys_sync.clock import Clock
from genesys_sync.errors import StorageError
from genesys_sync.events import Event, Topic, event_id
from genesys_sync.genesys.upload_rules import upload_name
from genesys_sync.ledger.base import DeliveryState, Ledger, Standing
from genesys_sync.routing import Router

REVISIONS_MOST: Final = 1000
_PIECE: Final = 1 << 20


class UploadState(StrEnum):
    """How an upload stands, for people."""

    WAITING = "waiting"
    UPLOADING = "uploading"
    UPLOADED = "uploaded"
    WAITS_FOR_CONVERSATION = "waits for its conversation"
    FAILED = "failed"
    DEAD = "dead letter"

    @property
    def final(self) -> bool:
        return self not in (UploadState.WAITING, UploadState.UPLOADING)

    @property
    def good(self) -> bool:
        return self in (UploadState.UPLOADED, UploadState.WAITS_FOR_CONVERSATION)


@dataclass(frozen=True, slots=True)
class Described:
    """A file as it was when it was read from end to end; digests are lower-case hexadecimal."""

    path: Path
    bytes: int
    modified_ns: int
    sha256: str
    md5: str


@dataclass(frozen=True, slots=True)
class Asked:
    """The event that stands for the upload; `new`: this call recorded it."""

    event: Event
    revision: int
    new: bool


async def describe(path: Path) -> Described:
    """Read the file once, with flat memory. Raises StorageError with one sentence where that cannot be done, or it changed meanwhile."""
    return await to_thread.run_sync(partial(_describe, path))


def _describe(path: Path) -> Described:
    try:
        path = path.resolve(strict=True)
        str(path).encode()
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe would be waited for
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            before = os.fstat(file.fileno())
            if not stat.S_ISREG(before.st_mode):
                raise StorageError(f"{path}: is no regular file; name a file, or a folder of files")
            sha256, md5, size = hashlib.sha256(), hashlib.md5(usedforsecurity=False), 0
            while piece := file.read(_PIECE):
                sha256.update(piece)
                md5.update(piece)
                size += len(piece)
            after = os.fstat(file.fileno())
    except UnicodeEncodeError:
        raise StorageError("a file whose name is not UTF-8 cannot be uploaded; rename it") from None
    except FileNotFoundError:
        raise StorageError(f"{path}: no such file or folder") from None
    except PermissionError:
        raise StorageError(f"{path}: may not be read by this user") from None
    except (OSError, RuntimeError) as error:
        raise StorageError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or 'its links go round in a circle'}") from None
    if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or size != after.st_size:
        raise StorageError(f"{path}: is still being written; upload it when it is whole")
    return Described(path, size, after.st_mtime_ns, sha256.hexdigest(), md5.hexdigest())


async def ask(
    file: Described, *, ledger: Ledger, router: Router, clock: Clock, organization_id: str, actor: str, again: bool = False
) -> Asked:
    """The upload is in the ledger, with an audit entry of who asked for it. Content that was asked for before is not recorded once more
    unless `again`; what is returned then is the latest upload of it."""
    revision, latest = 0, None
    while revision < REVISIONS_MOST:
        identity = event_id(
            Topic.UPLOAD_REQUESTED,
            organization_id=organization_id,
            conversation_id=None,
            recording_id=None,
            state=file.sha256,
            revision=revision + 1,
        )
        known = await ledger.events_about(identity)
        if not known:
            break
        revision, latest = revision + 1, known[0]
    if latest is not None and (not again or revision >= REVISIONS_MOST):
        return Asked(latest, revision, new=False)
    event = Event.of(
        Topic.UPLOAD_REQUESTED,
        occurred_at=clock.now(),
        organization_id=organization_id,
        state=file.sha256,
        revision=revision + 1,
        body={
            "path": str(file.path),
            "fileName": upload_name(file.path.name),
            "bytes": file.bytes,
            "modifiedNs": file.modified_ns,
            "sha256": file.sha256,
            "md5": file.md5,
            "revision": revision + 1,
        },
    )
    recorded = (await ledger.append(router.route([event]))).recorded
    if recorded:
        facts = {"bytes": file.bytes, "sha256": file.sha256, "revision": revision + 1}
        entry = AuditEntry(at=clock.now(), actor=actor, action="upload.request", target=event.id, outcome="success", facts=facts)
        await ledger.record_audit([entry])
    return Asked(event, revision + 1, new=bool(recorded))


async def outcome_of(ledger: Ledger, asked: Event) -> Event | None:
    """The `upload.completed` or `upload.failed` of this upload; None before there is one."""
    for topic in (Topic.UPLOAD_COMPLETED, Topic.UPLOAD_FAILED):
        identity = event_id(
            topic,
            organization_id=asked.organization_id,
            conversation_id=None,
            recording_id=None,
            state=str(asked.body["sha256"]),
            revision=int(asked.body["revision"]),
        )
        if found := await ledger.events_about(identity):
            return found[0]
    return None


def state_of(deliveries: Iterable[Standing], outcome: Event | None, *, handler: str | None = None) -> UploadState:
    """How an upload stands, by what followed from it, else by its delivery. `handler` is the one that uploads; others may listen. Pure."""
    if outcome is not None and outcome.topic == Topic.UPLOAD_COMPLETED:
        waits = outcome.body.get("status") == "WaitForConversation"
        return UploadState.WAITS_FOR_CONVERSATION if waits else UploadState.UPLOADED
    if outcome is not None:
        return UploadState.FAILED
    states = [one.state for one in deliveries if handler in (None, one.handler)]
    if DeliveryState.LEASED in states:
        return UploadState.UPLOADING
    if DeliveryState.READY in states or not states:
        return UploadState.WAITING
    return UploadState.DEAD
