"""What the truth log says about a transcript: how it comes, and every spelling of what was planted, with the time of its words. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from genesys_sync_simulator.clock import iso
from genesys_sync_simulator.speech.plan import TranscriptPlan
from genesys_sync_simulator.speech.script import EXTERNAL, Planted, Script


def lines(transcript: TranscriptPlan, started_at: float) -> Iterator[tuple[str, dict[str, Any]]]:
    """Type and fields of each line: `transcript`, then `planted` for each piece of personal data."""
    script = transcript.script
    named = {
        "conversationId": transcript.call.id,
        "media": transcript.call.media,
        "communicationId": transcript.session_id,
        "recordingId": transcript.recording_id,
    }
    yield (
        "transcript",
        {
            **named,
            "outcome": transcript.outcome,
            "reason": transcript.reason,
            "readyAt": iso(started_at + transcript.ready_at) if transcript.reason is None else None,
            "startedAt": iso(started_at + transcript.leg.connected),
            "seconds": script.seconds,
            "languages": list(script.languages),
            "utterances": len(script.utterances),
            "words": sum(len(utterance.words) for utterance in script.utterances),
        },
    )
    for planted in script.planted:
        told = _planted(script, planted)
        yield "planted", {**named, **told, **({} if transcript.call.media == "voice" else {"channel": None, "words": []})}


def _planted(script: Script, planted: Planted) -> dict[str, Any]:
    spoken = planted.spoken
    words = [
        {"utterance": spot.utterance, "word": word.text, "start": word.start, "end": word.end}
        for spot in planted.spots
        for word in script.utterances[spot.utterance].words[spot.first : spot.stop]
    ]
    turns = [" ".join(turn) for turn in spoken.turns]
    return {
        "kind": spoken.value.kind,
        "form": spoken.form,
        "value": spoken.value.canonical,
        "spellings": list(dict.fromkeys((*spoken.value.written, " ".join(turns)))),
        "turns": turns,
        "channel": "left",
        "speaker": EXTERNAL,
        "words": words,
    }
