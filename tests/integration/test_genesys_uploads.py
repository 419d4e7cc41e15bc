"""Uploads against the platform's simulator: both kinds of store, every way in which they refuse, break off and expire."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from aiohttp import web
from pydantic import SecretStr
from yarl import URL

from genesys_sync.actions import AuditedActions
from genesys_sync.audit import AuditEntry
from genesys_sync.clock import SystemClock
from genesys_sync.errors import PermanentError, ReasonCode, TransientError
from genesys_sync.genesys import upload_put
from genesys_sync.genesys.media import HostRule
from genesys_sync.genesys.platform import Platform, connect
from genesys_sync.genesys.upload_book import Begun, UploadBook
from genesys_sync.genesys.upload_put import Broken, Put
from genesys_sync.genesys.upload_rules import Presigned, content_md5, presigned
from genesys_sync.metrics import Metrics
from genesys_sync.services import Reported, UploadFile, UploadStatus
from genesys_sync.settings import Credentials, GenesysSettings
from genesys_sync_simulator.clock import SystemClock as SimulatorClock
from genesys_sync_simulator.platform import DEFAULT_CLIENT, assemble
from genesys_sync_simulator.platform import Platform as Simulated
from genesys_sync_simulator.scenario_file import read
from genesys_sync_simulator.server import running

pytestmark = pytest.mark.anyio
Serve = Callable[[Callable[[web.Request], Awaitable[web.StreamResponse]]], Awaitable[str]]
CHUNK = 256 << 10
SIZE = 5 * CHUNK + 1000


class Hasty(SystemClock):
    """Time that flies while somebody sleeps."""

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(min(seconds, 0.01))


class Ahead(SimulatorClock):
    """The platform's clock, which can be put forward."""

    ahead_ms = 0

    def epoch_ms(self) -> int:
        return super().epoch_ms() + self.ahead_ms


class Place:
    """A simulated platform, our client of it, and one file."""

    def __init__(self, simulated: Simulated, platform: Platform, book: UploadBook, file: UploadFile, entries: list[AuditEntry]) -> None:
        self.simulated, self.platform, self.book, self.file, self.entries = simulated, platform, book, file, entries
        self.service = platform.uploads

    def uploads(self) -> list[dict[str, Any]]:
        return self.simulated.uploads.listing(self.simulated.now())

    def stored(self) -> list[dict[str, Any]]:
        return [one for one in self.uploads() if one["stored"]]


Open = Callable[..., Any]


@pytest.fixture
def opened(tmp_path: Path) -> Open:
    @asynccontextmanager
    async def start(*, size: int = SIZE, permissions: list[str] | None = None, faults: Any = None, **uploads: Any) -> AsyncIterator[Place]:
        document: dict[str, Any] = {
            "calls": {"count": 0},
            "uploads": {"process_time": "0s", "report_time": "0s", **uploads},
            "faults": faults or {},
        }
        if permissions is not None:
            document["clients"] = [{"id": "one", "secret": "s", "permissions": permissions}]
        clock, entries = Hasty(), []

        async def record(entry: AuditEntry) -> None:
            entries.append(entry)

        simulated = assemble(read(document), Ahead(), truth_log=tmp_path / "truth.jsonl")
        path = tmp_path / "call.wav"
        path.write_bytes(os.urandom(size))
        digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        file = UploadFile(
            path=path,
            name="call.wav",
            bytes=size,
            modified_ns=path.stat().st_mtime_ns,
            md5=digest,
            content_type="audio/wav",
            facts={"a": 1},
        )
        async with running(simulated):
            client = next(iter(simulated.scenario.clients), DEFAULT_CLIENT)
            settings = GenesysSettings(
                api_url=simulated.base_url, login_url=simulated.base_url, upload_chunk="256KiB", upload_report_every="1ms"
            )
            credentials = Credentials(SecretStr(client.id), SecretStr(client.secret), "a test")
            actions = AuditedActions(record, clock=clock, client_id=client.id, actor="test")
            async with connect(
                settings, credentials, clock=clock, metrics=Metrics(), actions=actions, upload_book=tmp_path / "book"
            ) as platform:
                yield Place(simulated, platform, UploadBook(tmp_path / "book"), file, entries)

    return start


BOTH = pytest.mark.parametrize("resumable", [False, True], ids=["plain", "resumable"])


@BOTH
@pytest.mark.parametrize("size", [1, 1000, CHUNK, SIZE])
async def test_a_file_is_stored_once_as_it_is_and_not_sent_again_under_the_same_key(size: int, resumable: bool, opened: Open) -> None:
    async with opened(size=size, resumable=resumable) as place:
        sent = await place.service.send("dlv_1", place.file)
        [line] = place.stored()
        assert (line["md5"], line["bytes"], line["bytesReceived"]) == (place.file.md5, size, size)
        assert sent.md5_echoed
        assert await place.service.send("dlv_1", place.file) == sent
        assert place.stored() == [line]
        assert await place.service.look(sent) == Reported(UploadStatus.SUCCESS)
        [entry] = place.entries
        assert (entry.action, entry.outcome, entry.facts["bytes"]) == ("upload.send", "success", size)
        assert await place.service.begun("dlv_1") == place.file


@BOTH
@pytest.mark.parametrize("fault", ["upload_cut", "upload_error"])
async def test_a_store_that_breaks_off_or_answers_500_and_503_is_tried_again(fault: str, resumable: bool, opened: Open) -> None:
    async with opened(faults={fault: 4}, resumable=resumable) as place:
        await place.service.send("dlv_1", place.file)
        [line] = place.stored()
        assert line["md5"] == place.file.md5
        assert len(place.uploads()) == 1, "the address is still good, and no other is asked for"
        if resumable:
            # a cut chunk is gone on with from the last byte that came
            assert line["bytesReceived"] == SIZE
            assert place.entries[0].facts["bytes"] <= SIZE + 5 * CHUNK


@pytest.mark.parametrize("status", [308, 206])
async def test_a_killed_upload_is_gone_on_with_from_the_last_confirmed_byte(status: int, opened: Open) -> None:
    async with opened(resumable=True, resume_status=status, upload_bandwidth=4_000_000) as place:
        with anyio.move_on_after(10) as life:
            async with anyio.create_task_group() as lives:
                lives.start_soon(place.service.send, "dlv_1", place.file)
                while not place.uploads() or place.uploads()[0]["bytes"] < 2 * CHUNK:
                    await anyio.sleep(0.005)
                life.cancel()
        assert place.stored() == []
        assert (await place.service.begun("dlv_1")) == place.file
        await place.service.send("dlv_1", place.file)
        [line] = place.stored()
        assert (line["md5"], line["bytesReceived"]) == (place.file.md5, SIZE)


@BOTH
async def test_what_was_stored_and_never_heard_of_is_not_sent_again(resumable: bool, opened: Open) -> None:
    """Killed between the store's answer and the note of it: the next life asks first."""
    async with opened(resumable=resumable) as place:
        sent = await place.service.send("dlv_1", place.file)
        parcel = next(iter(place.simulated.parcels.values()))
        done = await place.book.get("dlv_1")
        assert done is not None
        url = place.simulated.base_url + place.simulated.presigner.sign(
            parcel.path, now=place.simulated.now(), life=600, method="PUT", headers=parcel.headers
        )
        put = Presigned(url, done.upload_key, dict(parcel.headers))
        await place.book.put("dlv_1", replace(done, put=put, stored=False))
        [before] = place.stored()
        assert (await place.service.send("dlv_1", place.file)).upload_key == sent.upload_key
        [after] = place.stored()
        assert after["bytesReceived"] == before["bytesReceived"]


async def test_an_address_that_has_expired_is_replaced_and_the_upload_begins_anew(opened: Open) -> None:
    async with opened(resumable=True, faults={"upload_cut": 1}) as place:
        clock = place.simulated.clock
        real = place.service._means.clock

        class Once(Hasty):
            async def sleep(self, seconds: float) -> None:
                clock.ahead_ms = 7 * 3_600_000
                await anyio.sleep(0)

            def epoch_ms(self) -> int:
                return real.epoch_ms()

        object.__setattr__(place.service._means, "clock", Once())
        await place.service.send("dlv_1", place.file)
        assert len(place.uploads()) == 2
        [line] = place.stored()
        assert line["md5"] == place.file.md5


@pytest.mark.parametrize("spoil", ["missing", "different", "more"])
async def test_headers_that_the_store_refuses_lead_to_a_new_address(spoil: str, opened: Open) -> None:
    async with opened(size=1000) as place:
        wanted = {"fileName": "call.wav", "contentMd5": content_md5(place.file.md5), "contentType": "audio/wav"}
        reply = await place.platform._client.call("POST", "/api/v2/uploads/recordings", json=wanted)
        put, now = presigned(reply.body, md5=place.file.md5), place.simulated.clock.epoch_ms()
        begun = Begun(file=place.file, upload_key=put.upload_key, asked_ms=now, expires_ms=now + 600_000, put=put)
        headers = dict(put.headers)
        if spoil == "missing":
            del headers["x-amz-tagging"]
        elif spoil == "different":
            headers["x-amz-tagging"] = "organizationId=another"
        else:
            headers["x-amz-acl"] = "public-read"
        await place.book.put("dlv_1", replace(begun, put=replace(put, headers=headers)))
        await place.service.send("dlv_1", place.file)
        assert len(place.uploads()) == 2
        [line] = place.stored()
        assert line["md5"] == place.file.md5


@BOTH
async def test_content_that_does_not_fit_its_md5_is_stored_nowhere(resumable: bool, opened: Open) -> None:
    async with opened(resumable=resumable) as place:
        wrong = replace(place.file, md5=hashlib.md5(b"another", usedforsecurity=False).hexdigest())
        with pytest.raises(PermanentError) as caught:
            await place.service.send("dlv_1", wrong)
        assert place.stored() == []
        assert caught.value.code is ReasonCode.MEDIA_CHANGED
        assert sum(one["bytesReceived"] for one in place.uploads()) <= 4 * SIZE, "nor is it sent again for ever"
        assert "X-Amz" not in str(caught.value)
        assert place.entries[-1].outcome == "refused"


@pytest.mark.parametrize("change", ["shorter", "longer", "touched", "gone"])
async def test_a_file_that_is_not_the_one_described_is_not_sent(change: str, opened: Open) -> None:
    async with opened() as place:
        if change == "gone":
            place.file.path.unlink()
        elif change == "touched":
            os.utime(place.file.path, ns=(1, 1))
        else:
            os.truncate(place.file.path, SIZE - 1 if change == "shorter" else SIZE + 1)
        with pytest.raises(PermanentError) as caught:
            await place.service.send("dlv_1", place.file)
        assert caught.value.code is ReasonCode.MEDIA_CHANGED
        assert place.stored() == []


async def test_a_permission_that_is_missing_is_named(opened: Open) -> None:
    async with opened(permissions=[]) as place:
        with pytest.raises(PermanentError, match="recording:recording:upload"):
            await place.service.send("dlv_1", place.file)
        assert place.entries[0].outcome == "refused"


@pytest.mark.parametrize("form", ["csv", "json"])
async def test_reports_tell_failure_and_waiting_in_either_form(form: str, opened: Open) -> None:
    async with opened(report_form=form, failing=["bad*"], waiting=["lonely*"], size=1000) as place:
        bad = await place.service.send("dlv_1", replace(place.file, name="bad.wav"))
        lonely = await place.service.send("dlv_2", replace(place.file, name="lonely.wav"))
        found = await place.service.look(bad)
        assert found is not None
        assert found.status is UploadStatus.FAILURE
        assert found.reason
        found = await place.service.look(lonely)
        assert found is not None
        assert found.status is UploadStatus.WAIT_FOR_CONVERSATION


async def test_a_report_that_fails_is_asked_for_again_by_the_next_look(opened: Open) -> None:
    async with opened(faults={"upload_report_failed": 1}, size=1000) as place:
        sent = await place.service.send("dlv_1", place.file)
        with pytest.raises(TransientError):
            await place.service.look(sent)
        assert await place.service.look(sent) == Reported(UploadStatus.SUCCESS)


async def test_one_report_serves_all_who_ask_together(opened: Open) -> None:
    async with opened(size=1000, process_time="1h") as place:
        place.service._reports._every = 60.0
        sent = [await place.service.send(f"dlv_{number}", place.file) for number in range(5)]
        async with anyio.create_task_group() as askers:
            for one in sent:
                askers.start_soon(place.service.look, one)
        assert len(place.simulated.uploads.reports) == 1


async def test_a_broken_request_is_repeated_by_nobody_but_us(serve: Serve, tmp_path: Path) -> None:
    """aiohttp sends an idempotent request once more by itself when the connection breaks; a body of which the store may have taken a
    part must not be."""
    requests = []

    async def hang_up(request: web.Request) -> web.StreamResponse:
        requests.append(request.headers.get("Content-Range"))
        await request.content.readany()
        assert request.transport is not None
        request.transport.abort()
        await asyncio.sleep(0)
        return web.Response()

    url = URL(await serve(hang_up))
    path = tmp_path / "x"
    path.write_bytes(bytes(SIZE))
    file = UploadFile(path=path, name="x", bytes=SIZE, modified_ns=path.stat().st_mtime_ns, md5="0" * 32, content_type="audio/wav")
    async with upload_put.session(HostRule((), api=str(url))) as session:
        for _ in range(3):
            with pytest.raises(Broken):
                await Put(session, file, 5.0, told=lambda _: None).whole(url, {})
    assert len(requests) == 3


async def test_a_store_that_takes_nothing_any_more_is_given_up(serve: Serve, tmp_path: Path) -> None:
    stop = anyio.Event()

    async def stand_still(request: web.Request) -> web.StreamResponse:
        await stop.wait()
        return web.Response()

    url = URL(await serve(stand_still))
    path = tmp_path / "x"
    path.write_bytes(bytes(64 << 20))
    file = UploadFile(path=path, name="x", bytes=64 << 20, modified_ns=path.stat().st_mtime_ns, md5="0" * 32, content_type="audio/wav")
    async with upload_put.session(HostRule((), api=str(url))) as session:
        with pytest.raises(Broken):
            await Put(session, file, 0.2, told=lambda _: None).whole(url, {})
    stop.set()
