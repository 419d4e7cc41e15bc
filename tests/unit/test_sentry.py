"""Error reports, against a real receiver of Sentry envelopes: they arrive, and hold nothing that they must not."""

import gzip
import io
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import anyio
import orjson
import pytest
import sentry_sdk
import structlog
from aiohttp import web
from anyio import to_thread

from genesys_sync import logs, scrubbing, sentry
from genesys_sync.errors import ConfigurationError, TransientError
from genesys_sync.settings import LogSettings

pytestmark = pytest.mark.anyio

TOKEN = "tok-4f1e9c-planted-bearer"
CLIENT_SECRET = "Kx9-planted-client-secret_7"
PRESIGNED = "https://bucket.s3.eu-central-1.amazonaws.com/org/rec-planted.ogg?X-Amz-Signature=0badcafeplanted&X-Amz-Expires=900"
MAIL = "planted.caller@example.com"
PHONE = "+49 30 5550199"
PLANTED = (TOKEN, CLIENT_SECRET, "rec-planted", "0badcafeplanted", "planted.caller", MAIL, PHONE, "5550199")


@dataclass
class Receiver:
    """What came in, undone of gzip, byte for byte."""

    dsn: str = ""
    envelopes: list[bytes] = field(default_factory=list)
    queries: list[str] = field(default_factory=list)

    @property
    def events(self) -> list[dict]:
        found = []
        for envelope in self.envelopes:
            lines = envelope.split(b"\n")
            found += [orjson.loads(payload) for head, payload in zip(lines[1::2], lines[2::2], strict=False) if b'"event"' in head]
        return found


@asynccontextmanager
async def receiving() -> AsyncIterator[Receiver]:
    here = Receiver()

    async def take(request: web.Request) -> web.Response:
        body = await request.read()  # aiohttp's server undoes gzip by itself
        here.envelopes.append(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
        here.queries.append(request.query_string)
        return web.json_response({"id": "0" * 32})

    app = web.Application()
    app.router.add_post("/api/7/envelope/", take)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        here.dsn = f"http://0123456789abcdef0123456789abcdef@127.0.0.1:{runner.addresses[0][1]}/7"
        yield here
    finally:
        await runner.cleanup()


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(scrubbing, "_secrets", ())
    yield
    logs.report_errors_to(None)
    sentry_sdk.get_client().close(timeout=0)
    sentry_sdk.get_global_scope().set_client(None)
    structlog.reset_defaults()


async def test_an_error_arrives_with_its_frames_and_without_anything_planted() -> None:
    logs.register_secret(CLIENT_SECRET)
    logs.configure(LogSettings(), stream=io.BytesIO())
    async with receiving() as receiver:
        sentry.init(receiver.dsn, environment="test", release="genesys-sync@1.2.3")
        assert not sentry_sdk.get_client().should_send_default_pii()

        def download(authorization: str, url: str) -> None:
            local = f"{authorization} {url} {MAIL}"  # a local variable, which must not be sent
            raise RuntimeError(f"GET {url} with Authorization: Bearer {TOKEN} for {MAIL} at {PHONE}: {CLIENT_SECRET} {len(local)}")

        sentry_sdk.add_breadcrumb(message=f"asked {PRESIGNED}", data={"url": PRESIGNED, "caller": MAIL})
        sentry_sdk.set_user({"email": MAIL})
        sentry_sdk.set_extra("note", {"deep": [{"phone": PHONE, "text": f"call {PHONE}"}]})
        try:
            download(f"Bearer {TOKEN}", PRESIGNED)
        except RuntimeError as error:
            try:
                raise ValueError(f"while handling {PRESIGNED}") from error
            except ValueError:
                logs.get_logger("x").error(f"handler failed for {MAIL}", exc_info=True)
        await to_thread.run_sync(sentry.close)
    raw = b"\n".join(receiver.envelopes)
    for planted in PLANTED:
        assert planted.encode() not in raw, planted
    (event,) = receiver.events
    values = event["exception"]["values"]
    assert [value["type"] for value in values] == ["RuntimeError", "ValueError"]
    assert "download" in [frame["function"] for frame in values[0]["stacktrace"]["frames"]]
    assert all("vars" not in frame and "context_line" not in frame for value in values for frame in value["stacktrace"]["frames"])
    assert (event["environment"], event["release"]) == ("test", "genesys-sync@1.2.3")
    assert event["extra"]["log_event"] == "handler failed for <email>"
    assert not {"user", "request", "server_name", "modules"} & set(event)
    assert b"a local variable" not in raw


async def test_an_error_without_an_exception_is_a_message() -> None:
    async with receiving() as receiver:
        sentry.init(receiver.dsn, environment="test", release="r")
        logs.report_error("loop is blocked")
        await to_thread.run_sync(sentry.close)
    (event,) = receiver.events
    assert (event["message"], event["level"]) == ("loop is blocked", "error")


async def test_close_reports_what_nobody_foresaw_and_not_what_was() -> None:
    def end(error: Exception) -> None:
        try:
            raise error
        except (TransientError, KeyError):
            sentry.close()

    async with receiving() as receiver:
        for error in (TransientError("the platform is away"), KeyError("nobody thought of this")):
            sentry.init(receiver.dsn, environment="test", release="r")
            await to_thread.run_sync(end, error)
    assert [event["exception"]["values"][0]["type"] for event in receiver.events] == ["KeyError"]


async def test_a_text_that_is_no_dsn_is_a_fault_of_the_settings() -> None:
    with pytest.raises(ConfigurationError, match=r"sentry\.dsn_file"):
        sentry.init("https://nothing", environment="test", release="r")


async def test_flushing_ends_when_nobody_answers() -> None:
    """The receiver hangs: the daemon's end may wait two seconds for it, not for ever."""
    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as silent:
        port = silent.extra(anyio.abc.SocketAttribute.local_port)
        sentry.init(f"http://0123456789abcdef0123456789abcdef@127.0.0.1:{port}/7", environment="test", release="r")
        logs.report_error("lost", ValueError("x"))
        with anyio.fail_after(sentry.FLUSH_SECONDS + 5):
            await to_thread.run_sync(sentry.close)


async def test_without_a_dsn_the_sdk_is_not_even_imported() -> None:
    script = (
        "import sys; from genesys_sync import logs, sentry; from genesys_sync.settings import LogSettings; logs.configure(LogSettings());"
        "logs.get_logger('x').error('e'); sentry.close(); sys.exit('sentry_sdk' in sys.modules)"
    )
    done = await anyio.run_process([sys.executable, "-c", script], check=False, stderr=subprocess.DEVNULL)
    assert done.returncode == 0
