"""What the live topic of a conversation brings while its call is going on: the script, in batches, with guesses before results. Pure."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from genesys_sync_simulator.clock import iso
from genesys_sync_simulator.plan import Plan
from genesys_sync_simulator.scenario_speech import Transcripts
from genesys_sync_simulator.speech.phrases import LANGUAGES
from genesys_sync_simulator.speech.plan import TranscriptPlan
from genesys_sync_simulator.speech.script import EXTERNAL, Utterance, Word

Json = dict[str, Any]

UNHEARD = frozenset({"not_enabled", "forbidden", "language"})
"""Calls without a transcript for one of these reasons have no live results either."""

_NAMESPACE = uuid.UUID("6f0d2b8e-53c1-4c1f-9a55-0b1f6f6f1d11")


@dataclass(frozen=True, slots=True)
class Result:
    """One utterance as far as it has been heard: `words` of them."""

    utterance: Utterance
    words: int
    final: bool


@dataclass(frozen=True, slots=True)
class Message:
    """One message at an offset: results, or a sign of life without any, or the end."""

    offset: float
    results: tuple[Result, ...] = ()
    status: str | None = None


def messages(transcript: TranscriptPlan, rules: Transcripts) -> Iterator[Message]:
    """All messages of one communication, in order. Every utterance comes once as final, and as a guess in each batch that it spans."""
    leg, script = transcript.leg, transcript.script
    found = [Message(leg.connected, status="SESSION_ONGOING")]
    found += [Message(leg.connected + at, status="SESSION_ONGOING") for at in _every(rules.live_sign, script.seconds)]
    before = 0.0
    for now in [*_every(rules.live_batch, script.seconds), script.seconds]:
        results = tuple(_heard(utterance, now) for utterance in script.utterances if utterance.end > before and utterance.start < now)
        if results:
            found.append(Message(round(leg.connected + now, 3), results))
        before = now
    found.append(Message(leg.ended, status="SESSION_ENDED"))
    # Sorting keeps the order of equal offsets: the last results, then the end.
    yield from sorted(found, key=lambda message: message.offset)


def topic(transcript: TranscriptPlan) -> str:
    """Where they go."""
    return f"v2.conversations.{transcript.call.id}.transcription"


def utterance_id(transcript: TranscriptPlan, utterance: Utterance) -> str:
    """The same for all that is heard of one utterance."""
    return str(uuid.uuid5(_NAMESPACE, f"{transcript.session_id} {utterance.index}"))


def body(plan: Plan, transcript: TranscriptPlan, message: Message, started_at: float) -> Json:
    """The published event body."""
    began = started_at + transcript.leg.connected
    found: Json = {
        "eventTime": iso(started_at + message.offset),
        "organizationId": plan.organization_id,
        "conversationId": transcript.call.id,
        "communicationId": transcript.session_id,
        "sessionStartTimeMs": round(began * 1000),
        "transcriptionStartTimeMs": round(began * 1000),
        "transcripts": [_transcript(plan, transcript, result, began) for result in message.results],
        "speechTextAnalyticsProgramId": plan.division_id,
    }
    if message.status is not None:
        found["status"] = {"offsetMs": round((message.offset - transcript.leg.connected) * 1000), "status": message.status}
    return found


def _every(step: float, length: float) -> list[float]:
    return [round(step * number, 3) for number in range(1, int(length / step) + 1) if step * number < length]


def _heard(utterance: Utterance, now: float) -> Result:
    final = utterance.end <= now
    return Result(utterance, len(utterance.words) if final else max(1, sum(word.end <= now for word in utterance.words)), final)


def _transcript(plan: Plan, transcript: TranscriptPlan, result: Result, began: float) -> Json:
    utterance, words = result.utterance, result.utterance.words[: result.words]
    text = " ".join(word.text for word in words)
    alternative: Json = {
        "confidence": utterance.confidence if result.final else round(utterance.confidence * 0.7, 4),
        "offsetMs": round(words[0].start * 1000),
        "durationMs": round((words[-1].end - words[0].start) * 1000),
        "transcript": text,
        "words": [_word(word, began) for word in words],
        "decoratedTranscript": utterance.decorated if result.final else text,
        "decoratedWords": [],
    }
    return {
        "utteranceId": utterance_id(transcript, utterance),
        "isFinal": result.final,
        "channel": "EXTERNAL" if utterance.speaker == EXTERNAL else "INTERNAL",
        "alternatives": [alternative],
        "engineProvider": "GENESYS",
        "engineId": "r2d2",
        "engineName": "Genesys",
        "dialect": LANGUAGES[utterance.language].dialect,
        "agentAssistEnabled": False,
        "voiceTranscriptionEnabled": True,
        "speechTextAnalyticsProgramId": plan.division_id,
    }


def _word(word: Word, began: float) -> Json:
    return {
        "confidence": word.confidence,
        "startTimeMs": round((began + word.start) * 1000),
        "offsetMs": round(word.start * 1000),
        "durationMs": round((word.end - word.start) * 1000),
        "word": word.text,
    }
