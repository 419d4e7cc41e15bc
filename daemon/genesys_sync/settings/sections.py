"""The sections of the settings: one class each, with every key, its default and its rule."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, field_validator, model_validator

from genesys_sync.faults import nearest
from genesys_sync.settings.base import NamedPath, NetworkText, PositiveDuration, Section
from genesys_sync.settings.redaction import RedactionSettings
from genesys_sync.settings.regions import REGIONS
from genesys_sync.units import Size

_THIS_MACHINE = ("127.0.0.1", "::1", "localhost")


def _signable(value: timedelta) -> timedelta:
    if not timedelta(minutes=1) <= value <= timedelta(days=7):
        raise ValueError("must be from 1m to 7d, for which the platform signs")
    return value


_CLIENT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")


class ClientSettings(Section):
    """A further OAuth client of the same organisation, which shares the work."""

    client_id_file: NamedPath
    client_secret_file: NamedPath


class GenesysSettings(Section):
    """Which organisation, with which client, at what pace."""

    region: str | None = None
    api_url: str | None = None
    login_url: str | None = None
    client_id_file: NamedPath | None = None
    client_secret_file: NamedPath | None = None
    clients: dict[str, ClientSettings] = Field(default_factory=dict, max_length=20)
    media_hosts: tuple[str, ...] = ("*.amazonaws.com", "*.amazonaws.eu", "*.mypurecloud.com", "*.pure.cloud", "*.us-gov-pure.cloud")
    requests_per_minute: Annotated[int, Field(ge=1)] = 300
    request_share: Annotated[float, Field(gt=0, le=1)] = 0.9
    request_timeout: PositiveDuration = timedelta(seconds=30)
    batch_gather: PositiveDuration = timedelta(seconds=2)
    batch_poll: PositiveDuration = timedelta(seconds=5)
    batch_from: Annotated[int, Field(ge=1)] = 4
    details_jobs_after: PositiveDuration = timedelta(days=2)
    details_job_poll: PositiveDuration = timedelta(seconds=10)
    media_url_life: PositiveDuration = timedelta(minutes=2)
    downloads: Annotated[int, Field(ge=1, le=256)] = 16
    download_floor: Size = 8 << 10
    download_patience: PositiveDuration = timedelta(seconds=30)
    control_confirm: PositiveDuration = timedelta(seconds=15)
    control_look: PositiveDuration = timedelta(milliseconds=500)
    upload_url_life: Annotated[PositiveDuration, AfterValidator(_signable)] = timedelta(hours=6)
    upload_chunk: Annotated[Size, Field(ge=256 << 10, multiple_of=256 << 10)] = 8 << 20
    upload_patience: PositiveDuration = timedelta(seconds=60)
    upload_report_every: PositiveDuration = timedelta(seconds=5)
    architect_look: PositiveDuration = timedelta(seconds=1)
    prompt_wait: PositiveDuration = timedelta(minutes=2)
    flow_wait: PositiveDuration = timedelta(minutes=10)
    tracking_wait: PositiveDuration = timedelta(minutes=5)

    @field_validator("clients")
    @classmethod
    def _well_named(cls, value: dict[str, ClientSettings]) -> dict[str, ClientSettings]:
        for name in value:
            if _CLIENT_NAME.fullmatch(name) is None or name == "main":
                raise ValueError(f"{name!r}: a client's name is 1 to 31 of a-z, 0-9 and -, and not main, which is the first one")
        return value

    @field_validator("region")
    @classmethod
    def _known_region(cls, value: str | None) -> str | None:
        if value is not None and value not in REGIONS:
            hint = f"{nearest(value, REGIONS)} (known: {', '.join(REGIONS)}; for another, set api_url and login_url)"
            raise ValueError(f"{value!r} is not a known region{hint}")
        return value

    @field_validator("api_url", "login_url")
    @classmethod
    def _is_url(cls, value: str | None) -> str | None:
        if value is None:
            return None
        parts = urlsplit(value)  # a ValueError of its own is a fault of the value too
        if not (parts.scheme == "https" and parts.hostname) and not (parts.scheme == "http" and parts.hostname in _THIS_MACHINE):
            raise ValueError("must begin with https:// (http:// is taken for this machine only, as the simulator needs)")
        if parts.username is not None or parts.query or parts.fragment:
            raise ValueError("must be a base URL, without user name, query or fragment")
        return value.rstrip("/")

    @model_validator(mode="after")
    def _addressed(self) -> GenesysSettings:
        if self.region is None and (self.api_url is None or self.login_url is None):
            raise ValueError("set region, or api_url and login_url")
        return self

    @property
    def api(self) -> str:
        """Base URL of the platform API, without a trailing slash."""
        return self.api_url or f"https://api.{REGIONS[self.region or 'us_east_1']}"

    @property
    def login(self) -> str:
        """Base URL of the login host, without a trailing slash."""
        return self.login_url or f"https://login.{REGIONS[self.region or 'us_east_1']}"


class FeedSettings(Section):
    """The notification channel, and the back-fill that closes its gaps."""

    queues: tuple[str, ...] = ("*",)
    queue_refresh: PositiveDuration = timedelta(minutes=5)
    topics: tuple[str, ...] = ()
    ping_every: PositiveDuration = timedelta(seconds=25)
    silence: PositiveDuration = timedelta(seconds=35)
    starved_after: PositiveDuration = timedelta(minutes=10)
    connect_timeout: PositiveDuration = timedelta(seconds=15)
    backoff_base: PositiveDuration = timedelta(seconds=1)
    backoff_cap: PositiveDuration = timedelta(seconds=60)
    frame_limit: Size = 1 << 20
    intake_limit: Size = 8 << 20
    backfill_first: PositiveDuration = timedelta(hours=24)
    backfill_overlap: PositiveDuration = timedelta(minutes=5)
    backfill_settle: PositiveDuration = timedelta(minutes=1)
    backfill_long_calls: PositiveDuration = timedelta(hours=24)
    reconcile_every: PositiveDuration = timedelta(minutes=15)
    reconcile_window: PositiveDuration = timedelta(hours=2)
    ready_within: PositiveDuration = timedelta(seconds=90)
    retention_alert: PositiveDuration = timedelta(hours=72)
    orphans: bool = True
    live_transcripts: bool = False
    live_gather: PositiveDuration = timedelta(seconds=1)
    live_hold: PositiveDuration = timedelta(seconds=30)
    live_hold_utterances: Annotated[int, Field(ge=1, le=100)] = 20


class LedgerSettings(Section):
    """Where the ledger lies."""

    url: str = "sqlite:///./state/ledger.db"
    allow_unsafe: bool = False

    @field_validator("url")
    @classmethod
    def _known_scheme(cls, value: str) -> str:
        if not value.startswith("sqlite:///") or not value.removeprefix("sqlite:///").strip() or "\0" in value:
            raise ValueError("must begin with sqlite:/// and a path (sqlite:////var/lib/… for an absolute one)")
        return value


class AuditSettings(Section):
    """How the audit trail leaves the ledger."""

    folder: NamedPath | None = None
    checkpoint_every: PositiveDuration = timedelta(seconds=60)
    signing_key_file: NamedPath | None = None


class StorageSettings(Section):
    """Where the archive lies."""

    root: NamedPath = Path("./archive")
    min_free: Size = 1 << 30


class DispatchSettings(Section):
    """How deliveries are worked off."""

    lease: PositiveDuration = timedelta(seconds=60)
    poll: PositiveDuration = timedelta(seconds=5)
    drain: PositiveDuration = timedelta(seconds=25)
    max_crashes: Annotated[int, Field(ge=1)] = 10


class HttpSettings(Section):
    """Requests that handlers send to other systems."""

    allow_private: tuple[NetworkText, ...] = ()


class UploadSettings(Section):
    """The watched folder, whose files are uploaded."""

    folder: NamedPath | None = None
    settle: PositiveDuration = timedelta(seconds=10)
    scan_every: PositiveDuration = timedelta(seconds=5)
    afterwards: Literal["move", "leave"] = "move"


def _listening(value: str) -> str:
    host, colon, port = value.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError('must be an address and a port, such as "127.0.0.1:8086"')
    return value


class PromptSettings(Section):
    """What prompts are converted to, and how they get to the platform."""

    encoding: Literal["pcm", "ulaw", "alaw"] = "pcm"
    sample_rate: Literal[8000, 16000] = 16000
    loudness: float | Literal["keep"] = -20.0
    peak: Annotated[float, Field(ge=-20, le=0)] = -1.0
    largest_source: Size = 25_000_000
    upload_form: Literal["auto", "current", "deprecated"] = "auto"
    at_a_time: Annotated[int, Field(ge=1, le=64)] = 8
    workers: Annotated[int, Field(ge=0, le=64)] = 0
    memory: Size = 1 << 30

    @field_validator("loudness", mode="before")
    @classmethod
    def _loudness(cls, value: object) -> object:
        """One sentence for what is neither: pydantic has one for each alternative."""
        if value != "keep" and (isinstance(value, bool) or not isinstance(value, (int, float)) or not -40 <= value <= -10):
            raise ValueError('must be a number of LUFS from -40 to -10, or "keep"')
        return value


class HealthSettings(Section):
    """The listener with `/livez`, `/readyz` and `/metrics`."""

    listen: str = "127.0.0.1:8086"

    @field_validator("listen")
    @classmethod
    def _address(cls, value: str) -> str:
        return _listening(value)

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


_HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|[0-9a-f:]*:[0-9a-f:.]*")


class ConsoleSettings(Section):
    """The status page on the health listener."""

    enabled: bool = True
    allow_hosts: tuple[str, ...] = ()

    @field_validator("allow_hosts")
    @classmethod
    def _hosts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for host in value:
            if _HOST.fullmatch(host.lower()) is None:
                raise ValueError(f'{host!r} is not a host: write it as a browser names it, without scheme and port: "sync.example.com"')
        return tuple(host.lower() for host in value)


class CallbacksSettings(Section):
    """The listener to which speech providers send results; it runs where a provider has a secret to sign with."""

    listen: str = "127.0.0.1:8087"
    public_url: str | None = None
    tolerance: PositiveDuration = timedelta(minutes=5)
    body_limit: Size = 16 << 20

    @field_validator("listen")
    @classmethod
    def _address(cls, value: str) -> str:
        return _listening(value)

    @field_validator("public_url")
    @classmethod
    def _reachable(cls, value: str | None) -> str | None:
        parts = urlsplit(value or "")
        if value is not None and (parts.scheme not in ("https", "http") or not parts.hostname or parts.query or parts.fragment):
            raise ValueError('must be an http or https URL, such as "https://sync.example.com"')
        if parts.scheme == "http" and parts.hostname not in _THIS_MACHINE:
            raise ValueError("must begin with https:// unless it names this machine: transcripts come this way")
        return None if value is None else value.rstrip("/")

    @property
    def address(self) -> tuple[str, int]:
        host, _, port = self.listen.rpartition(":")
        return host.strip("[]"), int(port)


class ProviderSettings(Section):
    """One speech provider: which code, what it speaks by default, what it signs with. `config` belongs to the provider itself."""

    use: str
    locale: str = ""
    callback_secret_files: tuple[NamedPath, ...] = ()
    config: dict[str, Any] = Field(default_factory=dict)


class CostsSettings(Section):
    """What storage costs, for an estimate: prices by storage class, and the class in which each kind of thing lies."""

    currency: Annotated[str, Field(min_length=1, max_length=16)] = "USD"
    per_gb_month: dict[str, Annotated[float, Field(ge=0)]] = Field(default_factory=dict)
    classes: dict[Literal["recordings", "transcripts", "redacted", "uploads"], str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _priced(self) -> CostsSettings:
        for kind, name in self.classes.items():
            if name not in self.per_gb_month:
                raise ValueError(f"classes.{kind}: {name!r} has no price in per_gb_month{nearest(name, self.per_gb_month)}")
        return self

    def storage_class(self, kind: str) -> str:
        """Where things of this kind lie: `archive`, and `platform` for uploads, unless the settings say otherwise."""
        return {str(known): name for known, name in self.classes.items()}.get(kind, "platform" if kind == "uploads" else "archive")


class LogSettings(Section):
    """What is logged, and how."""

    format: Literal["auto", "console", "json"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class SentrySettings(Section):
    """Error reports; off until a DSN is given, in a file or in the environment variable `SENTRY_DSN`."""

    dsn_file: NamedPath | None = None
    environment: str = "production"


class HandlerSettings(Section):
    """One handler: which code, which topics, under which policy. `config` belongs to the handler itself."""

    use: str
    topics: tuple[str, ...] | None = None
    concurrency: Annotated[int, Field(ge=1, le=10_000)] | None = None
    timeout: PositiveDuration | None = None
    attempts: Annotated[int, Field(ge=1)] | None = None
    time_limit: PositiveDuration | None = None
    backoff_base: PositiveDuration | None = None
    backoff_cap: PositiveDuration | None = None
    schedule: tuple[PositiveDuration, ...] | None = None
    config: dict[str, Any] = Field(default_factory=dict)


class Settings(Section):
    """Everything, as one frozen value."""

    genesys: GenesysSettings
    feed: FeedSettings = FeedSettings()
    ledger: LedgerSettings = LedgerSettings()
    audit: AuditSettings = AuditSettings()
    storage: StorageSettings = StorageSettings()
    dispatch: DispatchSettings = DispatchSettings()
    http: HttpSettings = HttpSettings()
    upload: UploadSettings = UploadSettings()
    prompts: PromptSettings = PromptSettings()
    health: HealthSettings = HealthSettings()
    console: ConsoleSettings = ConsoleSettings()
    callbacks: CallbacksSettings = CallbacksSettings()
    redaction: RedactionSettings = RedactionSettings()
    costs: CostsSettings = CostsSettings()
    log: LogSettings = LogSettings()
    sentry: SentrySettings = SentrySettings()
    providers: dict[str, ProviderSettings] = Field(default_factory=dict)
    handlers: dict[str, HandlerSettings] = Field(default_factory=dict)

    @property
    def places(self) -> dict[str, Path]:
        """By its setting, each path on whose durability everything rests."""
        return {"ledger.url": Path(self.ledger.url.removeprefix("sqlite:///")), "storage.root": self.storage.root}

    @property
    def audit_folder(self) -> Path:
        """`audit.folder`, else `audit` beside the ledger."""
        return self.audit.folder or Path(self.ledger.url.removeprefix("sqlite:///")).parent / "audit"

    @property
    def kept_frames(self) -> Path:
        """The folder with the first of each kind of frame that could not be used, for its owner alone: beside the ledger."""
        return Path(f"{self.ledger.url.removeprefix('sqlite:///')}.frames")

    @property
    def channel_book(self) -> Path:
        """Where the feed keeps its channels' addresses, for its owner alone: beside the ledger, which is no place for a secret."""
        return Path(f"{self.ledger.url.removeprefix('sqlite:///')}.channels")

    @property
    def prompts_lock(self) -> Path:
        """Whoever has this file's lock pushes prompts: beside the ledger, because what was pushed is known there."""
        return Path(f"{self.ledger.url.removeprefix('sqlite:///')}.prompts.lock")

    @property
    def upload_book(self) -> Path:
        """The folder in which uploads under way are known, for its owner alone: beside the ledger, which is no place for an address."""
        return Path(f"{self.ledger.url.removeprefix('sqlite:///')}.uploads")
