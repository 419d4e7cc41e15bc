"""The rules of the webhook's configuration, and its answers to what a receiver says."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from genesys_sync.plugin import ConfigurationError, Done, HttpReply, Park, ReasonCode, Skip, TransientError
from genesys_sync.standard_webhooks import parse_secret
from genesys_sync.testing import make_event
from genesys_sync.testing.harness import HandlerHarness
from genesys_sync_handlers._answers import retry_after
from genesys_sync_handlers.webhook import Webhook, WebhookConfig

pytestmark = pytest.mark.anyio

TOKEN = "s3cr3t-path-token"
URL = f"https://receiver.example/hooks/{TOKEN}?key={TOKEN}"
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()
NOW = datetime(2026, 8, 1, 12, tzinfo=UTC)

Make = Callable[..., HandlerHarness[Any]]


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    path.chmod(0o600)
    return path


@pytest.mark.parametrize(
    ("status", "headers", "delay"),
    [
        (500, {}, None),
        (400, {}, None),
        (302, {"location": "https://elsewhere.example"}, None),
        (429, {"Retry-After": "2"}, None),  # less than planned: the plan holds
        (429, {"Retry-After": "7"}, timedelta(seconds=7)),
        (503, {"Retry-After": "86400"}, timedelta(seconds=10)),
        (503, {"retry-after": "Sat, 01 Aug 2026 12:00:08 GMT"}, timedelta(seconds=8)),
        (503, {"retry-after": "Sat, 01 Aug 2026 10:00:09 GMT", "date": "Sat, 01 Aug 2026 10:00:00 GMT"}, timedelta(seconds=9)),
        (503, {"retry-after": "soon"}, None),
        (503, {"retry-after": "-5"}, None),
        (503, {"retry-after": "9" * 400}, None),
    ],
)
async def test_every_refusal_is_retried_and_its_wish_granted_within_bounds(
    handler_harness: Make, secret_file: Path, status: int, headers: dict[str, str], delay: timedelta | None
) -> None:
    async with handler_harness(Webhook, {"url": URL, "secret_files": [str(secret_file)]}) as harness:
        harness.http.answer(HttpReply(status, headers, b""))
        with pytest.raises(TransientError) as raised:
            await harness.handle(make_event("media.verified"))
    assert raised.value.code is ReasonCode.RECEIVER_REFUSED
    assert raised.value.delay == delay
    assert raised.value.reason == f"receiver.example answered {status}"


async def test_gone_parks_the_handler(handler_harness: Make, secret_file: Path) -> None:
    async with handler_harness(Webhook, {"url": URL, "secret_files": [str(secret_file)]}, name="crm") as harness:
        harness.http.answer(410)
        outcome = await harness.handle(make_event("media.verified"))
    assert isinstance(outcome, Park)
    assert "genesys-sync resume crm" in outcome.reason
    assert TOKEN not in outcome.reason


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_success(handler_harness: Make, secret_file: Path, status: int) -> None:
    async with handler_harness(Webhook, {"url": URL, "secret_files": [str(secret_file)]}) as harness:
        harness.http.answer(status)
        assert await harness.handle(make_event("media.verified")) == Done(note=f"receiver.example answered {status}")


async def test_a_receiver_is_not_told_of_its_own_dead_letters(handler_harness: Make, secret_file: Path) -> None:
    async with handler_harness(Webhook, {"url": URL, "secret_files": [str(secret_file)]}, name="crm") as harness:
        harness.http.answer(200)
        own = make_event("delivery.dead_lettered", body={"handler": "crm"})
        assert isinstance(await harness.handle(own), Skip)
        assert harness.http.sent == []
        assert isinstance(await harness.handle(make_event("delivery.dead_lettered")), Done)


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"url": "http://receiver.example/x"}, "must begin with https://"),
        ({"url": "receiver.example/x"}, "absolute https URL"),
        ({"url": "ftp://receiver.example/x"}, "absolute https URL"),
        ({"url": "https://user:pass@receiver.example/x"}, "must not hold credentials"),
        ({"url": "https://receiver.example:notaport/x"}, "absolute https URL"),
        ({"url": "https://receiver.example/x#fragment"}, "must not have a fragment"),
        ({"secret_files": []}, "set secret_files or secrets_env"),
        ({"secrets_env": "NAME"}, "set secret_files or secrets_env"),
        ({"timeout": 15}, "duration"),
        ({"retries": 3}, "unknown key"),
    ],
)
def test_a_faulty_configuration_is_refused_without_showing_the_url(handler_harness: Make, config: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError, match=said) as raised:
        handler_harness(Webhook, {"url": URL, "secret_files": ["x"], **config})
    assert TOKEN not in str(raised.value)
    assert "user:pass" not in str(raised.value)


async def test_a_name_that_leads_astray_does_not_keep_the_daemon_from_starting(handler_harness: Make, secret_file: Path) -> None:
    """A receiver's name may lead elsewhere for an hour; the connection is refused then, and all the others go on."""
    harness = handler_harness(Webhook, {"url": "https://localhost/x", "secret_files": [str(secret_file)]})
    harness.http.refused.add("https://localhost/x")
    async with harness:
        with pytest.raises(ConfigurationError, match="its address is private"):
            await harness.check()


@pytest.mark.parametrize(
    ("url", "same"),
    [
        ("https://receiver.example/x", True),
        ("HTTPS://Receiver.EXAMPLE.:443/%78", True),
        ("https://receiver.example:8443/x", False),
        ("https://receiver.example/X", False),
        ("https://receiver.example/x?a=1", False),
        ("https://receiver.example/x/", False),
    ],
)
def test_one_address_is_one_endpoint_however_it_is_written(url: str, same: bool) -> None:
    one, other = (Webhook("x", WebhookConfig(url=each, secrets_env="NAME")) for each in ("https://receiver.example/x", url))
    assert (one.endpoint == other.endpoint) is same


def test_http_is_taken_when_it_is_allowed(handler_harness: Make) -> None:
    handler_harness(Webhook, {"url": "http://127.0.0.1:9/x", "allow_http": True, "secrets_env": "NAME"})


@pytest.mark.parametrize(
    ("text", "mode", "said"),
    [
        (SECRET, 0o644, "may be read by others"),
        (None, 0o600, "No such file"),
        ("", 0o600, "must begin with whsec_"),
        ("hunter2-hunter2-hunter2-hunter2", 0o600, "must begin with whsec_"),
        ("whsec_!!!", 0o600, "is not base64"),
        ("whsec_" + base64.b64encode(bytes(23)).decode(), 0o600, "24 to 64 bytes, not 23"),
        ("whsec_" + base64.b64encode(bytes(65)).decode(), 0o600, "24 to 64 bytes, not 65"),
    ],
)
async def test_a_secret_that_cannot_be_used_is_named_and_never_shown(
    handler_harness: Make, tmp_path: Path, text: str | None, mode: int, said: str
) -> None:
    path = tmp_path / "secret"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    harness = handler_harness(Webhook, {"url": URL, "secret_files": [str(path)]}, name="crm")
    with pytest.raises(ConfigurationError, match=said) as raised:
        await harness.check()
    assert "handlers.crm.config.secret_files" in str(raised.value)
    assert text in {None, ""} or text not in str(raised.value)


async def test_systemd_credentials_may_show_group_bits(
    handler_harness: Make, secret_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret_file.chmod(0o440)
    harness = handler_harness(Webhook, {"url": URL, "secret_files": [str(secret_file)]})
    with pytest.raises(ConfigurationError):
        await harness.check()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    await harness.check()


async def test_secrets_may_come_from_the_environment(handler_harness: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    harness = handler_harness(Webhook, {"url": URL, "secrets_env": "CRM_SECRETS"})
    with pytest.raises(ConfigurationError, match="CRM_SECRETS is not set"):
        await harness.check()
    monkeypatch.setenv("CRM_SECRETS", f"{SECRET} {SECRET}")
    await harness.check()


def test_24_and_64_bytes_are_taken() -> None:
    for size in (24, 64):
        assert parse_secret("whsec_" + base64.b64encode(bytes(size)).decode()) == bytes(size)


def test_a_date_without_the_servers_own_is_read_against_ours() -> None:
    reply = HttpReply(503, {"Retry-After": "Sat, 01 Aug 2026 11:59:00 GMT"}, b"")
    assert retry_after(reply, now=NOW) == timedelta(0)


def test_the_schedule_covers_a_week_and_its_attempts_match() -> None:
    policy = Webhook.policy
    assert sum(policy.schedule, timedelta(0)) >= timedelta(days=7)
    assert policy.attempts == len(policy.schedule) + 1
    assert policy.time_limit > sum(policy.schedule, timedelta(0)) * 1.1  # the dispatcher lengthens each by up to a tenth


async def test_an_address_that_no_request_may_go_to_is_told_by_the_check_not_by_a_thousand_dead_letters(
    handler_harness: Make, secret_file: Path
) -> None:
    harness = handler_harness(Webhook, {"url": URL, "secret_files": [str(secret_file)]}, name="crm")
    await harness.check()
    harness.http.refused.add(URL)
    with pytest.raises(ConfigurationError, match=r"^handlers\.crm\.config\.url: ENDPOINT_INVALID: .* http\.allow_private"):
        await harness.check()
