"""The stand-in speech providers, asked as any client would."""

import base64
import hashlib
import hmac
import json
from contextlib import asynccontextmanager

import aiohttp
import anyio
import numpy as np
import pytest
from aiohttp import web

from genesys_sync_simulator import audio
from genesys_sync_simulator.media import MediaStore
from genesys_sync_simulator.plan import make
from genesys_sync_simulator.providers.server import assemble, running
from genesys_sync_simulator.scenario_file import read
from genesys_sync_simulator.speech.plan import spoken

pytestmark = pytest.mark.anyio

WORLD = {
    "calls": {"count": 2, "duration": ["6s", "9s"]},
    "recordings": {"formats": ["WAV"], "channels": [2]},
    "transcripts": {"planted": {"card": 1, "forms": ["words"]}},
}
SECRET = "whsec_" + base64.b64encode(b"agreed upon").decode()
KEY = "simulator-speech-key"


class Provider:
    """One running provider and a client of it; `calls` are the callbacks that arrived, headers and body."""

    def __init__(self, session, desk, clock, recording) -> None:
        self.session, self.desk, self.clock, self.recording = session, desk, clock, recording
        self.calls: list[tuple[dict, bytes]] = []
        self.callback_url = ""
        self.answers_with = 204

    @property
    def media(self) -> bytes:
        return MediaStore().get(self.recording).source

    async def post(
        self, path: str, fields: dict | None = None, *, media: bytes | None = None, name: str = "file", key: str = KEY, **headers
    ):
        form = aiohttp.FormData()
        for field, values in (fields or {}).items():
            for value in values if isinstance(values, list) else [values]:
                form.add_field(field, value)
        if media is not None:
            form.add_field(name, media, filename="call.wav", content_type="audio/wav")
        sent = {"Authorization": f"Bearer {key}", **{name.replace("_", "-"): value for name, value in headers.items()}}
        async with self.session.post(self.desk.base_url + path, data=form, headers=sent) as answer:
            return (
                answer.status,
                answer.headers,
                (await answer.json() if answer.content_type == "application/json" else await answer.text()),
            )

    async def submit(self, key: str = "k1", media: bytes | None = None, **fields):
        fields = {"locale": "en-US", "callback_url": self.callback_url, **fields}
        return await self.post("/jobs", fields, media=media or self.media, name="media", Idempotency_Key=key)

    async def job(self, job_id: str) -> dict:
        async with self.session.get(f"{self.desk.base_url}/jobs/{job_id}", headers={"Authorization": f"Bearer {KEY}"}) as answer:
            return await answer.json()

    async def until(self, true) -> None:
        with anyio.fail_after(20):
            while not true():
                self.clock.jump(0.5)
                await anyio.sleep(0.005)


@pytest.fixture
def provider(manual_clock):
    @asynccontextmanager
    async def started(**rules):
        world = read({**WORLD, "providers": {"callback_secret": SECRET, **rules}})
        desk = assemble(world, manual_clock)
        plan, _ = spoken(world, make(world))
        app = web.Application()
        async with running(desk), aiohttp.ClientSession() as session:
            one = Provider(session, desk, manual_clock, plan.recordings[0])

            async def take(request: web.Request) -> web.Response:
                one.calls.append((dict(request.headers), await request.read()))
                return web.Response(status=one.answers_with)

            app.router.add_post("/callback", take)
            runner = web.AppRunner(app)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            one.callback_url = f"http://127.0.0.1:{runner.addresses[0][1]}/callback"
            try:
                yield one
            finally:
                await runner.cleanup()

    return started


def said(recording) -> list[str]:
    return [word.text for utterance in recording.script.utterances for word in utterance.words]


def signed(headers: dict, body: bytes, key: bytes) -> bool:
    text = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    return headers["webhook-signature"] == "v1," + base64.b64encode(hmac.new(key, text, hashlib.sha256).digest()).decode()


async def test_it_says_what_the_script_says_with_its_timings(provider) -> None:
    async with provider() as one:
        fields = {"model": "m", "response_format": "verbose_json", "timestamp_granularities[]": ["word", "segment"]}
        status, _, body = await one.post("/v1/audio/transcriptions", fields, media=one.media)
        assert status == 200
        words = sorted((word for utterance in one.recording.script.utterances for word in utterance.words), key=lambda word: word.start)
        assert [(word["word"], word["start"], word["end"]) for word in body["words"]] == [(w.text, w.start, w.end) for w in words]
        assert body["duration"] == one.recording.seconds
        assert len(body["segments"]) == len(one.recording.script.utterances)
        plain = await one.post("/v1/audio/transcriptions", {"model": "m"}, media=one.media)
        assert plain[2] == {"text": body["text"]}
        vtt = await one.post("/v1/audio/transcriptions", {"model": "m", "response_format": "vtt"}, media=one.media)
        assert vtt[2].startswith("WEBVTT\n\n1\n00:00:00.")


async def test_it_hears_other_formats_single_channels_and_not_what_is_muted(provider) -> None:
    async with provider() as one:
        sound, _ = audio.decode(one.media)
        utterances = one.recording.script.utterances
        spot = one.recording.script.planted[0].spots[0]
        muted = sound.copy()
        for word in utterances[spot.utterance].words[spot.first : spot.stop]:
            muted[round((word.start - 0.03) * 8000) : round((word.end + 0.03) * 8000), 0] = 0
        agent = [word.text for utterance in utterances if utterance.speaker == "internal" for word in utterance.words]
        left = [
            w.text
            for u in utterances
            for place, w in enumerate(u.words)
            if u.index != spot.utterance or not spot.first <= place < spot.stop
        ]
        for media, expected in (
            (audio.transcode(one.media, "OGG_OPUS"), said(one.recording)),
            (audio.encode(np.ascontiguousarray(sound[:, 1:]), "MP3"), agent),
            (audio.encode(muted, "WAV"), left),
        ):
            _, _, body = await one.post("/v1/audio/transcriptions", {"model": "m"}, media=media)
            assert body["text"].split() == expected
        _, _, foreign = await one.post("/v1/audio/transcriptions", {"model": "m"}, media=audio.encode(audio.call_sound(1, 3.0, 1), "WAV"))
        assert set(foreign["text"].split()) == {"word"}


@pytest.mark.parametrize(
    ("fields", "media", "status", "code"),
    [
        ({}, b"x", 400, "missing_required_parameter"),
        ({"model": "m"}, None, 400, "invalid_form"),
        ({"model": "m"}, b"no audio", 400, "invalid_audio"),
        ({"model": "m", "language": "tlh"}, b"x", 400, "unsupported_language"),
        ({"model": "m", "response_format": "yaml"}, b"x", 400, "invalid_value"),
        ({"model": "m", "timestamp_granularities[]": "word"}, b"x", 400, "invalid_value"),
        ({"model": "m"}, bytes(200_001), 413, "file_too_large"),
    ],
)
async def test_what_it_refuses_it_refuses_in_json(provider, fields: dict, media: bytes | None, status: int, code: str) -> None:
    async with provider(max_bytes=200_000) as one:
        answer = await one.post("/v1/audio/transcriptions", fields or {"x": "y"}, media=media)
        assert (answer[0], answer[2]["error"]["code"]) == (status, code)


async def test_a_wrong_key_a_limit_and_a_fault_come_first(provider) -> None:
    async with provider(rate_limited=1, server_error=1) as one:
        wrong = await one.post("/v1/audio/transcriptions", {"model": "m"}, media=one.media, key="guess")
        assert (wrong[0], wrong[2]["error"]["code"]) == (401, "invalid_api_key")
        limited = await one.post("/v1/audio/transcriptions", {"model": "m"}, media=one.media)
        assert (limited[0], limited[1]["Retry-After"]) == (429, "1")
        assert [(await one.post("/v1/audio/transcriptions", {"model": "m"}, media=one.media))[0] for _ in range(2)] == [503, 200]


async def test_a_job_is_made_once_for_its_key_and_told_of_by_a_signed_callback(provider) -> None:
    async with provider(job_time="2s") as one:
        status, headers, job = await one.submit(speaker_labels="true", redact="true", phrases=["Genesys", "IVR"])
        assert (status, headers["Location"]) == (202, f"/jobs/{job['id']}")
        again = await one.submit(speaker_labels="true", redact="true", phrases=["Genesys", "IVR"])
        assert (again[0], again[1]["Idempotent-Replayed"], again[2]["id"]) == (200, "true", job["id"])
        assert (await one.submit(locale="de-DE"))[0] == 422
        await one.until(lambda: one.calls)
        done = await one.job(job["id"])
        assert done["status"] == "completed"
        assert {segment["speaker"] for segment in done["result"]["segments"]} == {"internal", "external"}
        assert done["result"]["text"].count("[redacted]") == 16 - (len(one.recording.script.planted[0].spoken.value.canonical) == 15)
        ((sent, body),) = one.calls
        assert signed(sent, body, b"agreed upon")
        assert json.loads(body)["data"] == done
        assert json.loads(body)["type"] == "transcription.completed"


async def test_callbacks_come_too_early_late_never_twice_or_forged(provider) -> None:
    async with provider(job_time="1s", late_after="60s", fast=1, late=1, lost=1, duplicated=1, bad_signature=1) as one:
        early = await one.submit("fast")
        assert early[2]["status"] == "completed"
        assert len(one.calls) == 1, "it was told before the submission was answered"
        jobs = [(await one.submit(kind))[2]["id"] for kind in ("late", "lost", "duplicated", "bad_signature")]
        await one.until(lambda: len(one.calls) == 4)
        assert [(await one.job(job))["status"] for job in jobs] == ["completed"] * 4, "asking tells what no callback did"
        told = [
            (json.loads(body)["data"]["idempotency_key"], sent["webhook-id"], signed(sent, body, b"agreed upon"))
            for sent, body in one.calls
        ]
        twice = [row for row in told if row[0] == "duplicated"]
        assert len(twice) == 2
        assert twice[0] == twice[1]
        assert [row[2] for row in told if row[0] == "bad_signature"] == [False]
        await one.until(lambda: len(one.calls) == 5)
        assert json.loads(one.calls[-1][1])["data"]["idempotency_key"] == "late"
        assert one.desk.fired == {"fast": 1, "late": 1, "lost": 1, "duplicated": 1, "bad_signature": 1}


async def test_a_callback_that_fails_is_sent_again_with_the_same_id(provider) -> None:
    async with provider(job_time="1s") as one:
        one.answers_with = 503
        await one.submit()
        await one.until(lambda: len(one.calls) == 2)
        one.answers_with = 200
        await one.until(lambda: one.desk.counts["callbacks_accepted"])
        assert len({sent["webhook-id"] for sent, _ in one.calls}) == 1


@pytest.mark.parametrize(
    ("change", "code"),
    [({"locale": "xx-XX"}, "unsupported_locale"), ({"callback_url": "file:///x"}, "invalid_value"), ({"redact": "maybe"}, "invalid_value")],
)
async def test_a_job_that_cannot_be_done_is_refused(provider, change: dict, code: str) -> None:
    async with provider() as one:
        status, _, body = await one.submit(**change)
        assert (status, body["error"]["code"]) == (400, code)
        status, _, body = await one.post("/jobs", {"locale": "en-US"}, media=one.media, name="media")
        assert (status, body["error"]["code"]) == (400, "missing_idempotency_key")


async def test_media_may_be_the_body_and_what_is_no_audio_fails_as_a_job(provider) -> None:
    async with provider(job_time="1s") as one:
        headers = {"Authorization": f"Bearer {KEY}", "Idempotency-Key": "raw", "Content-Type": "audio/wav"}
        query = {"locale": "en-US", "callback_url": one.callback_url}
        async with one.session.post(one.desk.base_url + "/jobs", params=query, data=b"no audio", headers=headers) as answer:
            assert answer.status == 202
        await one.until(lambda: one.calls)
        told = json.loads(one.calls[0][1])
        assert (told["type"], told["data"]["error"]["code"]) == ("transcription.failed", "invalid_audio")
