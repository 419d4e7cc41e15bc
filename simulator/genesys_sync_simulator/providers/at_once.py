"""The provider that answers at once: `POST /v1/audio/transcriptions` in the widely used shape."""

from __future__ import annotations

from typing import Any

from aiohttp import web
from anyio import to_thread

from genesys_sync_simulator.providers.desk import LOCALES, Desk
from genesys_sync_simulator.providers.recognise import Heard, Unreadable
from genesys_sync_simulator.providers.requests import Form, Refused, answer, let_in, read_form

_FORMATS = ("json", "text", "srt", "verbose_json", "vtt")
_GRANULARITIES = ("word", "segment")
_LANGUAGES = {locale.partition("-")[0] for locale in LOCALES}
_NAMES = {"en": "english", "es": "spanish", "de": "german", "fr": "french"}


def routes(desk: Desk) -> list[web.RouteDef]:
    """The one operation."""

    async def transcribe(request: web.Request) -> web.Response:
        let_in(desk, request)
        if request.content_type != "multipart/form-data":
            raise Refused(400, "invalid_form", "The body must be multipart/form-data.")
        form = await read_form(desk, request, media=("file",))
        _check(form)
        assert form.media is not None
        heard = await hear(desk, form.media)
        desk.counts["transcriptions"] += 1
        return _shaped(form, heard)

    return [web.post("/v1/audio/transcriptions", transcribe)]


async def hear(desk: Desk, media: bytes) -> Heard:
    """What the media say. Raises Refused for what is no audio, or too long."""
    try:
        heard = await to_thread.run_sync(desk.recogniser.listen, media)
    except Unreadable:
        raise Refused(400, "invalid_audio", "The audio file could not be decoded, or its format is not supported.", param="file") from None
    if heard.seconds > desk.rules.max_seconds:
        raise Refused(400, "audio_too_long", f"The audio is longer than {desk.rules.max_seconds:g} seconds.", param="file")
    return heard


def _check(form: Form) -> None:
    if not form.media:
        raise Refused(400, "missing_required_parameter", "file is required.", param="file")
    if not form.one("model"):
        raise Refused(400, "missing_required_parameter", "model is required.", param="model")
    if form.one("response_format", "json") not in _FORMATS:
        raise Refused(400, "invalid_value", f"response_format must be one of {', '.join(_FORMATS)}.", param="response_format")
    language = form.one("language")
    if language and language not in _LANGUAGES:
        raise Refused(400, "unsupported_language", "language must be a supported ISO 639-1 code.", param="language")
    wanted = form.several("timestamp_granularities")
    if any(one not in _GRANULARITIES for one in wanted) or (wanted and form.one("response_format") != "verbose_json"):
        sentence = "timestamp_granularities takes word and segment, with response_format verbose_json."
        raise Refused(400, "invalid_value", sentence, param="timestamp_granularities")


def _shaped(form: Form, heard: Heard) -> web.Response:
    text = " ".join(segment.text for segment in heard.segments)
    match form.one("response_format", "json"):
        case "text":
            return web.Response(text=text + "\n")
        case "srt":
            return web.Response(text=_captions(heard, ","))
        case "vtt":
            return web.Response(text="WEBVTT\n\n" + _captions(heard, "."), content_type="text/vtt")
        case "verbose_json":
            return answer(_verbose(form, heard, text))
        case _:
            return answer({"text": text})


def _verbose(form: Form, heard: Heard, text: str) -> dict[str, Any]:
    language = form.one("language") or heard.language.partition("-")[0]
    wanted = form.several("timestamp_granularities") or ["segment"]
    found: dict[str, Any] = {"task": "transcribe", "language": _NAMES.get(language, language), "duration": heard.seconds, "text": text}
    if "segment" in wanted:
        found["segments"] = [
            {
                "id": number,
                "seek": 0,
                "start": segment.words[0].start,
                "end": segment.words[-1].end,
                "text": " " + segment.text,
                "tokens": [],
                "temperature": 0.0,
                "avg_logprob": -0.2,
                "compression_ratio": 1.1,
                "no_speech_prob": 0.01,
            }
            for number, segment in enumerate(heard.segments)
        ]
    if "word" in wanted:
        words = [{"word": word.text, "start": word.start, "end": word.end} for segment in heard.segments for word in segment.words]
        found["words"] = sorted(words, key=lambda word: float(str(word["start"])))
    return found


def _captions(heard: Heard, mark: str) -> str:
    cues = [
        f"{number}\n{_clock(one.words[0].start, mark)} --> {_clock(one.words[-1].end, mark)}\n{one.text}\n"
        for number, one in enumerate(heard.segments, 1)
    ]
    return "\n".join(cues)


def _clock(seconds: float, mark: str) -> str:
    thousandths = round(seconds * 1000)
    minutes, rest = divmod(thousandths, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{mark}{rest % 1000:03d}"
