"""Names and places, found by Presidio where the extra `names` is installed. Rules do not find them; a model does, most of the time.

Nothing is ever downloaded: the model is a package that you installed, and is named in settings.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Iterable, Mapping
from threading import Lock
from types import MappingProxyType
from typing import Any, Final, Protocol

from genesys_sync.errors import ConfigurationError
from genesys_sync.redaction.findings import Finding

NAME: Final = "NAME"
PLACE: Final = "PLACE"
_ENTITIES: Final = MappingProxyType({"PERSON": NAME, "LOCATION": PLACE})


class NameFinder(Protocol):
    """Finds what rules cannot."""

    @property
    def types(self) -> frozenset[str]:
        """Every type that its findings may have: capitals and underscores."""

    def find(self, text: str, language: str | None) -> Iterable[Finding]:
        """Findings in one segment's text, with positions in it. What it raises withholds the transcript."""


class PresidioNames:
    """A `NameFinder` over a Presidio `AnalyzerEngine` that you made; every segment is read in the engine's `language`. Threads may share
    it: they wait for one another, since a spaCy model is not made for several at one time."""

    def __init__(self, engine: Any, *, language: str = "en", entities: Mapping[str, str] = _ENTITIES, threshold: float = 0.5) -> None:
        self._engine = engine
        self._language = language
        self._entities = dict(entities)
        self._threshold = threshold
        self._alone = Lock()

    @property
    def types(self) -> frozenset[str]:
        return frozenset(self._entities.values())

    def find(self, text: str, language: str | None) -> list[Finding]:  # noqa: ARG002 - an engine has one language
        with self._alone:
            results = self._engine.analyze(
                text=text, language=self._language, entities=list(self._entities), score_threshold=self._threshold
            )
        return [
            Finding(found.start, found.end, self._entities[found.entity_type], "presidio", text[found.start : found.end].lower())
            for found in results
            if found.entity_type in self._entities
        ]


def presidio_names(model: str, *, language: str = "en") -> PresidioNames:
    """Names and places by an installed spaCy model. Raises ConfigurationError where Presidio or the model is not installed."""
    if importlib.util.find_spec("presidio_analyzer") is None:
        raise ConfigurationError(
            "names are to be redacted, and Presidio is not installed: install genesys-sync[names], or switch names off"
        )
    if not model.isidentifier() or not _installed(model):
        raise ConfigurationError(
            "the spaCy model for names is not an installed package: install it, or switch names off; nothing is downloaded"
        )
    from presidio_analyzer import AnalyzerEngine
    from presidio_analyzer.nlp_engine import NlpEngineProvider

    configuration = {"nlp_engine_name": "spacy", "models": [{"lang_code": language, "model_name": model}]}
    try:
        engine = AnalyzerEngine(
            nlp_engine=NlpEngineProvider(nlp_configuration=configuration).create_engine(), supported_languages=[language]
        )
    except (ImportError, OSError, ValueError) as error:
        told = f"the spaCy model for names cannot be opened ({type(error).__name__}): its version must be that of the spaCy beside it"
        raise ConfigurationError(told) from error
    return PresidioNames(engine, language=language)


def _installed(model: str) -> bool:
    """Whether there is a distribution of this name with a spaCy model in it: Presidio downloads what is none."""
    if importlib.util.find_spec(model) is None:
        return False
    try:
        points = importlib.metadata.distribution(model).entry_points
    except importlib.metadata.PackageNotFoundError:
        return False
    return any(point.group == "spacy_models" for point in points)
