"""`evidence`: one conversation in one file, which a stranger checks with Python and openssl alone, and whatever is altered is found."""

from __future__ import annotations

import hashlib
import json
import resource
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import anyio
import orjson
import pytest

from genesys_sync.audit import AuditEntry
from genesys_sync.cli import main
from genesys_sync.integrity.bundle import Bundle, Lines
from genesys_sync.ledger import open_ledger
from genesys_sync.routing import RoutedEvent, Router
from genesys_sync.sealing import Sealer
from genesys_sync.signing import make_key
from genesys_sync.testing import FakeClock, make_event
from genesys_sync.testing.samples import ORGANIZATION_ID

CONVERSATION, RECORDING = "cccccccc-0000-4000-8000-000000000001", "eeeeeeee-0000-4000-8000-000000000001"
DAY = date(2026, 8, 1)
FOLDER = f"recordings/{DAY:%Y/%m/%d}/{CONVERSATION}"
MEDIA, SIDECAR = f"{FOLDER}/{RECORDING}.wav", f"{FOLDER}/{RECORDING}.json"


@dataclass
class Place:
    """An installation with one conversation among others. `unpacked` is where its bundle was unpacked."""

    folder: Path
    public_key: str

    @property
    def archive(self) -> Path:
        return self.folder / "archive"

    @property
    def unpacked(self) -> Path:
        return self.folder / "unpacked"

    def run(self, *words: str) -> int:
        settings = {"ledger.url": f"sqlite:///{self.folder}/ledger.db", "storage.root": str(self.archive)}
        options = [part for key, value in settings.items() for part in ("--set", f'{key}="{value}"')]
        return main(["--settings", str(Path(__file__).parents[2] / "settings.toml"), *options, "evidence", *words])

    def make(self, *words: str) -> int:
        ended = self.run(CONVERSATION, "--to", str(self.folder / "e.zip"), *words)
        if ended in (0, 1):
            with zipfile.ZipFile(self.folder / "e.zip") as file:
                file.extractall(self.unpacked)
        return ended

    def check(self) -> tuple[int, str]:
        """What the bundle's own program says, run by a Python that knows nothing of us."""
        done = subprocess.run([sys.executable, "-I", "-S", "check.py"], cwd=self.unpacked, capture_output=True, text=True, check=False)
        assert not done.stderr
        return done.returncode, done.stdout


@pytest.fixture
def place(tmp_path: Path, fake_clock: FakeClock) -> Place:
    signer = make_key(tmp_path / "key.pem")
    data = b"sound" * 1000
    part = {"key": MEDIA, "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "contentType": "audio/wav"}
    text = orjson.dumps({"parts": [part], "revision": 1})
    sidecar_hash = hashlib.sha256(text).hexdigest()
    for key, content in ((MEDIA, data), (SIDECAR, text)):
        (tmp_path / "archive" / key).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "archive" / key).write_bytes(content)

    def entry(action: str, target: str, **facts: Any) -> AuditEntry:
        return AuditEntry(at=fake_clock.now(), actor="handler:archive", action=action, target=target, outcome="success", facts=facts)

    async def build() -> None:
        about = {"conversation_id": CONVERSATION, "recording_id": RECORDING, "day": DAY, "revision": 1}
        body = {"parts": [part], "sidecar": SIDECAR, "sidecarSha256": sidecar_hash, "revision": 1}
        events = [make_event("media.archived", body=body, **about), make_event("media.verified", body={"revision": 1}, **about)]
        async with open_ledger(f"sqlite:///{tmp_path}/ledger.db", clock=fake_clock) as ledger:
            await ledger.append([RoutedEvent(event, ()) for event in events])
            sealer = Sealer(
                ledger=ledger,
                folder=tmp_path / "audit",
                router=Router({}),
                clock=fake_clock,
                organization=lambda: ORGANIZATION_ID,
                every=timedelta(seconds=60),
                signer=signer,
            )
            for number in range(4):
                others = [entry("recording.archive", f"other-{number}-{index}", sha256=["00"]) for index in range(5)]
                own = [entry("recording.archive", RECORDING, sha256=[part["sha256"]], sidecar=SIDECAR, sidecarSha256=sidecar_hash)]
                await ledger.record_audit([*others, *(own if number == 1 else []), *others])
                await sealer.seal()
                await sealer.checkpoint()
                await fake_clock.advance(86_400)

    anyio.run(build)
    return Place(tmp_path, signer.public_key)


def test_a_bundle_holds_the_files_their_life_and_the_lines_that_prove_them(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert place.make("--json") == 0

    told = json.loads(capsys.readouterr().out)
    assert told["sha256"] == hashlib.sha256((place.folder / "e.zip").read_bytes()).hexdigest()
    assert [(entry["key"], entry["audited"]) for entry in told["objects"]] == [(MEDIA, True), (SIDECAR, True)]
    assert told["audit"] == {"about": 1, "lines": 6, "withoutCheckpoint": 0}
    assert (place.unpacked / "archive" / MEDIA).read_bytes() == (place.archive / MEDIA).read_bytes()
    events = [json.loads(line)["topic"] for line in (place.unpacked / "events.jsonl").read_text().splitlines()]
    assert sorted(events) == ["media.archived", "media.verified"]
    assert place.check() == (0, "nothing is wrong: the files are whole, and the audit lines lead to the checkpoints\n")
    assert subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=place.unpacked, check=False).returncode == 0
    assert (place.folder / "e.zip").stat().st_mode & 0o077 == 0


def test_that_evidence_was_made_is_an_entry_of_the_trail(place: Place) -> None:
    async def entries() -> list[str]:
        async with open_ledger(f"sqlite:///{place.folder}/ledger.db", clock=FakeClock(), read_only=True) as ledger:
            found = await ledger.audit_entries(after=0, limit=1000)
            return [f"{one.entry.actor.partition(':')[0]} {one.entry.action} {one.entry.target}" for one in found]

    assert place.make() == 0
    assert anyio.run(entries)[-1] == f"operator evidence.make {CONVERSATION}"


def alter(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes().replace(b"o", b"0"))


def one_line_less(folder: Path) -> None:
    lines = next((folder / "audit").glob("*.jsonl"))
    lines.write_bytes(b"".join(lines.read_bytes().splitlines(keepends=True)[1:]))


def sums_made_anew(folder: Path) -> None:
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != "SHA256SUMS")
    sums = (f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.relative_to(folder)}\n" for path in files)
    (folder / "SHA256SUMS").write_text("".join(sums))


ALTERED: list[tuple[str, Callable[[Path], object], str]] = [
    ("the media", alter(f"archive/{MEDIA}"), "was altered"),
    ("a file more", lambda folder: (folder / "archive" / "new.wav").write_bytes(b"x"), "was added"),
    ("a file less", lambda folder: (folder / "deliveries.jsonl").unlink(), "is missing"),
    ("an audit line less", lambda folder: (one_line_less(folder), sums_made_anew(folder)), "does not follow"),
    ("an audit line", lambda folder: (alter("audit/16-21.jsonl")(folder), sums_made_anew(folder)), "does not follow"),
    ("the root", lambda folder: (alter_root(folder), sums_made_anew(folder)), "does not lead to the checkpoint"),
    ("media and its hashes", lambda folder: (alter_media_and_summary(folder), sums_made_anew(folder)), "no audit line names its SHA-256"),
]


def alter_root(folder: Path) -> None:
    told = json.loads((folder / "audit/segments.json").read_bytes())
    told[0]["root"] = "00" * 32
    (folder / "audit/segments.json").write_text(json.dumps(told))


def alter_media_and_summary(folder: Path) -> None:
    media, summary = folder / "archive" / MEDIA, folder / "summary.json"
    before = hashlib.sha256(media.read_bytes()).hexdigest()
    media.write_bytes(b"another sound")
    summary.write_text(summary.read_text().replace(before, hashlib.sha256(media.read_bytes()).hexdigest()))


@pytest.mark.parametrize(("damage", "sentence"), [row[1:] for row in ALTERED], ids=[row[0] for row in ALTERED])
def test_whatever_is_altered_in_a_bundle_is_found(place: Place, damage: Callable[[Path], object], sentence: str) -> None:
    assert place.make() == 0
    damage(place.unpacked)
    status, said = place.check()
    assert (status, sentence in said) == (1, True), said


@pytest.mark.skipif(shutil.which("openssl") is None, reason="there is no openssl here")
def test_a_checkpoint_is_checked_with_openssl_as_the_readme_says(place: Place) -> None:
    assert place.make() == 0
    command = "\n".join(line.strip() for line in (place.unpacked / "README.txt").read_text().splitlines() if "key.pem" in line)
    command = command.replace("KEY-AS-audit-key-PRINTS-IT", place.public_key).replace("SIZE", "21")

    done = subprocess.run(["sh", "-ec", command], cwd=place.unpacked, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout.strip()) == (0, "Signature Verified Successfully"), done.stderr
    (place.unpacked / "audit/checkpoint-21.txt").write_text("genesys-sync/checkpoint@1\n21\n00\n")
    assert subprocess.run(["sh", "-ec", command], cwd=place.unpacked, capture_output=True, check=False).returncode == 1


def test_what_is_flawed_is_taken_along_and_named(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    (place.archive / MEDIA).write_bytes(b"another sound")
    (place.archive / SIDECAR).unlink()

    assert place.make() == 1

    said = capsys.readouterr().out
    assert f"ALTERED: {MEDIA}" in said
    assert f"MISSING: {SIDECAR}" in said
    assert len(json.loads((place.unpacked / "summary.json").read_bytes())["flaws"]) == 2


def test_a_trail_that_was_tampered_with_is_named(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    (file,) = [path for path in (place.folder / "audit").glob("*.jsonl") if RECORDING.encode() in path.read_bytes()]
    file.write_bytes(file.read_bytes().replace(b'"other-1-4"', b'"other-9-9"'))

    assert place.make() == 1

    assert "run genesys-sync verify" in capsys.readouterr().out
    assert place.check()[0] == 1


@pytest.mark.parametrize(
    ("words", "status", "sentence"),
    [
        (("dddddddd-0000-4000-8000-000000000001",), 1, "the ledger knows nothing of the conversation"),
        (("../../etc/passwd",), 1, "is no conversation's id"),
        ((CONVERSATION, "--to", "/nowhere/e.zip"), 74, "--to: /nowhere/e.zip: No such file or directory; name another file"),
        ((CONVERSATION, "--to", __file__), 74, "something is there already; name another file"),
    ],
)
def test_what_cannot_be_made_is_told_in_one_sentence(
    place: Place, capsys: pytest.CaptureFixture[str], words: tuple[str, ...], status: int, sentence: str
) -> None:
    assert place.run(*words) == status
    assert sentence in capsys.readouterr().err
    assert not list(place.folder.glob("*.zip*"))


def test_where_the_disk_takes_no_more_nothing_is_left(tmp_path: Path, fake_clock: FakeClock) -> None:
    bundle = Bundle(tmp_path / "e.zip", root=tmp_path, made_at=fake_clock.now())
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match="File too large"):
            bundle.add("events.jsonl", b"x" * 100_000)
        bundle.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []


def test_two_that_are_made_at_once_for_one_path_do_not_write_into_each_other(tmp_path: Path, fake_clock: FakeClock) -> None:
    first, second = (Bundle(tmp_path / "e.zip", root=tmp_path, made_at=fake_clock.now()) for _ in range(2))
    for bundle in (first, second):
        bundle.add_trail(Lines(tmp_path), [], 0)
    first.finish(CONVERSATION, by="operator:1")
    with pytest.raises(FileExistsError):
        second.finish(CONVERSATION, by="operator:2")
    for bundle in (first, second):
        bundle.close()
    assert [path.name for path in tmp_path.iterdir()] == ["e.zip"]
    with zipfile.ZipFile(tmp_path / "e.zip") as file:
        assert file.testzip() is None
        assert json.loads(file.read("summary.json"))["by"] == "operator:1"
