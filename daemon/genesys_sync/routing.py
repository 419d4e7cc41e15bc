"""Which handlers want an event. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase

from genesys_sync.events import Event


@dataclass(frozen=True, slots=True)
class RoutedEvent:
    """An event together with the names of the handlers that it is to be delivered to (possibly none)."""

    event: Event
    handlers: tuple[str, ...]


def matches(topic: str, patterns: Iterable[str]) -> bool:
    """Whether one of the patterns takes the topic. A pattern is a topic or a glob: `recording.*`, `*.rejected`, `*`."""
    return any(fnmatchcase(topic, pattern) for pattern in patterns)


class Router:
    """Topic patterns, as `matches` reads them, to handler names."""

    def __init__(self, topics_by_handler: Mapping[str, Iterable[str]]) -> None:
        self._patterns = {name: tuple(patterns) for name, patterns in topics_by_handler.items()}
        self._memo: dict[str, tuple[str, ...]] = {}

    def handlers_for(self, topic: str) -> tuple[str, ...]:
        """The names, in the order of the settings; the same topic always gives the same names."""
        found = self._memo.get(topic)
        if found is None:
            found = tuple(name for name, patterns in self._patterns.items() if matches(topic, patterns))
            if len(self._memo) < 10_000:
                self._memo[topic] = found
        return found

    def route(self, events: Iterable[Event]) -> list[RoutedEvent]:
        """Each event with its handlers, in the order given."""
        return [RoutedEvent(event, self.handlers_for(event.topic)) for event in events]
