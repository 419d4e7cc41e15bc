"""`verify` as a person runs it: exit codes, what it prints, what it takes for a checkpoint; beside a daemon and without one."""

import hashlib
import json
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import anyio
import orjson
import pytest
from anyio import to_thread

from genesys_sync.audit import AuditEntry, Checkpoint
from genesys_sync.cli import main
from genesys_sync.cli.verify import _checkpoints, _slice
from genesys_sync.clock import SystemClock
from genesys_sync.ledger import Ledger, open_ledger
from genesys_sync.routing import RoutedEvent, Router
from genesys_sync.sealing import Sealer
from genesys_sync.testing import make_event
from genesys_sync.testing.samples import CONVERSATION_ID, ORGANIZATION_ID, RECORDING_ID

FOLDER = f"recordings/2026/08/01/{CONVERSATION_ID}"
MEDIA, SIDECAR = f"{FOLDER}/{RECORDING_ID}.wav", f"{FOLDER}/{RECORDING_ID}.json"
SOUND = b"RIFF and so on"


@dataclass
class Installation:
    """One recording archived and verified, three audit entries sealed and checkpointed, one not sealed yet."""

    folder: Path
    settings: Path
    url: str
    checkpoint: Checkpoint

    def call(self, *words: str) -> int:
        return main(["--settings", str(self.settings), "verify", *words])

    @property
    def root(self) -> str:
        return self.checkpoint.root.hex()


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Installation:
    monkeypatch.chdir(tmp_path)
    url = f"sqlite:///{tmp_path}/state/ledger.db"
    settings = tmp_path / "settings.toml"
    settings.write_text(f'[genesys]\nregion = "us_east_1"\n[ledger]\nurl = "{url}"\n[storage]\nroot = "{tmp_path}/archive"\n')
    return Installation(tmp_path, settings, url, anyio.run(_fill, url, tmp_path))


async def _fill(url: str, folder: Path) -> Checkpoint:
    clock = SystemClock()
    sidecar = orjson.dumps({"parts": []})
    for key, data in ((MEDIA, SOUND), (SIDECAR, sidecar)):
        path = folder / "archive" / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    part = {"key": MEDIA, "sha256": hashlib.sha256(SOUND).hexdigest(), "bytes": len(SOUND)}
    body = {"parts": [part], "sidecar": SIDECAR, "sidecarSha256": hashlib.sha256(sidecar).hexdigest()}
    async with open_ledger(url, clock=clock) as ledger:
        events = [make_event("media.archived", body=body), make_event("media.verified")]
        await ledger.append([RoutedEvent(event, ()) for event in events])
        sealer = _sealer(ledger, folder, clock)
        await ledger.record_audit([_entry(clock, number) for number in range(3)])
        await sealer.turn()
        seal = await ledger.seal()
        await ledger.record_audit([_entry(clock, 3)])
        return Checkpoint(seal.size, seal.root)


def _sealer(ledger: Ledger, folder: Path, clock: SystemClock) -> Sealer:
    audit = folder / "state" / "audit"
    every = timedelta(seconds=60)
    return Sealer(ledger=ledger, folder=audit, router=Router({}), clock=clock, organization=lambda: ORGANIZATION_ID, every=every)


def _entry(clock: SystemClock, number: int) -> AuditEntry:
    return AuditEntry(at=clock.now(), actor="a", action="recording.archive", target=f"r{number}", outcome="success")


def test_a_sound_installation_is_clean(here: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    assert here.call() == 0
    out = capsys.readouterr().out
    assert f"3 entries in 1 file follow from each other, root {here.root}" in out
    assert "in the ledger alone, not sealed yet: 1 entry\n" in out
    assert "2 of 2 objects read" in out
    assert "no checkpoint from outside was given" in out
    assert out.endswith("verdict  clean\n")


def test_a_changed_file_is_named(here: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    (here.folder / "archive" / MEDIA).write_bytes(SOUND[::-1])
    assert here.call() == 1
    out = capsys.readouterr().out
    assert f"ALTERED: {MEDIA}: its SHA-256 is {hashlib.sha256(SOUND[::-1]).hexdigest()}" in out
    assert "verdict  1 finding\n" in out


def test_a_changed_entry_is_named_with_file_and_line(here: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = (here.folder / "state" / "audit").iterdir()
    path.write_bytes(path.read_bytes().replace(b'"r1"', b'"rx"'))
    assert here.call("--only", "audit") == 1
    out = capsys.readouterr().out
    assert f"EDITED: {path.name}, line 2, entry 2: the ledger says otherwise of: target" in out
    assert "archive" not in out


def test_programs_get_json(here: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    (here.folder / "archive" / MEDIA).unlink()
    assert here.call("--json", "--checkpoint", f"3:{here.root}") == 1
    said = json.loads(capsys.readouterr().out)
    assert (said["verdict"], said["unknown"]) == ("flawed", None)
    assert said["archive"]["counts"] == {"missing": 1}
    assert said["archive"]["flaws"][0]["key"] == MEDIA
    assert said["audit"]["provedSize"] == 3
    assert said["audit"]["finding"] is None


def test_a_checkpoint_that_disagrees_is_a_finding(here: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    assert here.call("--only", "audit", "--checkpoint", "3:" + "0" * 64) == 1
    assert "RE-CHAINED" in capsys.readouterr().out
    assert here.call("--only", "audit", "--checkpoint", "9:" + "0" * 64) == 1
    assert "ROLLED BACK" in capsys.readouterr().out


def test_a_copy_of_the_files_needs_a_checkpoint_to_be_proved_and_nothing_else(
    here: Installation, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = str((here.folder / "state" / "audit").rename(tmp_path / "copy"))
    here.settings.unlink()
    assert main(["verify", "--audit-folder", copy]) == 1
    assert "UNKNOWN: neither a ledger nor a later checkpoint tells whether lines are missing at the end" in capsys.readouterr().out
    assert main(["verify", "--audit-folder", copy, "--checkpoint", f"3:{here.root}"]) == 0


def test_it_runs_beside_a_daemon_that_seals_meanwhile(here: Installation) -> None:
    async def beside() -> list[int]:
        clock = SystemClock()
        codes = []
        async with open_ledger(here.url, clock=clock) as ledger:
            sealer = _sealer(ledger, here.folder, clock)
            for number in range(5):
                async with anyio.create_task_group() as group:

                    async def work(first: int = number * 10) -> None:
                        for entry in range(first, first + 10):
                            await ledger.record_audit([_entry(clock, entry)])
                            await sealer.turn()

                    group.start_soon(work)
                    codes.append(await to_thread.run_sync(here.call, "--only", "audit"))
        return codes

    assert anyio.run(beside) == [0] * 5


def test_it_changes_nothing(here: Installation) -> None:
    def state() -> dict[str, bytes]:
        skipped = ("-shm", "-wal")  # SQLite's own; an empty log may come and go
        return {str(path): path.read_bytes() for path in here.folder.rglob("*") if path.is_file() and not path.name.endswith(skipped)}

    before = state()
    assert here.call() == 0
    assert state() == before


def test_without_a_ledger_it_says_so(here: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    (here.folder / "state" / "ledger.db").unlink()
    assert here.call() == 74
    assert "there is no ledger" in capsys.readouterr().err
    assert here.call("--audit-folder", "nowhere") == 74
    assert "there is no folder nowhere" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words", [("--slice", text) for text in ("0/3", "4/3", "1", "x/3", "1/0", "today/x")] + [("--checkpoint", "no-file")]
)
def test_wrong_usage_is_one_sentence_and_64(here: Installation, words: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert here.call(*words) == 64
    assert "Traceback" not in capsys.readouterr().err


def test_todays_slice_is_another_each_day_and_none_is_left_out() -> None:
    today = SystemClock().now().date().toordinal()
    assert _slice("today/30").number == today % 30 + 1
    assert {(today + day) % 30 + 1 for day in range(30)} == set(range(1, 31))
    assert _slice("2/3").total == 3


def test_checkpoints_are_found_in_what_a_webhook_received(tmp_path: Path) -> None:
    root = "ab" * 32
    one = {"type": "audit.checkpointed", "timestamp": "x", "data": {"size": 7, "root": root, "eventId": "e"}}
    lines = tmp_path / "received.jsonl"
    lines.write_bytes(b"\n".join([orjson.dumps(one), b"no json", orjson.dumps({"type": "media.verified", "data": {}}), orjson.dumps(one)]))
    assert _checkpoints(str(lines)) == [Checkpoint(7, bytes.fromhex(root))] * 2
    alone = tmp_path / "checkpoint.json"
    alone.write_bytes(orjson.dumps({"size": 7, "root": root}))
    assert _checkpoints(str(alone)) == [Checkpoint(7, bytes.fromhex(root))]
    assert _checkpoints(f"7:{root}") == [Checkpoint(7, bytes.fromhex(root))]
