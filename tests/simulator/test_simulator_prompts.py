"""Architect's prompts: what may be made, what happens to audio, and who is told."""

import io
import json
import struct
from typing import Any

import aiohttp
import anyio
import pytest

pytestmark = pytest.mark.anyio

PROMPTS = "/api/v2/architect/prompts"
NOWHERE = "0f9a1d55-6d0e-4f6c-9d38-6a7f5f3a2b11"


def wav(seconds: float = 1.5, *, rate: int = 8000, channels: int = 1, code: int = 1, bits: int = 16, extensible: bool = False) -> bytes:
    step = channels * bits // 8
    form = struct.pack("<HHIIHH", 0xFFFE if extensible else code, channels, rate, rate * step, step, bits)
    if extensible:
        form += struct.pack("<HHIH", 22, bits, 4, code) + bytes.fromhex("000000001000800000aa00389b71")
    samples = bytes(round(seconds * rate) * step)
    chunks = b"fmt " + struct.pack("<I", len(form)) + form + b"LIST\x03\0\0\0abc\0data" + struct.pack("<I", len(samples)) + samples
    return b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks


async def prompted(sim: Any, name: str = "Welcome", language: str = "en-us") -> tuple[str, dict]:
    prompt = (await sim.call("POST", PROMPTS, json={"name": name, "description": "hello"})).json
    resource = await sim.call("POST", f"{PROMPTS}/{prompt['id']}/resources", json={"language": language, "text": "Hello"})
    assert (resource.status, resource.json["uploadStatus"]) == (200, "created")
    return f"{PROMPTS}/{prompt['id']}", resource.json


async def upload(sim: Any, resource: dict, data: bytes) -> None:
    offer = (await sim.call("POST", resource["selfUri"] + "/uploads", json={})).json
    assert (await sim.call("PUT", offer["url"], data=io.BytesIO(data), headers=offer["headers"])).status == 200


@pytest.mark.parametrize("old", [False, True])
async def test_audio_is_uploaded_transcoded_told_and_fetched(play, old) -> None:
    async with play({"architect": {"prompt_time": "2s"}}) as sim:
        path, resource = await prompted(sim)
        prompt_id = path.rpartition("/")[2]
        mine = f"v2.architect.prompts.{prompt_id}.resources.{resource['id']}"
        channel = await sim.channel(f"v2.architect.prompts.{prompt_id}", mine)
        async with sim.session.ws_connect(channel["connectUri"]) as socket:
            if old:
                form = aiohttp.FormData()
                form.add_field("file", wav(rate=16_000), filename="welcome.wav", content_type="audio/wav")
                bearer = {"Authorization": f"Bearer {sim.bearer}"}
                assert (await sim.call("POST", resource["uploadUri"], data=form, headers=bearer)).status == 200
            else:
                await upload(sim, resource, wav(rate=16_000))
            waiting = (await sim.call("GET", resource["selfUri"])).json
            assert (waiting["uploadStatus"], "mediaUri" in waiting) == ("uploaded", False)
            sim.clock.jump(2)
            done = (await sim.call("GET", resource["selfUri"])).json
            assert (done["uploadStatus"], done["durationSeconds"]) == ("transcoded", 1.5)
            assert done["audioFormat"]["sampleRate"] == 16_000
            audio = await sim.call("GET", done["mediaUri"])
            assert (audio.body[:4], len(audio.body)) == (b"RIFF", 44 + 48_000)
            told: list[tuple[str, str]] = []
            with anyio.fail_after(5):
                while told[-1:] != [(mine, "transcoded")]:
                    frame = json.loads((await socket.receive()).data)
                    told.append((frame["topicName"], frame["eventBody"].get("uploadStatus", "")))
            assert [status for topic, status in told if topic == mine] == ["uploaded", "transcoded"]
        assert (await sim.call("DELETE", resource["selfUri"] + "/audio")).status == 204
        assert (await sim.call("GET", resource["selfUri"])).json["uploadStatus"] == "created"


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (wav(), "transcoded"),
        (wav(extensible=True), "transcoded"),
        (wav(code=7, bits=8), "transcoded"),
        (wav(code=6, bits=8, rate=16_000), "transcoded"),
        (wav(rate=44_100), "transcodeFailed"),
        (wav(channels=2), "transcodeFailed"),
        (wav(bits=8), "transcodeFailed"),
        (wav(code=3, bits=32), "transcodeFailed"),
        (wav()[:-100], "transcodeFailed"),
        (wav(0), "transcodeFailed"),
        (wav(800, rate=16_000), "transcodeFailed"),
        (b"RIFF\0\0\0\0WAVE", "transcodeFailed"),
        (b"This is a text.", "transcodeFailed"),
        (b"", "transcodeFailed"),
    ],
    ids=["pcm", "extensible", "ulaw", "alaw", "44.1k", "stereo", "8-bit", "float", "cut", "silent", "25.6MB", "chunks", "text", "empty"],
)
async def test_a_transcode_is_judged_by_the_content(play, data, status) -> None:
    async with play() as sim:
        _, resource = await prompted(sim)
        await upload(sim, resource, data)
        sim.clock.jump(1)
        assert (await sim.call("GET", resource["selfUri"])).json["uploadStatus"] == status


async def test_a_good_one_can_fail_too_and_is_then_uploaded_again(play) -> None:
    async with play({"faults": {"transcode_failed": 1}}) as sim:
        _, resource = await prompted(sim)
        for status in ("transcodeFailed", "transcoded"):
            await upload(sim, resource, wav())
            sim.clock.jump(1)
            assert (await sim.call("GET", resource["selfUri"])).json["uploadStatus"] == status


async def test_prompts_are_listed_by_page_name_and_language(play) -> None:
    async with play({"architect": {"prompts": ["Bye", "Wait"]}}) as sim:
        await prompted(sim, "Welcome", "de-de")
        first = (await sim.call("GET", PROMPTS + "?pageSize=2")).json
        assert ([one["name"] for one in first["entities"]], first["total"], first["pageCount"]) == (["Bye", "Wait"], 3, 2)
        for query, names in (
            ("name=welcome&name=bye", ["Bye", "Welcome"]),
            ("name=w*", ["Wait", "Welcome"]),
            ("nameOrDescription=hell", ["Welcome"]),
            ("language=de-de", ["Welcome"]),
        ):
            assert [one["name"] for one in (await sim.call("GET", f"{PROMPTS}?{query}")).json["entities"]] == names
        bare = (await sim.call("GET", PROMPTS + "?name=welcome&includeResources=false")).json["entities"][0]
        assert "resources" not in bare


async def test_prompts_and_resources_are_changed_and_removed(play) -> None:
    async with play() as sim:
        path, resource = await prompted(sim)
        assert (await sim.call("PUT", path, json={"name": "Hello", "description": "x"})).json["name"] == "Hello"
        changed = (await sim.call("PUT", resource["selfUri"], json={"ttsString": "Hi", "tags": {"sha256": ["ab"]}})).json
        assert (changed["ttsString"], changed["text"], changed["tags"]) == ("Hi", "Hello", {"sha256": ["ab"]})
        assert (await sim.call("GET", path + "/resources")).json["total"] == 1
        assert (await sim.call("DELETE", resource["selfUri"])).status == 204
        assert (await sim.call("GET", path)).json["resources"] == []
        assert (await sim.call("DELETE", path)).status == 204
        assert (await sim.call("GET", path)).status == 404


@pytest.mark.parametrize(
    ("method", "path", "document", "status", "code"),
    [
        ("POST", PROMPTS, {"name": "welcome"}, 409, "architect.prompt.already.exists"),
        ("POST", PROMPTS, {"name": "Other"}, 409, "architect.prompt.max.exceeded"),
        *(("POST", PROMPTS, {"name": name}, 400, "architect.prompt.invalid.name") for name in ("", "a b", "a-b", "x" * 201, None)),
        ("PUT", "{prompt}", {"name": "Taken"}, 409, "architect.prompt.already.exists"),
        ("GET", f"{PROMPTS}/{NOWHERE}", None, 404, "architect.prompt.not.found"),
        ("POST", "{prompt}/resources", {"language": "en-US"}, 409, "architect.prompt.resource.already.exists"),
        ("POST", "{prompt}/resources", {"language": "English"}, 400, "bad.request"),
        ("POST", "{prompt}/resources", [], 400, "bad.request"),
        ("GET", "{prompt}/resources/fr-fr", None, 404, "architect.prompt.resource.not.found"),
        ("PUT", "{prompt}/resources/en-us", {"tags": []}, 400, "bad.request"),
        ("POST", "{prompt}/resources/fr-fr/uploads", {}, 404, "architect.prompt.resource.not.found"),
        ("POST", "/uploads/v2/prompts/{id}/resources/en-us", {}, 415, "unsupported.media.type"),
    ],
)
async def test_each_refusal(play, method, path, document, status, code) -> None:
    async with play({"architect": {"max_prompts": 2, "prompts": ["Taken"]}}) as sim:
        prompt, _ = await prompted(sim)
        answer = await sim.call(method, path.format(prompt=prompt, id=prompt.rpartition("/")[2]), json=document)
        assert (answer.status, answer.json["code"]) == (status, code)


async def test_the_old_form_wants_a_token_and_a_file(play) -> None:
    async with play() as sim:
        _, resource = await prompted(sim)
        assert (await sim.call("POST", resource["uploadUri"], data={"file": "x"})).status == 401
        form = aiohttp.FormData()
        form.add_field("other", b"x", filename="x.wav")
        answer = await sim.call("POST", resource["uploadUri"], data=form, headers={"Authorization": f"Bearer {sim.bearer}"})
        assert (answer.status, answer.json["code"]) == (400, "bad.request")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", PROMPTS), ("GET", PROMPTS), ("PUT", f"{PROMPTS}/x"), ("DELETE", f"{PROMPTS}/x"), ("POST", f"{PROMPTS}/x/resources"),
        ("POST", f"{PROMPTS}/x/resources/en-us/uploads"), ("DELETE", f"{PROMPTS}/x/resources/en-us/audio"),
    ],
)  # fmt: skip
async def test_permissions(play, method, path) -> None:
    async with play({"clients": [{"id": "u", "secret": "s", "permissions": []}]}, log_in=False) as sim:
        await sim.log_in("u", "s")
        answer = await sim.call(method, path, json={})
        assert (answer.status, answer.json["code"]) == (403, "missing.permissions")
