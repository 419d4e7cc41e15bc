"""All the settings, their defaults and their rules. `settings.toml` at the top of the project shows each with one sentence.

Sources, later wins: `settings.toml` ← environment (`GENESYS_SYNC_FEED__SILENCE=40s`) ← `--set feed.silence=40s`.
A handler's name has no `_`, and a variable's no `-`: `GENESYS_SYNC_HANDLERS__TELL_CRM__USE` is `handlers.tell-crm.use`.
Secrets come from files (systemd credentials, or `*_file` settings) or from the environment, never from `settings.toml`.
Unknown keys are errors; all faults are reported at once, each with its key's path and the nearest known key.
"""

from genesys_sync.settings.credentials import (
    SECRET_LIMIT,
    Credentials,
    find_credentials,
    find_further_clients,
    find_sentry_dsn,
    read_secret,
)
from genesys_sync.settings.loading import load, salvage
from genesys_sync.settings.redaction import RedactionSettings
from genesys_sync.settings.redactor import find_redactor
from genesys_sync.settings.regions import REGIONS
from genesys_sync.settings.sections import (
    AuditSettings,
    CallbacksSettings,
    ClientSettings,
    ConsoleSettings,
    CostsSettings,
    DispatchSettings,
    FeedSettings,
    GenesysSettings,
    HandlerSettings,
    HealthSettings,
    HttpSettings,
    LedgerSettings,
    LogSettings,
    PromptSettings,
    ProviderSettings,
    SentrySettings,
    Settings,
    StorageSettings,
    UploadSettings,
)

__all__ = [
    "REGIONS",
    "SECRET_LIMIT",
    "AuditSettings",
    "CallbacksSettings",
    "ClientSettings",
    "ConsoleSettings",
    "CostsSettings",
    "Credentials",
    "DispatchSettings",
    "FeedSettings",
    "GenesysSettings",
    "HandlerSettings",
    "HealthSettings",
    "HttpSettings",
    "LedgerSettings",
    "LogSettings",
    "PromptSettings",
    "ProviderSettings",
    "RedactionSettings",
    "SentrySettings",
    "Settings",
    "StorageSettings",
    "UploadSettings",
    "find_credentials",
    "find_further_clients",
    "find_redactor",
    "find_sentry_dsn",
    "load",
    "read_secret",
    "salvage",
]
