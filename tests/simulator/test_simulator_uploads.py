"""Uploading recordings: what the platform and its store take, what they refuse, and what the reports tell."""

import base64
import csv
import hashlib
import io
import json
from typing import Any
from urllib.parse import urlsplit

import anyio
import anyio.abc
import pytest

pytestmark = pytest.mark.anyio

ASK = "/api/v2/uploads/recordings"
REPORTS = "/api/v2/recording/uploads/reports"
DATA = bytes(range(256)) * 4000
NOBODY = {"clients": [{"id": "u", "secret": "s", "permissions": []}]}


def md5(data: bytes) -> str:
    return base64.b64encode(hashlib.md5(data).digest()).decode()


async def offered(sim: Any, data: bytes = DATA, **more: Any) -> dict:
    document = {"fileName": "call.wav", "contentMd5": md5(data), "contentType": "audio/wav", "serverSideEncryption": "AES256", **more}
    answer = await sim.call("POST", ASK, json=document)
    assert answer.status == 200
    return answer.json


async def put(sim: Any, offer: dict, data: bytes = DATA, **headers: str) -> Any:
    return await sim.call("PUT", offer["url"], data=data, headers={**offer["headers"], **headers})


async def opened(sim: Any, offer: dict, data: bytes, more: str = "") -> anyio.abc.SocketStream:
    """A PUT whose body has been sent as far as `data` goes, and whose answer nobody has read."""
    address = urlsplit(offer["url"])
    stream = await anyio.connect_tcp(address.hostname, address.port)
    headers = "".join(f"{name}: {value}\r\n" for name, value in offer["headers"].items())
    head = f"PUT {address.path}?{address.query} HTTP/1.1\r\nHost: {address.netloc}\r\nContent-Length: {len(DATA)}\r\n{headers}{more}\r\n"
    await stream.send(head.encode() + data)
    return stream


async def test_an_upload_is_stored_and_the_report_follows_it(play, tmp_path) -> None:
    async with play({"uploads": {"process_time": "5s", "report_time": "2s"}}) as sim:
        offer = await offered(sim)
        assert {"Content-MD5", "Content-Type", "x-amz-server-side-encryption"} < set(offer["headers"])
        stored = await put(sim, offer)
        assert (stored.status, stored.headers["ETag"]) == (200, f'"{hashlib.md5(DATA).hexdigest()}"')
        for wait, status in ((0, "Pending"), (5, "Success")):
            sim.clock.jump(wait)
            asked = await sim.call("POST", REPORTS, json={"dateSince": "2026-08-01T00:00:00Z"})
            assert (asked.status, asked.json["state"]) == (202, "InProgress")
            sim.clock.jump(2)
            report = (await sim.call("GET", asked.json["selfUri"])).json
            assert report["state"] == "Completed"
            rows = list(csv.DictReader(io.StringIO((await sim.call("GET", report["signedUrl"])).body.decode())))
            assert [(row["uploadKey"], row["fileName"], row["status"]) for row in rows] == [(offer["uploadKey"], "call.wav", status)]
        page = (await sim.call("GET", "/simulator/uploads", token="")).json["uploads"]
        assert [(one["bytes"], one["bytesReceived"], one["requests"]) for one in page] == [(len(DATA), len(DATA), 1)]
    lines = [json.loads(line) for line in (tmp_path / "truth.jsonl").read_text().splitlines()]
    assert [line["md5"] for line in lines if line["type"] == "upload_stored"] == [hashlib.md5(DATA).hexdigest()]


@pytest.mark.parametrize("status", ["Failure", "WaitForConversation"])
async def test_what_the_platform_makes_of_it_and_a_report_of_one_status(play, status) -> None:
    rules = {"process_time": 0, "report_time": 0, "report_form": "json", "failing": ["bad*"], "waiting": ["odd*"]}
    async with play({"uploads": rules}) as sim:
        for name in ("bad.wav", "odd.wav", "good.wav"):
            await put(sim, await offered(sim, fileName=name))
        asked = await sim.call("POST", REPORTS, json={"dateSince": "2026-08-01T00:00:00Z", "uploadStatus": status})
        report = (await sim.call("GET", asked.json["selfUri"])).json
        rows = (await sim.call("GET", report["signedUrl"])).json
        assert [(row["status"], bool(row["reason"])) for row in rows] == [(status, True)]


@pytest.mark.parametrize(
    ("document", "code"),
    [
        *(({"fileName": name}, "bad.request") for name in ("", "a b.wav", ".wav", "folder/", "a[1].wav", "a|b", "a#b", 7, None)),
        ({"fileName": "a.wav", "contentMd5": "zz"}, "bad.request"),
        ({"fileName": "a.wav", "signedUrlTimeoutSeconds": 0}, "bad.request"),
        ({"fileName": "a.wav", "signedUrlTimeoutSeconds": 604_801}, "bad.request"),
        ({"fileName": "a.wav", "contentType": "wav"}, "bad.request"),
        ({"fileName": "a.wav", "serverSideEncryption": "DES"}, "invalid.value"),
        ([], "bad.request"),
    ],
)
async def test_a_request_that_is_refused(play, document, code) -> None:
    async with play() as sim:
        answer = await sim.call("POST", ASK, json=document)
        assert (answer.status, answer.json["code"]) == (400, code)


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ({}, "bad.request"),
        ({"dateSince": "then"}, "invalid.date"),
        ({"dateSince": "2026-08-01T00:00:00Z", "uploadStatus": "Lost"}, "invalid.value"),
    ],
)
async def test_a_report_that_is_refused(play, document, code) -> None:
    async with play() as sim:
        answer = await sim.call("POST", REPORTS, json=document)
        assert (answer.status, answer.json["code"]) == (400, code)


@pytest.mark.parametrize(("method", "path"), [("POST", ASK), ("POST", REPORTS), ("GET", REPORTS + "/x")])
async def test_permissions(play, method, path) -> None:
    async with play(NOBODY, log_in=False) as sim:
        await sim.log_in("u", "s")
        answer = await sim.call(method, path, json={"fileName": "a.wav"})
        assert (answer.status, answer.json["code"]) == (403, "missing.permissions")


async def test_reports_that_fail_or_are_not_there(play) -> None:
    async with play({"faults": {"upload_report_failed": 1}}) as sim:
        asked = await sim.call("POST", REPORTS, json={"dateSince": "2026-08-01T00:00:00Z"})
        sim.clock.jump(2)
        report = (await sim.call("GET", asked.json["selfUri"])).json
        assert (report["state"], "signedUrl" in report) == ("Failed", False)
        assert (await sim.call("GET", REPORTS + "/none")).status == 404


@pytest.mark.parametrize(
    ("drop", "add", "data", "status", "code"),
    [
        ("Content-MD5", {}, DATA, 403, "SignatureDoesNotMatch"),
        ("x-amz-server-side-encryption", {}, DATA, 403, "SignatureDoesNotMatch"),
        ("x-amz-tagging", {}, DATA, 403, "SignatureDoesNotMatch"),
        ("", {"Content-Type": "audio/mpeg"}, DATA, 403, "SignatureDoesNotMatch"),
        ("", {"Content-MD5": md5(b"other")}, DATA, 403, "SignatureDoesNotMatch"),
        ("", {"x-amz-acl": "public-read"}, DATA, 403, "AccessDenied"),
        ("", {"Authorization": "Bearer x"}, DATA, 400, "InvalidArgument"),
        ("", {"Content-Range": f"bytes 0-{len(DATA) - 1}/{len(DATA)}"}, DATA, 501, "NotImplemented"),
        ("", {}, DATA[:-1], 400, "BadDigest"),
    ],
)
async def test_what_the_store_refuses(play, drop, add, data, status, code) -> None:
    async with play() as sim:
        offer = await offered(sim)
        headers = {name: value for name, value in {**offer["headers"], **add}.items() if name != drop}
        answer = await sim.call("PUT", offer["url"], data=data, headers=headers)
        assert (answer.status, f"<Code>{code}</Code>".encode() in answer.body) == (status, True), answer.body
        assert (await put(sim, offer)).status == 200


async def test_an_address_that_has_expired_or_was_changed(play) -> None:
    async with play() as sim:
        offer = await offered(sim, signedUrlTimeoutSeconds=10)
        changed = {**offer, "url": offer["url"].replace("X-Amz-Expires=10", "X-Amz-Expires=1000")}
        assert b"SignatureDoesNotMatch" in (await put(sim, changed)).body
        assert b"SignatureDoesNotMatch" in (await sim.call("GET", offer["url"])).body
        sim.clock.jump(12)
        late = await put(sim, offer)
        assert (late.status, b"Request has expired" in late.body) == (403, True)


async def test_a_body_without_a_length(play) -> None:
    async def pieces() -> Any:
        yield DATA

    async with play() as sim:
        offer = await offered(sim)
        answer = await sim.call("PUT", offer["url"], data=pieces(), headers=offer["headers"])
        assert (answer.status, b"MissingContentLength" in answer.body) == (411, True)


async def test_errors_and_cuts_of_the_scenario_then_success(play) -> None:
    async with play({"faults": {"upload_error": 2, "upload_cut": 1}}) as sim:
        offer = await offered(sim)
        assert [(await put(sim, offer)).status for _ in range(2)] == [500, 503]
        # Not by aiohttp: it would send the request again by itself.
        async with await opened(sim, offer, DATA) as stream:
            with anyio.fail_after(5), pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await stream.receive()
        assert (await put(sim, offer)).status == 200
        page = (await sim.call("GET", "/simulator/uploads", token="")).json["uploads"][0]
        assert len(DATA) < page["bytesReceived"] < 2 * len(DATA)


async def test_a_slow_store_takes_its_time(play) -> None:
    async with play({"uploads": {"upload_bandwidth": "100kB"}}) as sim:
        offer = await offered(sim)
        begun, answers = sim.clock.ms, []

        async def send() -> None:
            answers.append(await put(sim, offer))

        async with anyio.create_task_group() as group:
            group.start_soon(send)
            with anyio.fail_after(10):
                while not answers:
                    sim.clock.jump(0.05)
                    await anyio.sleep(0)
        assert answers[0].status == 200
        assert sim.clock.ms - begun >= len(DATA) / 100


@pytest.mark.parametrize("status", [308, 206])
async def test_a_resumable_store_goes_on_where_it_was(play, status) -> None:
    async with play({"uploads": {"resumable": True, "resume_status": status}}) as sim:
        offer, size, half = await offered(sim), len(DATA), len(DATA) // 2
        question = {"Content-Range": f"bytes */{size}"}
        empty = await put(sim, offer, b"", **question)
        assert (empty.status, empty.headers.get("Range")) == (status, None)
        first = await put(sim, offer, DATA[:half], **{"Content-Range": f"bytes 0-{half - 1}/{size}"})
        assert (first.status, first.headers["Range"]) == (status, f"bytes=0-{half - 1}")
        gap = await put(sim, offer, DATA[half + 1 :], **{"Content-Range": f"bytes {half + 1}-{size - 1}/{size}"})
        assert (gap.status, gap.headers["Range"]) == (status, f"bytes=0-{half - 1}")
        bad = await put(sim, offer, DATA[half:], **{"Content-Range": f"bytes {half}-{size}/{size}"})
        assert bad.status == 400
        last = await put(sim, offer, DATA[half:], **{"Content-Range": f"bytes {half}-{size - 1}/{size}"})
        assert (last.status, last.headers["ETag"]) == (200, f'"{hashlib.md5(DATA).hexdigest()}"')
        assert (await put(sim, offer, b"", **question)).status == 200
        page = (await sim.call("GET", "/simulator/uploads", token="")).json["uploads"][0]
        assert (page["bytesReceived"], page["stored"]) == (size, True)


async def test_a_cut_on_a_resumable_store_costs_only_what_was_on_its_way(play) -> None:
    async with play({"uploads": {"resumable": True}, "faults": {"upload_cut": 1}}) as sim:
        offer, size = await offered(sim), len(DATA)
        async with await opened(sim, offer, DATA, f"Content-Range: bytes 0-{size - 1}/{size}\r\n") as stream:
            with anyio.fail_after(5), pytest.raises((anyio.EndOfStream, anyio.BrokenResourceError)):
                await stream.receive()
        asked = await put(sim, offer, b"", **{"Content-Range": f"bytes */{size}"})
        there = int(asked.headers["Range"].removeprefix("bytes=0-")) + 1
        rest = await put(sim, offer, DATA[there:], **{"Content-Range": f"bytes {there}-{size - 1}/{size}"})
        page = (await sim.call("GET", "/simulator/uploads", token="")).json["uploads"][0]
        assert (rest.status, page["bytesReceived"]) == (200, size)


async def test_a_resumable_store_keeps_what_came_before_a_client_died(play) -> None:
    async with play({"uploads": {"resumable": True}}) as sim:
        offer, size = await offered(sim), len(DATA)
        stream = await opened(sim, offer, DATA[:100_000], f"Content-Range: bytes 0-{size - 1}/{size}\r\n")
        parcel = next(iter(sim.platform.parcels.values()))
        with anyio.fail_after(5):
            while parcel.size < 100_000:
                await anyio.sleep(0)
        await stream.aclose()
        asked = await put(sim, offer, b"", **{"Content-Range": f"bytes */{size}"})
        assert (asked.status, asked.headers["Range"]) == (308, "bytes=0-99999")
        rest = await put(sim, offer, DATA[100_000:], **{"Content-Range": f"bytes 100000-{size - 1}/{size}"})
        assert (rest.status, parcel.taken) == (200, size)
