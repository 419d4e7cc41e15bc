"""What the organisation has set about transcription, and since when; and the reprocessing jobs that clients have asked for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from genesys_sync_simulator.plan import Plan
from genesys_sync_simulator.scenario import Scenario
from genesys_sync_simulator.speech.plan import Transcribed, TranscriptPlan

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class _Since:
    """The rule from a moment on (epoch seconds)."""

    moment: float
    setting: str
    queues: frozenset[str]


@dataclass(slots=True)
class ReprocessJob:
    """One reprocessing job: it looks for topics again, and transcribes nothing."""

    id: str
    request: Json
    client_id: str
    created: float
    total: int


@dataclass(slots=True)
class SpeechState:
    """Settings as they stand, and as they stood: a call is transcribed when they said so as it was answered."""

    transcripts: Transcribed
    settings: Json
    analytics: Json
    engines: dict[str, Json]
    queues: dict[str, bool]
    jobs: dict[str, ReprocessJob] = field(default_factory=dict)
    _history: list[_Since] = field(default_factory=list)

    def changed(self, now: float) -> None:
        """To be called after each change of `settings` or `queues`."""
        self._history.append(_Since(now, self.settings["transcription"], frozenset(name for name, on in self.queues.items() if on)))

    def enabled(self, queue_id: str, moment: float) -> bool:
        """Whether a call of the queue was transcribed that was answered at a moment (epoch seconds)."""
        rule = next((rule for rule in reversed(self._history) if rule.moment <= moment), self._history[0])
        return rule.setting == "EnabledGlobally" or (rule.setting == "EnabledQueueFlow" and queue_id in rule.queues)

    def refused(self, transcript: TranscriptPlan, started_at: float) -> bool:
        """Whether the platform forbids to ask for it: transcription was not on, or access is denied."""
        on = self.enabled(transcript.leg.queue.id, started_at + transcript.leg.connected)
        return not on or transcript.reason in ("not_enabled", "forbidden")

    def ready(self, transcript: TranscriptPlan, offset: float, started_at: float) -> bool:
        """Whether its file can be fetched."""
        return transcript.reason is None and offset >= transcript.ready_at and not self.refused(transcript, started_at)


def initial(scenario: Scenario, plan: Plan, transcripts: Transcribed) -> SpeechState:
    """The settings that a scenario begins with."""
    rules = scenario.transcripts
    setting = rules.setting if rules is not None else "Disabled"
    state = SpeechState(
        transcripts=transcripts,
        settings={
            "transcription": setting,
            "transcriptionConfidenceThreshold": 40,
            "lowLatencyTranscriptionEnabled": False,
            "contentSearchEnabled": True,
            "pciDssRedactionEnabled": False,
            "piiRedactionEnabled": False,
        },
        analytics={
            "defaultProgram": {"id": plan.division_id, "name": "Default program"},
            "expectedDialects": ["en-US"],
            "textAnalyticsEnabled": False,
            "agentEmpathyEnabled": False,
        },
        engines={plan.division_id: {"transcriptionEngines": [{"engine": "Genesys", "dialects": ["en-US", "es-US", "de-DE", "fr-FR"]}]}},
        queues={queue.id: False for queue in plan.queues},
    )
    state.changed(0.0)
    return state
