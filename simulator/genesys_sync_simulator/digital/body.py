"""Recording and RecordingMetadata, as `api/recordings.py` answers them, but for what depends on a request."""

from __future__ import annotations

from typing import Any

from genesys_sync_simulator.clock import iso
from genesys_sync_simulator.digital.content import contents
from genesys_sync_simulator.plan import CallPlan, RecordingPlan
from genesys_sync_simulator.scenario import Scenario
from genesys_sync_simulator.world import World

Json = dict[str, Any]

RETENTION = 365 * 86_400.0
_ARCHIVED = ("ARCHIVED", "RESTORING", "RESTORED")
_IN_METADATA = {"messaging": "message"}
"""The two models do not call it the same."""
_SUBTYPES = {"audio": "Trunk", "screen": "Screen"}


def common(world: World, call: CallPlan, recording: RecordingPlan, state: str, now: float) -> Json:
    """What both models have."""
    ended = world.moment(recording.ended)
    kept = world.kept_until.get(recording.id, ended)
    fields: Json = {
        "id": recording.id,
        "name": "",
        "conversationId": call.id,
        "path": "",
        "endTime": iso(ended),
        "media": recording.media,
        "mediaSubtype": _SUBTYPES.get(recording.media),
        "annotations": [],
        "fileState": state,
        "archiveMedium": "CLOUDARCHIVE" if state in _ARCHIVED else None,
        "archiveDate": iso(kept) if state in _ARCHIVED else None,
        "restoreExpirationTime": iso(kept) if state == "RESTORED" else None,
        "deleteDate": iso(now if state == "DELETED" else ended + RETENTION),
        "sessionId": recording.session_id,
    }
    return {key: value for key, value in fields.items() if value is not None}


def metadata(world: World, call: CallPlan, recording: RecordingPlan, state: str, now: float) -> Json:
    """RecordingMetadata: `startTime` for screens only, and annotations only once AVAILABLE."""
    fields = common(world, call, recording, state, now)
    fields["media"] = _IN_METADATA.get(recording.media, recording.media)
    if recording.media == "screen":
        fields["startTime"] = iso(world.moment(recording.began))
    if state != "AVAILABLE":
        del fields["annotations"]
    return {**fields, "region": "us-east-1", "selfUri": f"/api/v2/conversations/{call.id}/recordingmetadata/{recording.id}"}


def whole(world: World, call: CallPlan, recording: RecordingPlan, state: str, now: float, *, uris: Json | None, size: int) -> Json:
    """Recording, with these addresses of its media."""
    users = [
        {"id": leg.agent.id, "name": leg.agent.name}
        for leg in call.legs
        if recording.id in {one.id for one in (leg.recording, leg.screen) if one is not None}
    ]
    return {
        **common(world, call, recording, state, now),
        "startTime": iso(world.moment(recording.began)),
        "originalRecordingStartTime": iso(world.moment(recording.began)),
        "creationTime": iso(world.moment(recording.appears)),
        "mediaUris": uris,
        "outputDurationMs": round(recording.seconds * 1000) if uris is not None else 0,
        "outputSizeInBytes": size,
        "users": users,
        "recordingFileRole": "CUSTOMER_EXPERIENCE",
        "associatedConversationIds": [],
        "maxAllowedRestorationsForOrg": 10_000,
        "remainingRestorationsAllowedForOrg": 10_000,
        "selfUri": f"/api/v2/conversations/{call.id}/recordings/{recording.id}",
    }


def written(world: World, scenario: Scenario, call: CallPlan, recording: RecordingPlan, state: str, now: float) -> Json:
    """Recording of what has no file: its contents are in it, once they can be had."""
    found = whole(world, call, recording, state, now, uris=None, size=0)
    if state not in ("AVAILABLE", "RESTORED"):
        return found
    assert world.started_at is not None
    html = recording.clip_seed / 2**32 < scenario.digital.html
    return {**found, **contents(call, recording, world.started_at, html=html)}
