"""From the settings of redaction to the redactor."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genesys_sync.errors import ConfigurationError
from genesys_sync.settings.credentials import read_secret
from genesys_sync.settings.redaction import RedactionSettings

if TYPE_CHECKING:
    from genesys_sync.redaction import Redactor

_KEY = "redaction.pseudonym_key_file"


def find_redactor(settings: RedactionSettings) -> Redactor:
    """The redactor of these settings, with its key read and its model opened. Raises ConfigurationError, each sentence with its key."""
    from genesys_sync.redaction import CustomRule, RedactionRules, Redactor, RuleRefused, presidio_names  # most commands redact nothing

    key: bytes | None = None
    if settings.pseudonym_key_file is not None:
        problems: list[str] = []
        key = read_secret(settings.pseudonym_key_file, _KEY, problems, guarded=True).encode()
        if problems:
            raise ConfigurationError(problems)
    try:
        custom = tuple(CustomRule(name=rule.name, pattern=rule.pattern, type=rule.type, context=rule.context) for rule in settings.rules)
        rules = RedactionRules(regions=settings.regions, custom=custom)
    except RuleRefused as error:
        raise ConfigurationError(f"redaction: {error}") from None
    try:
        names = presidio_names(settings.names_model) if settings.names_model else None
    except (ConfigurationError, ImportError, OSError) as error:
        raise ConfigurationError(f"redaction.names_model: {error}") from None
    try:
        return Redactor(rules, pseudonym_key=key, names=names)
    except ValueError as error:
        raise ConfigurationError(f"{_KEY}: {error}") from None
