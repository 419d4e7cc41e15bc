"""What is hidden in transcripts and live utterances: one set of rules for all of them."""

from __future__ import annotations

from pydantic import Field

from genesys_sync.settings.base import NamedPath, Section


class RedactionRuleSettings(Section):
    """A rule of one's own: what matches `pattern` is hidden as `type`; with `context`, only where one of these words was said before it."""

    name: str
    pattern: str
    type: str
    context: tuple[str, ...] = ()


class RedactionSettings(Section):
    """What is hidden wherever text is redacted."""

    regions: tuple[str, ...] = ("US", "GB", "DE", "FR", "ES")
    rules: tuple[RedactionRuleSettings, ...] = ()
    pseudonym_key_file: NamedPath | None = None
    names_model: str = Field(default="", max_length=200)
