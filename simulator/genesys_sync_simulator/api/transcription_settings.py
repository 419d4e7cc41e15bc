"""Whether calls are transcribed: the organisation's setting, and what the organisation has bought."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from genesys_sync_simulator.api.answers import ApiError, Json, bad_request, body, get, need_all, reply
from genesys_sync_simulator.platform import Platform
from genesys_sync_simulator.scenario_speech import TRANSCRIPTION

_PATH = "/api/v2/routing/settings/transcription"
_FLAGS = ("lowLatencyTranscriptionEnabled", "contentSearchEnabled", "pciDssRedactionEnabled", "piiRedactionEnabled")
_TRANSCRIBES = "speechAndTextAnalytics"
_PRODUCTS = ("pureCloud", "genesysCloud2", _TRANSCRIBES)


def routes(platform: Platform) -> list[web.RouteDef]:
    """Operations of routing settings, and of products."""
    state = platform.speech
    licensed = platform.scenario.transcripts is None or platform.scenario.transcripts.licensed

    async def settings(request: web.Request) -> web.Response:
        need_all(request, "routing:transcriptionSettings:view")
        return reply(state.settings)

    async def change(request: web.Request) -> web.Response:
        """PUT needs `transcription`; PATCH takes what it is given."""
        need_all(request, "routing:transcriptionSettings:edit")
        if not licensed:
            raise ApiError(403, "feature.forbidden", "The organization has no product that transcribes.")
        wanted = _valid(await body(request), whole=request.method == "PUT")
        state.settings = {**state.settings, **wanted}
        state.changed(platform.now())
        return reply(state.settings)

    async def products(_: web.Request) -> web.Response:
        return reply({"entities": [{"id": product} for product in _PRODUCTS if licensed or product != _TRANSCRIBES]})

    return [
        get(_PATH, settings),
        web.put(_PATH, change),
        web.patch(_PATH, change),
        get("/api/v2/authorization/products", products),
    ]


def _valid(document: Any, *, whole: bool) -> Json:
    if not isinstance(document, dict) or (whole and "transcription" not in document):
        raise bad_request("The body must be TranscriptionSettings, with transcription.")
    if "transcription" in document and document["transcription"] not in TRANSCRIPTION:
        raise bad_request(f"transcription must be one of {', '.join(TRANSCRIPTION)}.", code="invalid.value")
    threshold = document.get("transcriptionConfidenceThreshold", 40)
    if not isinstance(threshold, int) or isinstance(threshold, bool) or not 1 <= threshold <= 100:
        raise bad_request("transcriptionConfidenceThreshold must be a whole number from 1 to 100.", code="invalid.value")
    if wrong := [flag for flag in _FLAGS if not isinstance(document.get(flag, False), bool)]:
        raise bad_request(f"{wrong[0]} must be true or false.", code="invalid.value")
    return {key: value for key, value in document.items() if key in ("transcription", "transcriptionConfidenceThreshold", *_FLAGS)}
