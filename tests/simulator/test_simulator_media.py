"""The media host behaves as the object store does: presigned, ranged, and XML in refusal."""

import xml.etree.ElementTree as ET

import aiohttp
import pytest

from genesys_sync_simulator.api.media import span
from genesys_sync_simulator.presign import Presigner

pytestmark = pytest.mark.anyio

ONE_WAV = {"calls": {"count": 1}, "recordings": {"formats": ["WAV"], "channels": [1]}}


async def address(sim, index: int = 0) -> str:
    """A fresh presigned address of one recording."""
    recording = sim.platform.world.plan.recordings[index]
    path = f"/api/v2/conversations/{recording.conversation_id}/recordings/{recording.id}?formatId={recording.format}"
    return (await sim.call("GET", path)).json["mediaUris"]["0"]["mediaUri"]


def code(answer) -> str:
    assert answer.headers["Content-Type"].startswith("application/xml")
    root = ET.fromstring(answer.body)
    assert root.tag == "Error"
    return root.findtext("Code", "")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, (0, 100)),
        ("bytes=0-9", (0, 10)),
        ("bytes=90-", (90, 100)),
        ("bytes=90-500", (90, 100)),
        ("bytes=-10", (90, 100)),
        ("bytes=-500", (0, 100)),
        ("bytes=100-", None),
        ("bytes=-0", None),
        ("bytes=9-3", (0, 100)),
        ("bytes=0-1,5-6", (0, 100)),
        ("lines=0-1", (0, 100)),
        ("bytes=-", (0, 100)),
    ],
)
async def test_ranges(header, expected) -> None:
    assert span(header, 100) == expected


async def test_a_whole_a_part_and_what_lies_outside(play) -> None:
    async with play(ONE_WAV) as sim:
        await sim.until_end()
        url = await address(sim)
        whole = await sim.call("GET", url)
        assert (whole.status, whole.headers["Accept-Ranges"], whole.headers["Content-Type"]) == (200, "bytes", "audio/wav")
        assert int(whole.headers["Content-Length"]) == len(whole.body)
        part = await sim.call("GET", url, headers={"Range": "bytes=1000-1999"})
        assert (part.status, part.body) == (206, whole.body[1000:2000])
        assert part.headers["Content-Range"] == f"bytes 1000-1999/{len(whole.body)}"
        assert (await sim.call("GET", url, headers={"Range": "bytes=0-"})).status == 206
        outside = await sim.call("GET", url, headers={"Range": f"bytes={len(whole.body)}-"})
        assert (outside.status, code(outside), outside.headers["Content-Range"]) == (416, "InvalidRange", f"bytes */{len(whole.body)}")


async def test_conditions(play) -> None:
    async with play(ONE_WAV) as sim:
        await sim.until_end()
        url = await address(sim)
        etag = (await sim.call("GET", url)).headers["ETag"]
        same = await sim.call("GET", url, headers={"Range": "bytes=0-9", "If-Range": etag})
        assert (same.status, len(same.body)) == (206, 10)
        changed = await sim.call("GET", url, headers={"Range": "bytes=0-9", "If-Range": '"another"'})
        assert changed.status == 200
        assert (await sim.call("GET", url, headers={"If-None-Match": etag})).status == 304
        assert (await sim.call("GET", url, headers={"If-Match": '"another"'})).status == 412


async def test_an_address_expires(play) -> None:
    async with play({**ONE_WAV, "platform": {"url_life": "2m"}}) as sim:
        await sim.until_end()
        url = await address(sim)
        sim.clock.jump(120)
        assert (await sim.call("GET", url)).status == 200
        sim.clock.jump(1)
        expired = await sim.call("GET", url)
        assert (expired.status, code(expired)) == (403, "AccessDenied")
        assert ET.fromstring(expired.body).findtext("Message") == "Request has expired"
        assert b"<X-Amz-Expires>120</X-Amz-Expires>" in expired.body


async def test_no_other_way_in(play) -> None:
    async with play(ONE_WAV) as sim:
        await sim.until_end()
        url = await address(sim)
        with_token = await sim.call("GET", url, headers={"Authorization": f"Bearer {sim.bearer}"})
        assert (with_token.status, code(with_token)) == (400, "InvalidArgument")
        bare = await sim.call("GET", url.partition("?")[0])
        assert (bare.status, code(bare)) == (403, "AccessDenied")
        longer = await sim.call("GET", url.replace("X-Amz-Expires=3600", "X-Amz-Expires=999999"))
        assert (longer.status, code(longer)) == (403, "SignatureDoesNotMatch")
        assert (await sim.call("HEAD", url)).status == 403, "the address was signed for GET"
        assert (await sim.call("GET", url.replace("X-Amz-Date=", "X-Amz-Date=x"))).status == 400


async def test_a_signature_for_nothing_that_is_there() -> None:
    signer = Presigner()
    path, _, query = signer.sign("/media/a", now=1000.0, life=60).partition("?")
    pairs = dict(pair.split("=", 1) for pair in query.replace("%2F", "/").split("&"))
    assert signer.refusal("GET", path, pairs, has_authorization=False, now=1060.0) is None
    assert signer.refusal("GET", path + "b", pairs, has_authorization=False, now=1060.0).code == "SignatureDoesNotMatch"
    assert Presigner().refusal("GET", path, pairs, has_authorization=False, now=1060.0).code == "SignatureDoesNotMatch"


async def test_a_connection_cut_once_can_be_resumed(play) -> None:
    async with play({**ONE_WAV, "faults": {"cut_once": 1}}) as sim:
        await sim.until_end()
        url = await address(sim)
        got, cut = b"", False
        async with sim.session.get(url) as answer:
            try:
                async for chunk in answer.content.iter_any():
                    got += chunk
            except aiohttp.ClientPayloadError:
                cut = True
        assert cut
        whole = sim.platform.media.get(sim.platform.world.plan.recordings[0])
        assert 0 < len(got) < whole.size
        rest = await sim.call("GET", url, headers={"Range": f"bytes={len(got)}-", "If-Range": answer.headers["ETag"]})
        assert got + rest.body == whole.source
        assert sim.platform.faults.fired == {"cut_once": 1}


async def test_the_first_address_has_expired_and_the_second_has_not(play) -> None:
    async with play({**ONE_WAV, "faults": {"expired_url_once": 1}}) as sim:
        await sim.until_end()
        first = await sim.call("GET", await address(sim))
        assert (first.status, code(first)) == (403, "AccessDenied")
        assert (await sim.call("GET", await address(sim))).status == 200


async def test_the_store_is_busy_once(play) -> None:
    async with play({**ONE_WAV, "faults": {"media_error_once": 1}}) as sim:
        await sim.until_end()
        url = await address(sim)
        busy = await sim.call("GET", url)
        assert (busy.status, code(busy)) == (503, "SlowDown")
        assert (await sim.call("GET", url)).status == 200


async def test_an_error_page_looks_like_sound_until_it_is_opened(play) -> None:
    async with play({**ONE_WAV, "faults": {"error_page": 1}}) as sim:
        await sim.until_end()
        page = await sim.call("GET", await address(sim))
        assert (page.status, page.headers["Content-Type"]) == (200, "audio/wav")
        assert b"<html>" in page.body


async def test_ranges_of_a_file_that_is_nowhere(play) -> None:
    async with play({"calls": {"count": 0, "extra": [{"bytes": "3GB"}]}}) as sim:
        await sim.play()
        recording = sim.platform.world.plan.recordings[0]
        sim.clock.ms = round(sim.platform.world.moment(recording.settles + 1) * 1000)
        url = await address(sim)
        tail = await sim.call("GET", url, headers={"Range": "bytes=-1000000"})
        assert (tail.status, len(tail.body)) == (206, 1_000_000)
        assert tail.headers["Content-Range"].endswith("/3000000000")
        same = await sim.call("GET", url, headers={"Range": f"bytes={3_000_000_000 - 500_000}-"})
        assert same.body == tail.body[500_000:]
        head = await sim.call("GET", url, headers={"Range": "bytes=0-43"})
        assert head.body[:4] == b"RIFF"
        assert int.from_bytes(head.body[40:44], "little") == 3_000_000_000 - 44
