"""From the `[providers.…]` tables of the settings to speech providers, open for as long as the process lives. `services.Speech`."""

from __future__ import annotations

import os
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from genesys_sync.dispatch.registry import Loader, made
from genesys_sync.errors import ConfigurationError, PermanentError
from genesys_sync.faults import nearest
from genesys_sync.metrics import Metrics
from genesys_sync.services import Provider, Services
from genesys_sync.settings import Settings, read_secret
from genesys_sync.standard_webhooks import parse_secret

PROVIDERS: Final = "genesys_sync.providers"
"""The entry point group in which packages announce their speech providers."""

CALLBACK_PATH: Final = "/callbacks/"
_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,30}")


@dataclass(frozen=True, slots=True)
class LoadedProvider:
    """A provider as the settings ask for it. `keys` sign what it sends; none: nothing of it is taken."""

    name: str
    provider: Provider[Any]
    locale: str
    keys: tuple[bytes, ...]


def load_providers(settings: Settings, *, base: Path) -> list[LoadedProvider]:
    """The providers of the settings, in their order, with their secrets read. Raises ConfigurationError, one sentence for each
    fault."""
    loader = Loader[Provider[Any]](base, Provider, PROVIDERS)
    problems: list[str] = []
    loaded = []
    for name, wanted in settings.providers.items():
        key = f"providers.{name}"
        if _NAME.fullmatch(name) is None:
            problems.append(f"{key}: a provider's name is 1 to 31 of a-z, 0-9 and -, and begins with a letter")
        keys = _keys(wanted.callback_secret_files, f"{key}.callback_secret_files", problems)
        try:
            provider = made(loader.find(wanted.use, f"{key}.use"), key, name, wanted.config)
        except ConfigurationError as error:
            problems.extend(error.problems)
            continue
        loaded.append(LoadedProvider(name, provider, wanted.locale, keys))
    if problems:
        raise ConfigurationError(problems)
    return loaded


def _keys(files: Sequence[Path], key: str, problems: list[str]) -> tuple[bytes, ...]:
    systemd = os.environ.get("CREDENTIALS_DIRECTORY")
    found = []
    for path in files:
        text = read_secret(path, key, problems, guarded=not (systemd and path.is_relative_to(systemd)))
        try:
            found += [parse_secret(text.strip())] if text else []
        except ValueError as error:
            problems.append(f"{key}: {path}: {error}")
    return tuple(found)


class OpenProviders:
    """Implements `services.Speech` over loaded providers. `public_url`: how the outside reaches our listener; None: it does not."""

    def __init__(self, loaded: Sequence[LoadedProvider], *, public_url: str | None, metrics: Metrics) -> None:
        self._loaded: Mapping[str, LoadedProvider] = {one.name: one for one in loaded}
        self._public_url = public_url
        self._metrics = metrics

    @property
    def names(self) -> Sequence[str]:
        """See `Speech.names`."""
        return tuple(self._loaded)

    @property
    def called_back(self) -> Mapping[str, LoadedProvider]:
        """Those whose messages can be verified."""
        return {name: one for name, one in self._loaded.items() if one.keys}

    def provider(self, name: str) -> Provider[Any]:
        """See `Speech.provider`."""
        if name not in self._loaded:
            there = f" (there are: {', '.join(self._loaded)})" if self._loaded else "; add a table [providers.NAME] to the settings"
            raise PermanentError(f"there is no speech provider {name!r}{nearest(name, self._loaded)}{there}")
        return self._loaded[name].provider

    def locale(self, name: str) -> str:
        """See `Speech.locale`."""
        return self._loaded[name].locale if name in self._loaded else ""

    def callback_url(self, name: str) -> str | None:
        """See `Speech.callback_url`."""
        one = self._loaded.get(name)
        return f"{self._public_url}{CALLBACK_PATH}{name}" if self._public_url is not None and one is not None and one.keys else None

    def measure(self, name: str, outcome: str, *, since_request: float, since_call: float | None) -> None:
        """See `Speech.measure`."""
        if name not in self._loaded:
            return
        self._metrics.transcription_seconds.labels(name, outcome).observe(since_request)
        if since_call is not None:
            self._metrics.transcription_after_call_seconds.labels(name).observe(since_call)

    @asynccontextmanager
    async def running(self, services: Services) -> AsyncGenerator[None]:
        """Every provider open, in the order of the settings."""
        async with AsyncExitStack() as stack:
            for one in self._loaded.values():
                await stack.enter_async_context(one.provider.running(services))
            yield
