"""Calling back: a signed POST, in the header names and the way of signing of Standard Webhooks."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import uuid
from collections.abc import Mapping
from typing import Any

import aiohttp

from genesys_sync_simulator.clock import iso
from genesys_sync_simulator.providers.desk import Desk, Job

_ATTEMPTS = 4
_TIMEOUT = aiohttp.ClientTimeout(total=10)
_WRONG_KEY = b"not the key that was agreed upon"


def key(secret: str) -> bytes:
    """The signing key of a secret `whsec_<base64>`; any other text is the key itself."""
    return base64.b64decode(secret.removeprefix("whsec_")) if secret.startswith("whsec_") else secret.encode()


def headers(signing_key: bytes, message_id: str, timestamp: int, body: bytes) -> Mapping[str, str]:
    """`webhook-id`, `webhook-timestamp` (seconds) and `webhook-signature`: `v1,` and the base64 HMAC-SHA256 over `id.timestamp.body`."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    signature = base64.b64encode(hmac.new(signing_key, signed, hashlib.sha256).digest()).decode()
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": f"v1,{signature}",
        "Content-Type": "application/json",
    }


async def call_back(desk: Desk, job: Job) -> None:
    """Tells the job's callback address of its end, as the job's fault allows. What is refused for good is not told again."""
    if not job.callback_url or job.fault == "lost":
        return
    if job.fault == "late":
        await desk.clock.sleep(desk.rules.late_after)
    message_id = f"msg_{uuid.uuid4().hex}"
    body = json.dumps(_message(desk, job), separators=(",", ":"), ensure_ascii=False).encode()
    for _ in range(2 if job.fault == "duplicated" else 1):
        await _deliver(desk, job, message_id, body)


def _message(desk: Desk, job: Job) -> dict[str, Any]:
    return {"type": f"transcription.{job.status}", "timestamp": iso(desk.now()), "data": job.body()}


async def _deliver(desk: Desk, job: Job, message_id: str, body: bytes) -> None:
    signing_key = _WRONG_KEY if job.fault == "bad_signature" else key(desk.rules.callback_secret)
    async with aiohttp.ClientSession(timeout=_TIMEOUT) as session:
        for attempt in range(_ATTEMPTS):
            desk.counts["callbacks_sent"] += 1
            sent = headers(signing_key, message_id, int(desk.now()), body)
            try:
                async with session.post(job.callback_url, data=body, headers=sent, allow_redirects=False) as answer:
                    status = answer.status
            except (aiohttp.ClientError, TimeoutError):
                status = 0
            if 200 <= status < 300:
                desk.counts["callbacks_accepted"] += 1
                return
            if 400 <= status < 500 and status not in (408, 429):
                desk.counts["callbacks_refused"] += 1
                return
            await desk.clock.sleep(0.2 * 2**attempt)
    desk.counts["callbacks_given_up"] += 1
