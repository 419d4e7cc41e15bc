"""The provider that takes jobs: submitted once for each idempotency key, asked for by id, told of by a signed callback."""

from __future__ import annotations

import random
import re
import uuid
from urllib.parse import urlsplit

from aiohttp import web

from genesys_sync_simulator.providers.at_once import hear
from genesys_sync_simulator.providers.callbacks import call_back
from genesys_sync_simulator.providers.desk import LOCALES, Desk, Job, digest, result
from genesys_sync_simulator.providers.requests import Form, Refused, answer, let_in, read_form

_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_MOST_PHRASES = 500


def routes(desk: Desk) -> list[web.RouteDef]:
    """Submit, ask, and the provider's own limits."""

    async def submit(request: web.Request) -> web.Response:
        let_in(desk, request)
        key = request.headers.get("Idempotency-Key", "")
        if not _KEY.fullmatch(key):
            raise Refused(400, "missing_idempotency_key", "The header Idempotency-Key must hold 1 to 255 printable characters.")
        form = await read_form(desk, request, media=("media", "file"))
        job = _job(desk, key, form)
        known = desk.jobs.get(desk.keys.get(key, ""))
        if known is not None:
            if known.digest != job.digest:
                raise Refused(422, "idempotency_key_reused", "The Idempotency-Key was used for another request.")
            return answer(known.body(), headers={"Idempotent-Replayed": "true"})
        desk.add(job)
        assert form.media is not None
        if job.fault == "fast":
            desk.fired["fast"] += 1
            await _work(desk, job, form.media)
            await call_back(desk, job)
        else:
            assert desk.group is not None
            desk.group.start_soon(_later, desk, job, form.media)
        return answer(job.body(), status=202, headers={"Location": f"/jobs/{job.id}"})

    async def one(request: web.Request) -> web.Response:
        let_in(desk, request)
        job = desk.jobs.get(request.match_info["jobId"])
        if job is None:
            raise Refused(404, "job_not_found", "The job does not exist.")
        return answer(job.body())

    async def limits(request: web.Request) -> web.Response:
        let_in(desk, request)
        return answer({"locales": list(LOCALES), "max_bytes": desk.rules.max_bytes, "max_seconds": desk.rules.max_seconds})

    return [web.post("/jobs", submit), web.get("/jobs/{jobId}", one), web.get("/limits", limits)]


def _job(desk: Desk, key: str, form: Form) -> Job:
    if not form.media:
        raise Refused(400, "missing_media", "The media must be the body, or the part named media of a form.", param="media")
    locale, callback_url = form.one("locale"), form.one("callback_url")
    if locale not in LOCALES:
        raise Refused(400, "unsupported_locale", f"locale must be one of {', '.join(LOCALES)}.", param="locale")
    if callback_url and (urlsplit(callback_url).scheme not in ("http", "https") or not urlsplit(callback_url).hostname):
        raise Refused(400, "invalid_value", "callback_url must be an http or https address.", param="callback_url")
    phrases = tuple(form.several("phrases"))
    if len(phrases) > _MOST_PHRASES or any(not phrase.strip() for phrase in phrases):
        raise Refused(400, "invalid_value", f"phrases must be at most {_MOST_PHRASES} texts that are not empty.", param="phrases")
    return Job(
        id=f"job_{uuid.uuid4().hex}",
        key=key,
        digest=digest(locale, callback_url, str(form.flag("redact")), str(form.flag("speaker_labels")), *phrases, form.media),
        locale=locale,
        callback_url=callback_url,
        redact=form.flag("redact"),
        speaker_labels=form.flag("speaker_labels"),
        phrases=phrases,
        created=desk.now(),
    )


async def _later(desk: Desk, job: Job, media: bytes) -> None:
    """Works on the job when its time has come, and calls back."""
    span = desk.rules.job_time
    job.status = "processing"
    await desk.clock.sleep(random.Random(job.key).uniform(span.low, span.high))
    await _work(desk, job, media)
    if job.fault is not None and job.callback_url:
        desk.fired[job.fault] += 1
    await call_back(desk, job)


async def _work(desk: Desk, job: Job, media: bytes) -> None:
    try:
        heard = await hear(desk, media)
    except Refused as refused:
        job.status, job.error = "failed", {"code": refused.code, "message": refused.message}
    else:
        job.status = "completed"
        job.result = result(heard, redact=job.redact, speaker_labels=job.speaker_labels)
    job.completed = desk.now()
    desk.counts["jobs_done"] += 1
