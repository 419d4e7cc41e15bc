"""`verify` with a public key: what the sealer signs is proved, and what somebody made up is named."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from genesys_sync.audit import AuditEntry
from genesys_sync.cli import main
from genesys_sync.clock import SystemClock
from genesys_sync.ledger import open_ledger
from genesys_sync.routing import Router
from genesys_sync.sealing import Sealer
from genesys_sync.signing import Signer, make_key
from genesys_sync.testing.samples import ORGANIZATION_ID


async def seal(url: str, folder: Path, signer: Signer | None, number: int) -> str:
    """One more entry, sealed and checkpointed; the checkpoint's root."""
    clock = SystemClock()
    async with open_ledger(url, clock=clock) as ledger:
        entry = AuditEntry(at=clock.now(), actor="app", action="daemon.start", target=str(number), outcome="success")
        await ledger.record_audit([entry])
        sealer = Sealer(
            ledger=ledger,
            folder=folder,
            router=Router({}),
            clock=clock,
            organization=lambda: ORGANIZATION_ID,
            every=timedelta(seconds=60),
            signer=signer,
        )
        await sealer.turn()
        return (await ledger.seal()).root.hex()


@pytest.fixture
def call(tmp_path: Path) -> list[str]:
    settings = tmp_path / "settings.toml"
    url = f"sqlite:///{tmp_path}/state/ledger.db"
    settings.write_text(f'[genesys]\nregion = "us_east_1"\n[ledger]\nurl = "{url}"\n[storage]\nroot = "{tmp_path}/archive"\n')
    return ["--settings", str(settings), "verify", "--only", "audit"]


def test_signed_checkpoints_are_proved_forged_ones_named_and_unsigned_ones_too(
    tmp_path: Path, call: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    url, folder = f"sqlite:///{tmp_path}/state/ledger.db", tmp_path / "state" / "audit"
    signer, other = make_key(tmp_path / "key.pem"), make_key(tmp_path / "other.pem")
    anyio.run(seal, url, folder, None, 1)
    root = anyio.run(seal, url, folder, signer, 2)
    key = ["--public-key", signer.public_key]

    assert main([*call, *key]) == 0
    assert "signed by a trusted key: 1 checkpoint\n" in capsys.readouterr().out
    assert main(call) == 0
    assert "signed" not in capsys.readouterr().out
    assert main([*call, "--public-key", other.public_key]) == 1
    assert "CHECKPOINT FORGED: entry 2: the checkpoint of size 2 in the ledger" in capsys.readouterr().out

    kept = tmp_path / "kept.json"
    kept.write_text(json.dumps({"data": {"size": 2, "root": root, **other.sign(2, root)}}))
    assert main([*call, *key, "--checkpoint", str(kept), "--json"]) == 1
    audit = json.loads(capsys.readouterr().out)["audit"]
    assert (audit["finding"]["kind"], audit["signed"]) == ("checkpoint forged", 1)

    anyio.run(seal, url, folder, None, 3)
    assert main([*call, *key]) == 1
    assert "CHECKPOINT UNSIGNED: entry 3" in capsys.readouterr().out


def test_a_key_that_is_none_is_wrong_usage(call: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*call, "--public-key", "abc"]) == 64
    assert "audit-key" in capsys.readouterr().err
