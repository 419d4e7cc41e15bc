"""What a scenario may say about acting on the platform: recording control, uploads, prompts and flows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

ACTING_FAULTS: Final = ("control_lost", "upload_cut", "upload_error", "upload_report_failed", "transcode_failed")
"""The first so many: accepted changes that never happen, PUTs that break or fail, reports that fail, good prompts that fail."""

ACTING_PERMISSIONS: Final = (
    "conversation:recording:pauseOthers",
    "conversation:recording:snippetRecord",
    "conversation:communication:disconnect",
    "conversation:call:record",
    "telephony:plugin:all",
    "recording:recording:upload",
    "recording:uploadReport:add",
    "recording:uploadReport:view",
    "architect:userPrompt:add",
    "architect:userPrompt:view",
    "architect:userPrompt:edit",
    "architect:userPrompt:delete",
    "architect:flow:view",
    "architect:flow:edit",
    "architect:flow:delete",
    "architect:flow:unlock",
    "architect:flow:publish",
    "architect:job:create",
    "architect:job:view",
    "architect:dependencyTracking:view",
    "architect:dependencyTracking:rebuild",
)
"""What a client may do to the platform unless the scenario says otherwise."""


@dataclass(frozen=True, slots=True)
class Control:
    """Recording control; seconds."""

    delay: float = 0.3
    participants_only: bool = False
    screen: bool = False


@dataclass(frozen=True, slots=True)
class Uploads:
    """The store for third-party recordings, and what becomes of them; seconds, bytes a second, patterns of file names."""

    resumable: bool = False
    resume_status: int = 308
    upload_bandwidth: int = 0
    process_time: float = 1.0
    report_time: float = 1.0
    report_form: str = "csv"
    failing: tuple[str, ...] = ()
    waiting: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class FlowRules:
    """One flow as the scenario puts it there, by name; what it uses are names of prompts."""

    name: str
    type: str = "INBOUNDCALL"
    uses: tuple[str, ...] = ()
    locked_by: str = ""
    missing: tuple[str, ...] = ()
    outcome: str = "SUCCESS"
    message: str = ""
    deleted: bool = False
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class Architect:
    """Prompts and flows; seconds."""

    prompts: tuple[str, ...] = ()
    max_prompts: int = 10_000
    prompt_time: float = 1.0
    operation_time: float = 1.0
    tracking_time: float = 0.0
    flows: tuple[FlowRules, ...] = ()
