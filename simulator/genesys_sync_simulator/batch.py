"""Batch download jobs: asked for in one request, worked off over time, results kept as they were made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
Resolve = Callable[["Item", float], list[Json]]
"""Results of one item at a moment: one for each part, one with `errorMsg`, or none at all."""

MOST_ITEMS = 100


@dataclass(frozen=True, slots=True)
class Item:
    """One recording of one conversation; `recording_id` is empty when the conversation itself is not to be found."""

    conversation_id: str
    recording_id: str


@dataclass(slots=True)
class Job:
    """One batch request on its way from InProgress to Completed."""

    id: str
    client_id: str
    asked: int
    items: tuple[Item, ...]
    begun: float
    lasts: float
    results: list[Json] = field(default_factory=list)
    done: int = 0

    def due(self, index: int) -> float:
        """When the item of this index is worked off: evenly, the last one at the end."""
        return self.begun + self.lasts * (index + 1) / len(self.items)

    def work(self, now: float, resolve: Resolve) -> None:
        """Works off what is due. An item's result is decided at its own time, and stays as it is."""
        while self.done < len(self.items) and now >= self.due(self.done):
            self.results += resolve(self.items[self.done], self.due(self.done))
            self.done += 1

    def body(self) -> Json:
        """As `GET /api/v2/recording/batchrequests/{jobId}` answers."""
        waiting = len(self.items) - self.done
        expected = len(self.results) + waiting if self.done else max(self.asked, waiting)
        return {
            "jobId": self.id,
            "expectedResultCount": expected if waiting else len(self.results),
            "resultCount": len(self.results),
            "errorCount": sum("errorMsg" in result for result in self.results),
            "status": "InProgress" if waiting else "Completed",
            "results": list(self.results),
        }


def problem(body: Any, is_id: Callable[[str], bool]) -> tuple[str, str] | None:
    """Code and sentence of what is wrong with a batch request, or None."""
    items = body.get("batchDownloadRequestList") if isinstance(body, dict) else None
    if not isinstance(items, list) or not items:
        return "batch.download.bad.request", "batchDownloadRequestList must name at least one recording."
    if len(items) > MOST_ITEMS:
        return "batch.download.too.many.items", f"A batch request may name at most {MOST_ITEMS} items."
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("conversationId"), str) or not is_id(item["conversationId"]):
            return "batch.download.bad.request", "Each item needs a conversationId."
        recording = item.get("recordingId")
        if recording is not None and not (isinstance(recording, str) and is_id(recording)):
            return "batch.download.bad.request", "A recordingId is not well formed."
    return None


def without_repeats(items: Sequence[Item]) -> tuple[Item, ...]:
    """Each recording once, in the order asked."""
    return tuple(dict.fromkeys(items))
