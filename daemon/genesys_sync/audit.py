"""Audit entries: who did what to which target, with what outcome. They commit with the state change that they tell of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """One line of the audit trail.

    action   `noun.verb`, e.g. `recording.archive`
    target   what it was done to: an id, never a URL
    outcome  `success`, `failure`, `refused`
    facts    JSON values; never a secret, a URL or personal data
    """

    at: datetime
    actor: str
    action: str
    target: str
    outcome: str
    facts: Mapping[str, Any] = field(default_factory=dict)
