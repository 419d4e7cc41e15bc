"""The transcript file that the platform stores, in its published shape; and what it hides from nobody who may read it. Pure.

Every field may be missing, as in the published schema; the seed decides which are.
"""

from __future__ import annotations

import json
import random
from itertools import groupby, pairwise
from typing import Any

from genesys_sync_simulator.digital.content import subject
from genesys_sync_simulator.plan import Plan
from genesys_sync_simulator.speech.plan import TranscriptPlan
from genesys_sync_simulator.speech.script import EXTERNAL, Utterance, Word

Json = dict[str, Any]

_OPTIONAL = ("decoratedText", "stability", "confidence", "offset", "duration", "type", "words")


def document(plan: Plan, transcript: TranscriptPlan, started_at: float) -> bytes:
    """The file, as JSON text. Times are epoch milliseconds; with the fault `offset_times`, milliseconds from the recording's begin."""
    return json.dumps(contents(plan, transcript, started_at), separators=(",", ":"), ensure_ascii=False).encode()


def contents(plan: Plan, transcript: TranscriptPlan, started_at: float) -> Json:
    """The file as values."""
    call, leg = transcript.call, transcript.leg
    began = _ms(started_at + leg.connected)
    origin = 0 if transcript.offset_times else began
    chance = transcript.chance
    parts = [
        _part(plan, transcript, chance, language, list(utterances), origin)
        for language, utterances in groupby(transcript.script.utterances, key=lambda utterance: utterance.language)
    ]
    if call.media != "voice":
        parts = [_written(plan, transcript, origin)]
    if transcript.with_message:
        parts.append(_message(plan, transcript, chance, began + _ms(transcript.script.seconds)))
    return {
        "organizationId": plan.organization_id,
        "conversationId": call.id,
        "communicationId": transcript.session_id,
        "mediaType": "call" if call.media == "voice" else call.media,
        "conversationStartTime": _ms(started_at + call.began),
        "startTime": began,
        "duration": _duration(transcript.script.seconds),
        "uri": "",
        "transcripts": parts,
        "participants": _participants(plan, transcript, started_at),
    }


def transcript_id(transcript: TranscriptPlan, number: int = 0) -> str:
    """The id of one transcript of the file."""
    prefix, _, rest = transcript.session_id.partition("-")
    return f"{(int(prefix, 16) + number + 1) % 2**32:08x}-{rest}"


def _ms(seconds: float) -> int:
    return round(seconds * 1000)


def _duration(seconds: float) -> Json:
    return {"milliseconds": _ms(seconds)}


def _part(plan: Plan, transcript: TranscriptPlan, chance: random.Random, language: str, utterances: list[Utterance], origin: int) -> Json:
    first, last = utterances[0], utterances[-1]
    return {
        "transcriptId": transcript_id(transcript, first.index),
        "language": language,
        "programId": plan.division_id,
        "engineId": "r2d2",
        "startTime": origin + _ms(first.start),
        "duration": _duration(last.end - first.start),
        "phrases": [_phrase(transcript, chance, utterance, number, origin) for number, utterance in enumerate(utterances)],
        "analytics": {
            "sentiment": [_sentiment(utterance, number, origin) for number, utterance in enumerate(utterances) if utterance.sentiment],
            "topics": [_topic(transcript, utterances[0], origin)],
            "acoustic": _acoustic(utterances, origin),
        },
    }


def _phrase(transcript: TranscriptPlan, chance: random.Random, utterance: Utterance, number: int, origin: int) -> Json:
    phrase: Json = {
        "phraseIndex": number,
        "participantPurpose": utterance.speaker,
        "text": utterance.text,
        "decoratedText": utterance.decorated,
        "stability": 1.0,
        "confidence": utterance.confidence,
        "offset": _duration(utterance.start),
        "startTimeMs": origin + _ms(utterance.start),
        "duration": _duration(utterance.end - utterance.start),
        "type": "phrase",
        "words": [_word(word, origin) for word in utterance.words],
        "alternatives": [_alternative(utterance, origin)] if utterance.index % 5 == 1 else [],
    }
    # Words that tell personal data keep their timings: a client could not mute them otherwise.
    told = {spot.utterance for planted in transcript.script.planted for spot in planted.spots}
    for name in _OPTIONAL:
        if chance.random() < transcript.missing_fields and not (name == "words" and utterance.index in told):
            del phrase[name]
    return phrase


def _word(word: Word, origin: int) -> Json:
    return {
        "word": word.text,
        "confidence": word.confidence,
        "offset": _duration(word.start),
        "startTimeMs": origin + _ms(word.start),
        "duration": _duration(word.end - word.start),
    }


def _alternative(utterance: Utterance, origin: int) -> Json:
    """A second guess, which says the same words: whoever hides them in `text` alone has not hidden them."""
    return {
        "text": utterance.text,
        "confidence": round(utterance.confidence * 0.8, 4),
        "offset": _duration(utterance.start),
        "startTimeMs": origin + _ms(utterance.start),
        "duration": _duration(utterance.end - utterance.start),
        "words": [_word(word, origin) for word in utterance.words],
    }


def _sentiment(utterance: Utterance, number: int, origin: int) -> Json:
    return {
        "participant": utterance.speaker,
        "phrase": utterance.text,
        "phraseIndex": number,
        "sentiment": utterance.sentiment,
        "offset": _duration(utterance.start),
        "startTimeMs": origin + _ms(utterance.start),
        "duration": _duration(utterance.end - utterance.start),
        "type": "sentiment",
    }


def _topic(transcript: TranscriptPlan, utterance: Utterance, origin: int) -> Json:
    return {
        "participant": utterance.speaker,
        "topicId": transcript_id(transcript, 4242),
        "topicName": "Greeting",
        "topicPhrase": "thank you for calling",
        "transcriptPhrase": " ".join(word.text for word in utterance.words[:4]),
        "confidence": 90,
        "offset": _duration(utterance.start),
        "startTimeMs": origin + _ms(utterance.start),
        "duration": _duration(utterance.end - utterance.start),
        "type": "topic",
    }


def _acoustic(utterances: list[Utterance], origin: int) -> list[Json]:
    """A pause wherever nobody speaks for half a second."""
    found: list[Json] = []
    for before, after in pairwise(utterances):
        if after.start - before.end >= 0.5:
            length = _ms(after.start - before.end)
            event = {"eventType": "silence", "offsetMs": _ms(before.end), "startTimeMs": origin + _ms(before.end), "durationMs": length}
            found.append({**event, "participant": EXTERNAL})
    return found


def _written(plan: Plan, transcript: TranscriptPlan, origin: int) -> Json:
    """What was written instead of spoken: one phrase a message, as it was typed; no words, no durations."""
    media, script = transcript.call.media, transcript.script
    kind: Json = {"email": {"subject": subject(script)}, "message": {"messageType": "sms"}}.get(media, {})
    phrases = [
        {
            "phraseIndex": number,
            "participantPurpose": utterance.speaker,
            "text": utterance.decorated,
            "startTimeMs": origin + _ms(utterance.start),
            "type": "text",
        }
        for number, utterance in enumerate(script.utterances)
    ]
    part = {"transcriptId": transcript_id(transcript), "language": script.languages[0], "programId": plan.division_id}
    return {**part, "startTime": origin, **kind, "phrases": phrases}


def _message(plan: Plan, transcript: TranscriptPlan, chance: random.Random, at: int) -> Json:
    """What was written afterwards in the same communication: no words, no timings, and a subject when it is an e-mail."""
    email = chance.random() < 0.5
    kind: Json = {"subject": "Your call of today"} if email else {"messageType": "sms"}
    text = "thank you for your call your request has been closed"
    phrase = {"phraseIndex": 0, "participantPurpose": "internal", "text": text, "startTimeMs": at, "type": "text"}
    part = {"transcriptId": transcript_id(transcript, 9000), "language": "en-us", "programId": plan.division_id, "startTime": at}
    return {**part, **kind, "phrases": [phrase]}


def _participants(plan: Plan, transcript: TranscriptPlan, started_at: float) -> list[Json]:
    call, leg = transcript.call, transcript.leg
    span = {"startTimeMs": _ms(started_at + leg.connected), "endTimeMs": _ms(started_at + leg.ended)}
    customer = {"participantPurpose": "customer", "initialDirection": "inbound", "ani": call.ani, "dnis": call.dnis, **span}
    agent = {"participantPurpose": "agent", "userId": leg.agent.id, "queueId": leg.queue.id, "initialDirection": "inbound", **span}
    queue = {
        "participantPurpose": "acd",
        "queueId": leg.queue.id,
        "startTimeMs": _ms(started_at + call.began),
        "endTimeMs": span["startTimeMs"],
    }
    return [{**one, "divisionId": plan.division_id} for one in (customer, queue, agent)]
