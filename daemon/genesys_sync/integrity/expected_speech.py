"""What must lie in the archive of transcripts and of redacted copies, and what was taken away, by the ledger's events. Pure.

| the event | what must lie there |
| --- | --- |
| `transcript.archived` | the platform's file, our model and its forms, and the sidecar that names them |
| `transcript.redacted` | the redacted transcript and its forms, its report, and its spans of each of its recordings |
| `media.redacted` | the redacted copy and its sidecar; the original's, where the ledger is younger than both |
| … what it names as `removed` | nothing |
| `transcription.requested` | the file, if it was given by hand, in its place or, where it was withheld, in quarantine with a note |
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from typing import Any

from genesys_sync.events import Event, Topic
from genesys_sync.integrity.expected import Expected, quarantine_key

TOPICS = (Topic.TRANSCRIPT_ARCHIVED, Topic.TRANSCRIPT_REDACTED, Topic.MEDIA_REDACTED, Topic.TRANSCRIPTION_REQUESTED)
_GIVEN = "transcriptions/"


def removed(events: Iterable[Event]) -> frozenset[str]:
    """The keys of originals that redaction has removed."""
    named = (event.body.get("removed") for event in events if event.topic in (Topic.TRANSCRIPT_REDACTED, Topic.MEDIA_REDACTED))
    return frozenset(key for keys in named if isinstance(keys, list) for key in keys if isinstance(key, str))


def expected_speech(events: Iterable[Event]) -> list[Expected]:
    """The objects that these events speak of, of each key the latest event's. For each communication all its events of TOPICS must be
    among them. What was removed is not left out: see `removed`."""
    found: dict[str, Expected] = {}
    sidecars: dict[str, tuple[str, dict[str, str]]] = {}
    events = list(events)
    withheld = {str(key) for event in events if event.topic == Topic.MEDIA_REJECTED for key in event.body.get("quarantine") or ()}
    for event in sorted(events, key=lambda event: (_revision(event), event.occurred_at, event.id)):
        if event.topic not in TOPICS:
            continue
        if event.topic == Topic.TRANSCRIPTION_REQUESTED:
            found.update({one.places[0]: one for one in _given(event, withheld)})
            continue
        subject = str(event.body.get("communicationId") or event.recording_id or event.conversation_id or event.parent_id)
        parts = list(_parts(event.body))
        for part in parts:
            found[part["key"]] = Expected(subject, (part["key"],), part["sha256"], part["bytes"])
        for key in _beside(event.body):
            found[key] = Expected(subject, (key,), None, presence=True)
        if event.topic == Topic.MEDIA_REDACTED and isinstance(sidecar := event.body.get("sidecar"), str):
            found[sidecar] = Expected(subject, (sidecar,), event.body.get("sidecarSha256"))
        if event.topic == Topic.TRANSCRIPT_ARCHIVED and isinstance(sidecar := event.body.get("sidecar"), str):
            sidecars.setdefault(sidecar, (subject, {}))[1].update({part["key"]: part["sha256"] for part in parts})
    for key, (subject, named) in sidecars.items():
        found[key] = Expected(subject, (key,), None, parts=named, grows=True)
    return list(found.values())


def _given(event: Event, withheld: Set[str]) -> Iterator[Expected]:
    """A file that was given to be transcribed; with the note of why it was withheld, where it was."""
    source = event.body.get("source")
    if not isinstance(source, Mapping) or not str(source.get("key")).startswith(_GIVEN):
        return
    key = str(source["key"])
    held = quarantine_key(key, 1)
    yield Expected(event.id, (held if held in withheld else key,), source.get("sha256"), source.get("bytes"))
    if held in withheld:
        yield Expected(event.id, (f"{held.rpartition('.')[0]}.json",), None, presence=True)


def _beside(body: Mapping[str, Any]) -> list[str]:
    """Every file that the body names without its hash: its own place is in one, and others add to the rest."""
    spans = body.get("spansFiles")
    named = [body.get("report"), *(spans if isinstance(spans, list) else [])]
    return [key for key in named if isinstance(key, str)]


def _parts(body: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """Every file that the body names with its hash."""
    named = [body.get("raw"), body.get("transcript"), body.get("originalSidecar")]
    for key in ("forms", "parts"):
        listed = body.get(key)
        named += listed if isinstance(listed, list) else []
    yield from (part for part in named if isinstance(part, Mapping) and {"key", "sha256", "bytes"} <= part.keys())


def _revision(event: Event) -> int:
    value = event.body.get("revision")
    return value if isinstance(value, int) else 1
