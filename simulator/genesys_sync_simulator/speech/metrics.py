"""What analytics make of a conversation's transcripts. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from genesys_sync_simulator.speech.plan import TranscriptPlan
from genesys_sync_simulator.speech.script import EXTERNAL


def sentiment_score(transcripts: Sequence[TranscriptPlan]) -> float:
    """From -100 to 100."""
    marks = [utterance.sentiment for one in transcripts for utterance in one.script.utterances]
    return round(100 * sum(marks) / len(marks), 2) if marks else 0.0


def speaking_shares(transcripts: Sequence[TranscriptPlan]) -> dict[str, Any]:
    """`participantMetrics`: who spoke for which share of the time, in percent."""
    total = sum(one.script.seconds for one in transcripts) or 1.0
    spoken = {True: 0.0, False: 0.0}
    for one in transcripts:
        for utterance in one.script.utterances:
            spoken[utterance.speaker == EXTERNAL] += utterance.end - utterance.start
    customer, agent = round(100 * spoken[True] / total, 2), round(100 * spoken[False] / total, 2)
    return {
        "agentDurationPercentage": agent,
        "customerDurationPercentage": customer,
        "silenceDurationPercentage": round(max(0.0, 100 - agent - customer), 2),
        "ivrDurationPercentage": 0.0,
        "acdDurationPercentage": 0.0,
        "overtalkDurationPercentage": 0.0,
        "otherDurationPercentage": 0.0,
        "overtalkCount": 0,
    }
