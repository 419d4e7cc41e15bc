"""What a scenario may say about conversations that are written, and about agents' screens."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from genesys_sync_simulator.scenario_speech import Span

IN_BATCHES: Final = ("json", "unavailable")
"""What a batch download does with what is written, which the documentation leaves open."""

REASONS_WRITTEN: Final = ("not_enabled", "purged", "forbidden")
"""Why something written never gets a transcript: what belongs to sound cannot be the reason."""


@dataclass(frozen=True, slots=True)
class Digital:
    """How many conversations of each medium. All are recorded, and what is told in them follows the table `transcripts`.

    screens     how many of the calls have the screens of their agents recorded as well
    duration    of a written conversation, seconds
    html        share of the e-mails that have no text, but HTML alone
    taken_up    the first so many e-mails end, and are taken up again under the same id `taken_up_after` seconds later
    too_large   the first so many e-mails come without their contents: EMAIL_TRANSCRIPT_TOO_LARGE
    in_batches  `json`: an address of the recording's body as a file; `unavailable`: as what cannot be downloaded
    """

    chats: int = 0
    messages: int = 0
    emails: int = 0
    screens: int = 0
    duration: Span = field(default=Span(2.0, 6.0))
    html: float = 0.5
    too_large: int = 0
    taken_up: int = 0
    taken_up_after: float = 10.0
    in_batches: str = "json"

    @property
    def written(self) -> tuple[tuple[str, int], ...]:
        """How many of each written medium, as analytics names it."""
        return (("chat", self.chats), ("message", self.messages), ("email", self.emails))
