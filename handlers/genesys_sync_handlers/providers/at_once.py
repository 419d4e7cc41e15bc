"""A service that answers at once: `POST …/v1/audio/transcriptions`, the shape that hosted and self-hosted engines share."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated

from pydantic import Field

from genesys_sync.plugin import ConfigurationError, Heard, Progress, ProviderLimits, Size, Transcribed, TranscriptionJob
from genesys_sync_handlers._config import PositiveDuration
from genesys_sync_handlers.providers._asking import ANSWER_LIMIT, HttpProvider, ServiceConfig, parsed, refusal
from genesys_sync_handlers.providers._reading import heard

_PROMPT_LIMIT = 800
"""Characters: engines keep about 224 tokens of a prompt, and drop its beginning."""


class AtOnceConfig(ServiceConfig):
    """One service.

    url          everything before `/v1/audio/transcriptions`
    key_file, key_env   where its key lies: a file, or an environment variable; neither for a service that asks for none
    model        the model's name, as the service knows it
    words        whether times of words are asked for; muting them in the sound needs them
    max_bytes, max_seconds   what it takes; 0 is no limit
    locales      what it understands; empty: whatever is asked for
    timeout      how long one transcription may take, from the first byte sent to the last of the answer
    """

    model: str
    words: bool = True
    max_bytes: Size = 25_000_000
    max_seconds: Annotated[float, Field(ge=0)] = 0.0
    locales: tuple[str, ...] = ()
    timeout: PositiveDuration = timedelta(minutes=15)


class AtOnce(HttpProvider[AtOnceConfig]):
    """The language is the locale's, the phrases become the prompt. It knows no speakers, and redacts nothing."""

    config_type = AtOnceConfig

    async def check(self) -> None:
        """Asks for the service's models, as most can be: what counts is that it answers, and does not refuse the key."""
        url = f"{self.config.url}/v1/models"
        reply = await self._services.http.transfer("GET", url, headers=self._headers, answer_limit=ANSWER_LIMIT)
        if reply.status in (401, 403):
            raise ConfigurationError(f"providers.{self.name}: the service refuses the key ({reply.status})")

    async def limits(self) -> ProviderLimits:
        """What the settings say: the service has no operation that tells."""
        locales = frozenset(self.config.locales) or None
        return ProviderLimits(locales=locales, max_bytes=self.config.max_bytes or None, max_seconds=self.config.max_seconds or None)

    async def submit(self, job: TranscriptionJob) -> Progress:
        """The result, or why there is none. The service knows no jobs: killed before the answer is kept, it is asked once more."""
        values = [("model", self.config.model), ("language", job.locale.partition("-")[0].lower()), ("response_format", "verbose_json")]
        values += [("timestamp_granularities[]", "segment")]
        values += [("timestamp_granularities[]", "word")] if self.config.words else []
        values += [("prompt", prompt)] if (prompt := _prompt(job)) else []
        reply = await self.hand_over("/v1/audio/transcriptions", job, values, name="file")
        if not 200 <= reply.status < 300:
            return refusal(reply, now=self._services.now())
        parsed(reply)
        return Transcribed(reply.body)

    def read(self, document: bytes) -> Heard:
        """See `Provider.read`."""
        return heard(document)


def _prompt(job: TranscriptionJob) -> str:
    """The phrases, as many as a prompt holds."""
    prompt = ""
    for phrase in job.phrases:
        longer = f"{prompt}, {phrase}" if prompt else phrase
        if len(longer) > _PROMPT_LIMIT:
            break
        prompt = longer
    return prompt
