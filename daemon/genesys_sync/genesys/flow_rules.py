"""Flows without I/O: what the platform's answers say of them, how an operation stands, and each refusal in one sentence."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from genesys_sync.errors import PermanentError, ReasonCode
from genesys_sync.events import canonical_uuid
from genesys_sync.genesys.answers import PlatformRefused, clean_text
from genesys_sync.genesys.grants import objects
from genesys_sync.services.architect import Flow, FlowRefused

NOT_LOCKED: Final = "architect.flow.not.locked.by.user"
IN_PROGRESS: Final = "architect.operation.already.in.progress"
_ENDS: Final = frozenset({"SUCCESS", "FAILURE"})
_DETAILS: Final = 5

_SENTENCES: Final[Mapping[str, str]] = {
    "architect.flow.locked.by.user": "it is locked by somebody else (`flows list` shows by whom): publish it when they have checked it in, "
    "or have it unlocked in Architect",
    NOT_LOCKED: "its lock was taken away between checkout and checkin: publish it again",
    "architect.flow.deleted": "it was deleted: restore it, or leave it out",
    "architect.flow.version.missing": "it has no such version: `flows list` shows the one that is checked in",
    IN_PROGRESS: "another operation of it is still in progress: publish it when that has ended",
}
_MISSING: Final = "architect.flow.cannot.publish.missing.dependencies"
_WRONG_TYPE: Final = 405


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of Architect as it stands. `error` is the platform's own words on a failure, cleaned and clipped."""

    id: str
    action: str
    over: bool
    success: bool
    error: str = ""
    code: str = ""


def flow_of(body: Mapping[str, Any], *, client_id: str) -> Flow | None:
    """A flow; None for what has no id."""
    flow_id = canonical_uuid(body.get("id"))
    if flow_id is None:
        return None
    user, client = body.get("lockedUser"), body.get("lockedClient")
    lock, holder = "none", ""
    for held in (user, client):
        if isinstance(held, Mapping) and (held_by := held.get("id")):
            lock = "own" if held is client and held_by == client_id else "other"
            holder = clean_text(str(held.get("name") or held_by))
    return Flow(
        id=flow_id,
        name=clean_text(str(body.get("name") or "")),
        type=clean_text(str(body.get("type") or "")),
        checked_in=_version(body.get("checkedInVersion")),
        published=_version(body.get("publishedVersion")),
        lock=lock,
        holder=holder,
    )


def _version(told: object) -> str:
    return clean_text(str(told.get("id") or "")) if isinstance(told, Mapping) else ""


def operation_of(body: object) -> Operation | None:
    """An Operation; None for what has no id. Its end is `complete` with SUCCESS or FAILURE: one without the other is not over."""
    if not isinstance(body, Mapping) or not isinstance(body.get("id"), str):
        return None
    status = str(body.get("actionStatus") or "")
    details = [clean_text(str(one.get("entityName") or one.get("errorCode") or "")) for one in objects(body, "errorDetails")]
    said = [clean_text(str(body.get("errorMessage") or "")), ", ".join(sorted({one for one in details if one})[:_DETAILS])]
    return Operation(
        id=body["id"],
        action=str(body.get("actionName") or ""),
        over=body.get("complete") is True and status in _ENDS,
        success=status == "SUCCESS",
        error=": ".join(part for part in said if part),
        code=clean_text(str(body.get("errorCode") or "")),
    )


def explained(error: PermanentError, flow: Flow) -> FlowRefused:
    """The refusal as one sentence about this flow. Names of people do not come into it."""
    code = error.platform_code
    if code == _MISSING:
        why = f"dependencies of it are missing; restore them, or take them out of the flow ({error.reason})"
    elif code in _SENTENCES:
        why = _SENTENCES[code]
    elif error.status == _WRONG_TYPE:
        why = "flows of its type cannot be checked out or published"
    elif error.code is ReasonCode.NOT_FOUND:
        why = "the platform does not have it (any more)"
    else:
        why = error.reason
    return _refused(f"the flow {flow.name or flow.id}: {why}", error)


def _refused(reason: str, error: PermanentError) -> FlowRefused:
    return FlowRefused(reason, code=error.code, correlation_id=error.correlation_id, status=error.status, platform_code=error.platform_code)


def failed(operation: Operation, flow: Flow, correlation_id: str) -> FlowRefused:
    """For an operation that ended as FAILURE."""
    what = {"CHECKIN": "checking in", "PUBLISH": "publishing"}.get(operation.action, operation.action.lower())
    why = operation.error or "the platform does not say why"
    return FlowRefused(
        f"the flow {flow.name or flow.id}: {what} it failed: {why}", correlation_id=correlation_id, platform_code=operation.code
    )


def in_progress(error: PlatformRefused) -> bool:
    """Whether waiting for another operation's end may help."""
    return error.platform_code == IN_PROGRESS


def consumers(body: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The flows among a dependency's consumers: (id, name). Deleted ones publish nothing."""
    found = {}
    for one in objects(body, "entities"):
        flow_id = canonical_uuid(one.get("id"))
        if flow_id is not None and "FLOW" in str(one.get("type") or "").upper() and one.get("deleted") is not True:
            found[flow_id] = clean_text(str(one.get("name") or ""))
    return list(found.items())
