"""A service that takes jobs: submitted under an idempotency key, finished some time later, told of by a signed callback or when asked."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import orjson

from genesys_sync.plugin import (
    Accepted,
    Failed,
    Heard,
    PermanentError,
    Progress,
    ProviderLimits,
    ReasonCode,
    Transcribed,
    TranscriptionJob,
    TransientError,
)
from genesys_sync_handlers._config import PositiveDuration
from genesys_sync_handlers.providers._asking import ANSWER_LIMIT, HttpProvider, ServiceConfig, code_of, parsed, refusal
from genesys_sync_handlers.providers._reading import heard

_LIMITS_FOR = 600.0
_JOB_ID_LONGEST = 255


class JobsConfig(ServiceConfig):
    """One service.

    url      everything before `/jobs` and `/limits`
    key_file, key_env   where its key lies: a file, or an environment variable; neither for a service that asks for none
    timeout  how long sending a recording may take; questions take a minute at most
    """

    timeout: PositiveDuration = timedelta(minutes=15)


class Jobs(HttpProvider[JobsConfig]):
    """`POST /jobs`, `GET /jobs/{id}`, `GET /limits`; results come by callback where a URL is given."""

    config_type = JobsConfig
    _limits: tuple[float, ProviderLimits] = (0.0, ProviderLimits())
    """Until when (monotonic seconds) these are taken for what the service would say now."""

    async def limits(self) -> ProviderLimits:
        """As the service tells them, remembered for ten minutes; a service that has no such operation has no limits."""
        now = self._services.clock.monotonic()
        if now < self._limits[0]:
            return self._limits[1]
        reply = await self._ask("GET", "/limits")
        found = ProviderLimits() if reply is None else _limits(reply)
        self._limits = (now + _LIMITS_FOR, found)
        return found

    async def submit(self, job: TranscriptionJob) -> Progress:
        """The job's id. Under a key that the service has seen it answers with the job that there is."""
        values = [("locale", job.locale), ("redact", _flag(on=job.redact)), ("speaker_labels", _flag(on=job.speaker_labels))]
        values += [("phrases", phrase) for phrase in job.phrases]
        values += [("callback_url", job.callback_url)] if job.callback_url is not None else []
        reply = await self.hand_over("/jobs", job, values, name="media")
        if not 200 <= reply.status < 300:
            return refusal(reply, now=self._services.now())
        job_id = parsed(reply).get("id")
        if not isinstance(job_id, str) or not 0 < len(job_id) <= _JOB_ID_LONGEST:
            raise TransientError("the speech provider accepted the job and told no id", code=ReasonCode.BAD_ANSWER)
        return Accepted(job_id)

    async def look(self, job_id: str) -> Progress | None:
        """See `Provider.look`."""
        told = await self._ask("GET", f"/jobs/{quote(job_id, safe='')}")
        return None if told is None else _progress(told, job_id)

    def called_back(self, body: bytes) -> tuple[str, Progress] | None:
        """See `Provider.called_back`."""
        try:
            message = orjson.loads(body)
        except orjson.JSONDecodeError:
            return None
        told = message.get("data") if isinstance(message, dict) else None
        if not isinstance(told, dict) or not isinstance(key := told.get("idempotency_key"), str):
            return None
        progress = _progress(told, str(told.get("id")))
        return None if isinstance(progress, Accepted) else (key, progress)

    def read(self, document: bytes) -> Heard:
        """See `Provider.read`."""
        return heard(document)

    async def _ask(self, method: str, path: str) -> dict[str, Any] | None:
        """None for 404. Raises TransientError, and PermanentError for what is refused for good."""
        url, timeout = f"{self.config.url}{path}", min(self.config.timeout, timedelta(minutes=1))
        reply = await self._services.http.transfer(method, url, headers=self._headers, answer_limit=ANSWER_LIMIT, timeout=timeout)
        if reply.status == 404:
            return None
        if not 200 <= reply.status < 300:
            refused = refusal(reply, now=self._services.now())
            raise PermanentError(refused.reason, code=ReasonCode.RECEIVER_REFUSED)
        return parsed(reply)


def _progress(told: Mapping[str, Any], job_id: str) -> Progress:
    """How a job stands. The result is written anew, so that it has the same bytes whether it was sent or asked for."""
    status, result = told.get("status"), told.get("result")
    if status == "completed" and isinstance(result, dict):
        return Transcribed(orjson.dumps(result, option=orjson.OPT_SORT_KEYS))
    if status == "failed":
        code = code_of(told.get("error")) or "failed"
        return Failed(code, f"the speech provider could not transcribe it ({code})")
    return Accepted(job_id)


def _limits(told: Mapping[str, Any]) -> ProviderLimits:
    locales = told.get("locales")
    return ProviderLimits(
        locales=frozenset(one for one in locales if isinstance(one, str)) if isinstance(locales, list) else None,
        max_bytes=int(size) if (size := _positive(told.get("max_bytes"))) is not None else None,
        max_seconds=_positive(told.get("max_seconds")),
    )


def _positive(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) and value > 0 else None


def _flag(*, on: bool) -> str:
    return "true" if on else "false"
