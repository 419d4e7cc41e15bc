"""`status`, `find`, `dead-letters` and `resume` against a real ledger, beside a daemon that answers and without one."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest

from genesys_sync.cli import main
from genesys_sync.cli.find import archive_keys
from genesys_sync.cli.status import ask_daemon
from genesys_sync.clock import SystemClock
from genesys_sync.errors import ReasonCode
from genesys_sync.events import Event, Topic
from genesys_sync.health import HealthReport, HealthServer
from genesys_sync.ledger import open_ledger
from genesys_sync.ledger.base import DeliveryState, Verdict
from genesys_sync.metrics import Metrics
from genesys_sync.routing import RoutedEvent
from genesys_sync.units import spoken

CONVERSATION = "5c0b1e7a-1111-2222-3333-444455556666"
RECORDING = "8f0b1e7a-1111-2222-3333-444455556666"
KEY = f"recordings/2026/08/01/{CONVERSATION}/{RECORDING}.ogg"
AT = datetime(2026, 8, 1, 12, tzinfo=UTC)


@dataclass
class Installation:
    """Settings and a ledger: one conversation archived, its verification and one webhook dead, another waiting, `tell` parked."""

    settings: Path
    url: str
    dead: list[str]

    def call(self, *words: str) -> int:
        return main(["--settings", str(self.settings), *words])


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path / 'ledger.db'}"
    settings = tmp_path / "settings.toml"
    settings.write_text(f'[genesys]\nregion = "us_east_1"\n[ledger]\nurl = "{url}"\n[health]\nlisten = "127.0.0.1:0"\n')
    return Installation(settings, url, anyio.run(_fill, url))


async def _fill(url: str) -> list[str]:
    clock = SystemClock()
    ended = Event.of(Topic.CONVERSATION_ENDED, occurred_at=AT, organization_id="org", conversation_id=CONVERSATION)
    archived = ended.derive(
        Topic.MEDIA_ARCHIVED,
        occurred_at=AT,
        recording_id=RECORDING,
        body={"parts": [{"key": KEY}], "sidecar": KEY.replace(".ogg", ".json")},
    )
    async with open_ledger(url, clock=clock) as ledger:
        now = clock.epoch_ms()
        await ledger.append(
            [RoutedEvent(ended, ("discover",)), RoutedEvent(archived, ("verify", "tell", "other"))], watermark=("feed", now)
        )
        await ledger.open_gap(from_ms=now - 5000, to_ms=now, cause="silence")
        now = clock.epoch_ms()  # what was appended is due by now
        dead = []
        for claim in await ledger.claim({"discover": 1, "verify": 1, "tell": 1}, worker="w", now_ms=now, lease_ms=60_000):
            if claim.handler == "discover":
                verdict = Verdict(state=DeliveryState.DONE, note="one recording")
            elif claim.handler == "verify":
                verdict = Verdict(
                    state=DeliveryState.DEAD, reason=ReasonCode.VERIFIER_FAILED, error="the verifier\x1b[31m ended", correlation_id="c-1"
                )
                dead.append(claim.delivery_id)
            else:
                verdict = Verdict(state=DeliveryState.READY, counted=False, due_ms=now, park="the receiver answered 410")
            await ledger.settle(claim, verdict, now_ms=now)
        return dead


def test_status_shows_what_waits_what_is_dead_and_what_is_parked(here: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    assert here.call("status") == 0
    shown = capsys.readouterr().out
    assert "daemon        does not answer" in shown
    assert "open gaps     1" in shown
    assert "dead letters  1" in shown
    assert "parked        tell: the receiver answered 410 (genesys-sync resume tell)" in shown
    assert "conversation.ended" in shown


def test_status_for_programs(here: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    assert here.call("status", "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["events"] == {"conversation.ended": 1, "media.archived": 1}
    assert said["deliveries"]["verify"]["dead"] == 1
    assert said["deliveries"]["other"]["ready"] == 1
    assert (said["deadLetters"], said["openGaps"], said["daemon"]) == (1, 1, None)
    assert said["backlogs"].keys() == {"other", "tell"}, "what is parked waits too"
    assert max(said["backlogs"].values()) == said["backlogSeconds"]
    assert said["parked"] == {"tell": "the receiver answered 410"}
    assert said["watermark"].endswith("Z")


def test_without_a_ledger_there_is_one_clear_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "settings.toml").write_text('[genesys]\nregion = "us_east_1"\n')
    for words in (["status"], ["find", "x"], ["dead-letters", "list"], ["dead-letters", "replay", "x"], ["resume", "x"]):
        assert main(words) in (74, 78)
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("genesys-sync: ")
    assert not (tmp_path / "state").exists(), "looking makes nothing"


@pytest.mark.parametrize("asked", [CONVERSATION, CONVERSATION.upper(), RECORDING])
def test_find_tells_the_whole_life(here: Installation, asked: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert here.call("find", asked) == 0
    shown = capsys.readouterr().out
    assert KEY in shown
    assert "verify: dead at" in shown
    assert "VERIFIER_FAILED: the verifier\\x1b[31m ended" in shown, "and colours no terminal"
    assert f"dead-letters show {here.dead[0]}" in shown
    assert ("discover: done" in shown) == (asked.lower() == CONVERSATION)


def test_find_for_programs_and_by_a_deliverys_id(here: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    assert here.call("find", here.dead[0], "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert said["keys"] == [KEY, KEY.replace(".ogg", ".json")]
    assert [delivery["id"] for delivery in said["deliveries"]] == here.dead


def test_find_nothing(here: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    assert here.call("find", "no\x1bthing") == 1
    assert capsys.readouterr().err == "genesys-sync: the ledger knows nothing of 'no\\x1bthing'\n"


def test_dead_letters_are_listed_and_filtered(here: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    assert here.call("dead-letters", "list") == 0
    assert here.dead[0] in capsys.readouterr().out
    for filters in (["--handler", "tell"], ["--reason", "not_found"]):
        assert here.call("dead-letters", "list", *filters) == 0
        assert capsys.readouterr().out == "no dead letters\n"
    for action in (["list"], ["replay", "--all"]):
        assert here.call("dead-letters", *action, "--handler", "verfiy") == 64, "a misspelt handler must not look like one that is well"
        assert capsys.readouterr().err.startswith("genesys-sync: no handler is named 'verfiy'; known: ")
    assert here.call("dead-letters", "list", "--json", "--handler", "verify", "--reason", "VERIFIER_FAILED") == 0
    (record,) = json.loads(capsys.readouterr().out)
    assert (record["reason"], record["attempts"], record["event"]["recordingId"]) == ("VERIFIER_FAILED", 1, RECORDING)


def test_a_dead_letter_is_shown_with_its_errors(here: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    assert here.call("dead-letters", "show", here.dead[0]) == 0
    shown = capsys.readouterr().out
    assert "first error     the verifier\\x1b[31m ended" in shown
    assert "correlation id  c-1" in shown
    assert here.call("dead-letters", "show", "dlv_none") == 1


def states(here: Installation, capsys: pytest.CaptureFixture[str]) -> Any:
    capsys.readouterr()
    here.call("status", "--json")
    return json.loads(capsys.readouterr().out)["deliveries"]["verify"]


@pytest.mark.parametrize("words", [["--all"], ["--all", "--yes"], ["--all", "--handler", "verify", "--reason", "VERIFIER_FAILED"], None])
def test_replay_makes_them_ready_again(here: Installation, words: list[str] | None, capsys: pytest.CaptureFixture[str]) -> None:
    assert here.call("dead-letters", "replay", *(here.dead if words is None else words)) == 0
    assert capsys.readouterr().out == "1 delivery is ready again\n"
    counts = states(here, capsys)
    assert (counts.get("dead", 0), counts["ready"]) == (0, 1)


def test_replay_of_what_is_not_dead_does_nothing(here: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    assert here.call("dead-letters", "replay", "dlv_none") == 1
    assert here.call("dead-letters", "replay", "--all", "--handler", "tell") == 1
    shown = capsys.readouterr()
    assert shown.out == "0 deliveries are ready again\n" * 2
    assert shown.err == "genesys-sync: 1 of the ids named is no dead letter; genesys-sync dead-letters list shows those there are\n"
    assert states(here, capsys)["dead"] == 1


@pytest.mark.parametrize(("answer", "code", "dead"), [("y", 0, 0), ("n", 1, 1), ("", 1, 1)])
def test_a_person_is_asked_before_all_are_replayed(
    here: Installation, answer: str, code: int, dead: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked: list[str] = []
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda prompt: asked.append(prompt) or answer)
    assert here.call("dead-letters", "replay", "--all") == code
    assert asked == ["Replay 1 dead letters? [y/N] "]
    assert states(here, capsys).get("dead", 0) == dead


@pytest.mark.parametrize("words", [[], ["--all", "dlv_x"], ["dlv_x", "--handler", "verify"]])
def test_replay_wants_to_be_told_what(here: Installation, words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert here.call("dead-letters", "replay", *words) == 64
    assert "genesys-sync: " in capsys.readouterr().err


def test_resume(here: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    assert here.call("resume", "verify") == 1
    assert "verify is not parked (parked now: tell)" in capsys.readouterr().out
    assert here.call("resume", "tell") == 0
    assert here.call("resume", "tell") == 1
    assert "parked now: none" in capsys.readouterr().out


@pytest.mark.anyio
async def test_the_daemons_answer_is_taken_only_from_a_daemon_of_ours() -> None:
    report = HealthReport(live=True, ready=False, reasons=("no_events",))
    async with anyio.create_task_group() as tasks:
        address = await tasks.start(HealthServer(("127.0.0.1", 0), report=lambda: report, metrics=Metrics()).run)
        assert await ask_daemon(address, "/readyz") == {"ready": False, "state": "not_ready", "reasons": ["no_events"]}
        assert await ask_daemon(("0.0.0.0", address[1]), "/readyz") is not None
        tasks.cancel_scope.cancel()
    assert await ask_daemon(address, "/readyz") is None
    assert await ask_daemon(("127.0.0.1", 0), "/readyz") is None


@pytest.mark.anyio
@pytest.mark.parametrize("answer", [b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", b"SSH-2.0-x\r\n", b""])
async def test_another_programs_answer_is_none(answer: bytes) -> None:
    async def talk(stream: anyio.abc.SocketStream) -> None:
        async with stream:
            await stream.receive()
            if answer:
                await stream.send(answer)

    async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, talk)
        assert await ask_daemon(("127.0.0.1", listener.extra(anyio.abc.SocketAttribute.local_port)), "/readyz") is None
        tasks.cancel_scope.cancel()


def test_keys_are_taken_only_from_bodies_that_have_their_shape() -> None:
    assert archive_keys({"parts": [{"key": "a"}, "b", {"key": 3}], "quarantine": ["q", 1], "sidecar": "s"}) == ["a", "q", "s"]
    assert archive_keys({"parts": "x", "quarantine": {"k": 1}, "sidecar": 3}) == []


def test_spans_are_spoken() -> None:
    from datetime import timedelta

    assert [spoken(timedelta(seconds=seconds)) for seconds in (-1, 0, 119, 120, 7199, 7200, 172_799, 172_800)] == [
        "0 s",
        "0 s",
        "119 s",
        "2 min",
        "119 min",
        "2 h",
        "47 h",
        "2 days",
    ]
