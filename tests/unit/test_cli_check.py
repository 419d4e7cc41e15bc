"""`check`: every problem shown, the first decides the exit code, nothing is changed. The platform is a real server that plays one."""

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from anyio import to_thread

from genesys_sync.cli import main
from genesys_sync.cli.check import Level, _audit
from genesys_sync.cli.probes import Probe, judge, judge_topic, live_followed, sensitive, wanting
from genesys_sync.errors import PermanentError, ReasonCode
from genesys_sync.genesys.grants import SENSITIVE, holds, permissions_of
from genesys_sync.settings import Settings
from genesys_sync.signing import make_key

TOPIC = "v2.routing.queues.{id}.conversations"
GRANTS = {"grants": [{"role": {"policies": [{"domain": "recording", "entityName": "*", "actions": ["view", "viewSensitiveData"]}]}}]}
PROBE = Probe("a:b:view", "do it", "GET", "/api/v2/x", absent_is_well=True)


@dataclass
class Platform:
    """As much of the platform as `check` asks. `answers` replaces single paths' answers: (status, JSON)."""

    answers: dict[str, tuple[int, Any]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    url: str = ""

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(f"{request.method} {request.path}")
        path = "recordingmetadata" if request.path.endswith("/recordingmetadata") else request.path.rpartition("/")[2]
        status, body = self.answers.get(path) or {
            "token": (200, {"access_token": "opaque-access-token", "expires_in": 86399, "token_type": "bearer"}),
            "recordingmetadata": (404, {"code": "conversation.not.found", "message": "no", "status": 404}),
            "availabletopics": (200, {"entities": [{"id": TOPIC, "transports": ["All"]}]}),
            "query": (200, {"totalHits": 0}),
            "queues": (200, {"entities": [], "total": 0}),
        }.get(path, (200, {"organization": {"id": "0b1e7a5c-1111-2222-3333-444455556666"}} | GRANTS))
        return web.json_response(body, status=status)


@asynccontextmanager
async def served() -> AsyncIterator[Platform]:
    here = Platform()
    runner = web.ServerRunner(web.Server(here.answer, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        here.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        yield here
    finally:
        await runner.cleanup()


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Any]:
    """Run the command in a folder of its own: exit code and lines."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GENESYS_CLIENT_ID", "the-client")
    monkeypatch.setenv("GENESYS_CLIENT_SECRET", "the-client-secret")
    monkeypatch.delenv("INVOCATION_ID", raising=False)
    (tmp_path / "settings.toml").write_text(
        '[genesys]\nregion = "us_east_1"\n[health]\nlisten = "127.0.0.1:0"\n[storage]\nmin_free = "1B"\n'
        '[handlers.discover]\nuse = "discover"\n'
    )

    def run(*words: str) -> tuple[int, str]:
        code = main(["check", *words])
        captured = capsys.readouterr()
        assert "the-client-secret" not in captured.out + captured.err
        assert "opaque-access-token" not in captured.out + captured.err
        return code, captured.out + captured.err

    return run


async def against(platform: Platform, check: Callable[..., Any], *words: str) -> tuple[int, str]:
    where = ("--set", f'genesys.api_url="{platform.url}"', "--set", f'genesys.login_url="{platform.url}"')
    return await to_thread.run_sync(lambda: check(*where, *words))


@pytest.mark.anyio
async def test_all_well(check: Callable[..., Any], tmp_path: Path) -> None:
    async with served() as platform:
        code, shown = await against(platform, check)
    assert code == 0, shown
    assert "FAIL" not in shown
    assert "organisation 0b1e7a5c-1111-2222-3333-444455556666" in shown
    for permission in ("routing:queue:view", "analytics:conversationDetail:view", "recording:recording:view", TOPIC, "viewSensitiveData"):
        assert permission in shown
    assert sorted(path.name for path in tmp_path.iterdir()) == ["settings.toml"], "nothing was made"
    assert all(line.startswith(("GET ", "POST /oauth/token", "POST /api/v2/analytics")) for line in platform.asked), (
        "nothing was changed there"
    )


@pytest.mark.anyio
async def test_every_missing_permission_is_named_not_only_the_first(check: Callable[..., Any]) -> None:
    refused = (403, {"code": "missing.permissions", "message": "Unable to perform the requested action.", "status": 403})
    async with served() as platform:
        platform.answers = {"queues": refused, "query": refused, "recordingmetadata": refused, "availabletopics": (200, {"entities": []})}
        platform.answers["me"] = (200, {"organization": {"id": "0b1e7a5c-1111-2222-3333-444455556666"}, "grants": [{"role": {"policies": [
            {"domain": "x", "entityName": "y", "actions": ["z"]}]}}]})  # fmt: skip
        code, shown = await against(platform, check)
    assert code == 77
    failed = [line for line in shown.splitlines() if line.startswith("FAIL")]
    assert len(failed) == 4
    for permission in (
        "routing:queue:view",
        "analytics:conversationDetail:view",
        "recording:recording:view",
        "conversation:communication:view",
    ):
        assert any(permission in line for line in failed), permission
    assert "warn  permission   recording:recording:viewSensitiveData is missing" in shown
    assert "4 problems to solve" in shown


@pytest.mark.anyio
async def test_a_refused_client_is_77_and_ends_the_questions(check: Callable[..., Any]) -> None:
    async with served() as platform:
        platform.answers["token"] = (401, {"error": "invalid_client", "description": "authentication failed"})
        code, shown = await against(platform, check)
    assert code == 77
    assert shown.count("FAIL") == 1
    assert "another region" in shown


@pytest.mark.anyio
async def test_an_unreachable_platform_is_69(check: Callable[..., Any]) -> None:
    async with served() as platform:
        pass
    code, shown = await against(platform, check)
    assert code == 69
    assert "could not be reached" in shown


@pytest.mark.anyio
async def test_a_fault_of_the_settings_decides_over_what_comes_later(check: Callable[..., Any]) -> None:
    async with served() as platform:
        platform.answers["token"] = (401, {"error": "invalid_client"})
        code, shown = await against(platform, check, "--set", "storage.root=/dev/null/archive")
    assert code == 78
    assert shown.count("FAIL") == 2


def test_faulty_settings_show_the_handlers_faults_too(check: Callable[..., Any]) -> None:
    code, shown = check("--set", "feed.silense=1s", "--set", "handlers.discover.config.laddr=[]")
    assert code == 78
    assert "feed.silense: unknown key; did you mean 'silence'?" in shown
    assert "handlers.discover.config.laddr: unknown key; did you mean 'ladder'?" in shown
    assert "2 problems" in shown


def test_offline_asks_nobody(check: Callable[..., Any]) -> None:
    nobody = ("--set", "genesys.api_url=https://platform.invalid", "--set", "genesys.login_url=https://login.invalid")
    transcript = ("--set", "handlers.transcript.use=transcript")
    code, shown = check("--offline", *nobody, *transcript)
    assert code == 0, shown
    assert "transcript: its own check needs the platform, and is left out" in shown
    code, shown = check(*nobody, *transcript)
    assert code != 0
    assert "handlers.transcript: the login host login.invalid could not be reached" in shown, "it is said whose check it was"


def test_no_client_is_a_fault_of_the_configuration(check: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GENESYS_CLIENT_SECRET")
    code, shown = check("--offline")
    assert code == 78
    assert "no OAuth client" in shown


def test_under_systemd_a_secret_in_the_environment_is_worth_a_warning(check: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("INVOCATION_ID", "0" * 32)
    code, shown = check("--offline")
    assert code == 0
    assert "LoadCredential=" in shown


def test_too_little_space_is_told_with_both_numbers(check: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir()
    code, shown = check("--offline", "--set", "storage.min_free=9000TiB")
    assert code == 75
    assert "storage.min_free asks for" in shown


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_of_somebody_else(check: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "archive").mkdir(mode=0o500)
    code, shown = check("--offline")
    assert code == 78
    assert "storage.root" in shown


def test_a_ledger_that_is_none(check: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "ledger.db").write_bytes(b"this is no database, and long enough to be looked at" * 100)
    code, shown = check("--offline")
    assert code in (65, 74)
    assert "FAIL  ledger" in shown


def test_a_taken_port(check: Callable[..., Any]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        code, shown = check("--offline", "--set", f'health.listen="127.0.0.1:{taken.getsockname()[1]}"')
    assert code == 75
    assert "health.listen" in shown


def test_a_console_that_everybody_could_read(check: Callable[..., Any]) -> None:
    assert "warn  console" in check("--offline", "--set", 'health.listen="0.0.0.0:0"')[1]


@pytest.mark.parametrize(
    ("code", "level"),
    [
        (ReasonCode.NOT_FOUND, Level.OK),
        (ReasonCode.FORBIDDEN, Level.FAIL),
        (ReasonCode.UNAUTHORIZED, Level.FAIL),
        (ReasonCode.REQUEST_REFUSED, Level.FAIL),
    ],
)
def test_what_a_refusal_says_about_a_permission(code: ReasonCode, level: Level) -> None:
    assert judge(PROBE, PermanentError("x", code=code)).level is level


def test_absence_is_no_proof_where_the_thing_should_be_there() -> None:
    probe = Probe("a:b:view", "do it", "GET", "/api/v2/x")
    assert judge(probe, PermanentError("x", code=ReasonCode.NOT_FOUND)).level is Level.FAIL


@pytest.mark.parametrize(
    ("answer", "level"),
    [
        ({"entities": [{"id": TOPIC}]}, Level.OK),
        ({"entities": [{"id": TOPIC, "transports": ["Websocket", "EventBridge"]}]}, Level.OK),
        ({"entities": [{"id": TOPIC, "transports": ["EventBridge"]}]}, Level.FAIL),
        ({"entities": [{"id": "other"}, "odd", None]}, Level.FAIL),
        ({"entities": None}, Level.FAIL),
        ([], Level.FAIL),
        (None, Level.FAIL),
    ],
)
def test_whether_the_feeds_topic_is_offered(answer: object, level: Level) -> None:
    assert judge_topic(answer, None).level is level


COMMUNICATION = "conversation:communication:view"


def topic_that_needs(*permissions: str, kind: str = "requiresPermissions", enforced: bool = True) -> object:
    return {"entities": [{"id": TOPIC, "permissionDetails": [{"type": kind, "permissions": [*permissions], "enforced": enforced}]}]}


@pytest.mark.parametrize(
    ("topics", "granted", "level"),
    [
        (topic_that_needs(COMMUNICATION), {("conversation", "communication", "view")}, Level.OK),
        (topic_that_needs(COMMUNICATION), {("conversation", "*", "*")}, Level.OK),
        (topic_that_needs(COMMUNICATION), {("routing", "queue", "view")}, Level.FAIL),
        (topic_that_needs(COMMUNICATION, kind="requiresDivisionPermissions"), {("routing", "queue", "view")}, Level.FAIL),
        (topic_that_needs(COMMUNICATION), None, Level.WARN),
        (topic_that_needs(COMMUNICATION, enforced=False), {("routing", "queue", "view")}, Level.OK),
        (topic_that_needs(COMMUNICATION, "a:b:c", kind="requiresAnyDivisionPermissions"), {("a", "b", "c")}, Level.OK),
        (topic_that_needs(COMMUNICATION, "a:b:c", kind="requiresAnyDivisionPermissions"), {("a", "b", "d")}, Level.FAIL),
        ({"entities": [{"id": TOPIC, "permissionDetails": [None, {}, {"permissions": 3}, {"permissions": ["odd", 7]}]}]}, None, Level.OK),
    ],
)
def test_whether_the_client_may_subscribe_to_the_feeds_topic(
    topics: object, granted: set[tuple[str, str, str]] | None, level: Level
) -> None:
    finding = judge_topic(topics, granted)
    assert finding.level is level
    assert (COMMUNICATION in finding.sentence) is (level is not Level.OK), "it is named"


def test_grants_with_wildcards() -> None:
    granted = permissions_of(GRANTS)
    assert granted is not None
    assert holds("recording:recording:viewSensitiveData", granted)
    assert not holds("recording:recording:delete", granted)
    assert not holds("routing:queue:view", granted)
    assert holds("routing:queue:view", {("*", "*", "*")})
    for answer in (None, [], {}, {"grants": [1, {"role": 2}, {"role": {"policies": [3, {"actions": 4}]}}]}):
        assert permissions_of(answer) is None


def test_values_that_are_used_late_are_proved_too(check: Callable[..., Any]) -> None:
    code, shown = check("--offline", "--set", 'audit.signing_key_file="/nowhere/key"', "--set", "sentry.dsn_file=/nowhere/dsn")
    assert code == 78
    assert "audit.signing_key_file: /nowhere/key: " in shown
    assert "sentry.dsn_file: /nowhere/dsn: No such file or directory" in shown
    assert "2 problems to solve" in shown


def test_an_audit_folder_that_cannot_be_written_and_permissions_that_are_wanting_are_told(tmp_path: Path) -> None:
    assert [finding.sentence.partition(" ")[0] for finding in wanting(permissions_of(GRANTS))] == ["recording:recording:editRetention"]
    assert wanting(None) == []
    speech = [finding.sentence.partition(" ")[0] for finding in wanting(permissions_of(GRANTS), ["transcript"])][1:]
    assert speech == ["speechAndTextAnalytics:data:view", "routing:transcriptionSettings:view"]
    (tmp_path / "file").touch()
    settings = Settings.model_validate({"genesys": {"region": "us_east_1"}, "audit": {"folder": tmp_path / "file" / "audit"}})
    [finding] = _audit(settings)
    assert (finding.level, finding.subject) == (Level.FAIL, "audit")
    assert finding.sentence == f"audit.folder: {tmp_path}/file is not a folder"
    key = make_key(tmp_path / "key.pem")
    settings = Settings.model_validate(
        {"genesys": {"region": "us_east_1"}, "audit": {"folder": tmp_path, "signing_key_file": tmp_path / "key.pem"}}
    )
    assert [finding.level for finding in _audit(settings)] == [Level.OK, Level.OK]
    assert key.public_key in _audit(settings)[1].sentence


def test_whoever_ends_pauses_needs_the_permission_to() -> None:
    granted = permissions_of(GRANTS)
    assert "conversation:recording:pauseOthers is missing" in str(wanting(granted, ["resume"]))
    assert "pauseOthers" not in str(wanting(granted, ["archive"]))


def test_who_wants_calls_followed_live_is_told_whether_they_can_be() -> None:
    assert (live_followed({("conversation", "transcription", "view")}).level, live_followed(None).level) == (Level.OK, Level.WARN)
    missing = live_followed(permissions_of(GRANTS))
    assert missing.level is Level.WARN
    assert missing.sentence.startswith("conversation:transcription:view is missing")


def test_file_systems_that_perish_or_lie_elsewhere_are_warned_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from genesys_sync.cli.check import _places
    from genesys_sync.settings import GenesysSettings, LedgerSettings, Settings, StorageSettings

    kinds = {"ledger.db": "tmpfs", "archive": "nfs4"}
    monkeypatch.setattr("genesys_sync.disk.file_system", lambda path: kinds[path.name])
    settings = Settings(
        genesys=GenesysSettings(region="us_east_1"),
        ledger=LedgerSettings(url=f"sqlite:///{tmp_path}/ledger.db"),
        storage=StorageSettings(root=tmp_path / "archive"),
    )
    ledger, archive = _places(settings)
    assert "ledger.url: DATA_DIR_UNSAFE" in ledger.sentence
    assert "tmpfs, which ends with the machine" in ledger.sentence
    assert "storage.root: DATA_DIR_UNSAFE" in archive.sentence
    kinds["ledger.db"] = kinds["archive"] = "ext4"
    assert _places(settings) == []


def test_the_permission_for_sensitive_data_is_judged_by_divisions() -> None:
    """Held in one division of two it lets recordings of the other be left out, without a word."""

    def grant(division: str, *actions: str) -> dict[str, Any]:
        policy = {"domain": "recording", "entityName": "recording", "actions": list(actions)}
        return {"division": {"id": division}, "role": {"policies": [policy]}}

    home = grant("home", "view", "viewSensitiveData")
    assert sensitive({"grants": [home]}).level is Level.OK
    found = sensitive({"grants": [home, grant("sales", "view")]})
    assert (found.level, found.sentence.startswith(f"{SENSITIVE} is not held in every division")) == (Level.WARN, True)
