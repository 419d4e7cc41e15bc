"""Signed checkpoints: the key is a guarded file, a forged or unsigned checkpoint is named, and the signature can be checked by anybody."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genesys_sync.audit import Checkpoint
from genesys_sync.cli import main
from genesys_sync.errors import ConfigurationError
from genesys_sync.integrity.signatures import believed, first_signed
from genesys_sync.integrity.trail import Tampering
from genesys_sync.settings import AuditSettings
from genesys_sync.signing import Signer, find_signer, make_key, parse_public_key, signature_of, trusted

ROOT = "ab" * 32


@pytest.fixture
def signer(tmp_path: Path) -> Signer:
    return make_key(tmp_path / "key.pem")


def checkpoint(size: int, signer: Signer | None, *, signed_size: int | None = None) -> Checkpoint:
    body = signer.sign(size if signed_size is None else signed_size, ROOT) if signer is not None else {}
    return Checkpoint(size, bytes.fromhex(ROOT), signature=signature_of(body))


def test_a_key_is_made_for_its_owner_alone_and_never_over_another(tmp_path: Path, signer: Signer) -> None:
    path = tmp_path / "key.pem"
    assert path.stat().st_mode & 0o777 == 0o600
    found = find_signer(AuditSettings(signing_key_file=path))
    assert found is not None
    assert found.public_key == signer.public_key
    with pytest.raises(FileExistsError):
        make_key(path)


def test_openssl_agrees_with_the_signature(tmp_path: Path, signer: Signer) -> None:
    """What a stranger does who has the public key, the format's description and no code of ours."""
    text = tmp_path / "text"
    text.write_bytes(f"genesys-sync/checkpoint@1\n214\n{ROOT}\n".encode())
    (tmp_path / "signature").write_bytes(base64.b64decode(signer.sign(214, ROOT)["signature"]))
    public = b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00" + parse_public_key(signer.public_key)
    (tmp_path / "public.der").write_bytes(public)
    command = [
        "openssl",
        "pkeyutl",
        "-verify",
        "-pubin",
        "-keyform",
        "DER",
        "-inkey",
        "public.der",
        "-rawin",
        "-in",
        "text",
        "-sigfile",
        "signature",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "Verified Successfully" in done.stdout, done.stderr


@pytest.mark.parametrize(("content", "says"), [("", "is empty"), ("nonsense", "holds no ed25519 private key"), (None, "No such file")])
def test_a_key_that_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path, content: str | None, says: str) -> None:
    path = tmp_path / "bad.pem"
    if content is not None:
        path.touch(mode=0o600)
        path.write_text(content)
    with pytest.raises(ConfigurationError, match=says) as caught:
        find_signer(AuditSettings(signing_key_file=path))
    assert caught.value.problems[0].startswith("audit.signing_key_file: ")


def test_a_key_that_others_may_read_or_of_another_kind_is_refused(tmp_path: Path, signer: Signer) -> None:
    (tmp_path / "key.pem").chmod(0o640)
    with pytest.raises(ConfigurationError, match="SECRET_EXPOSED"):
        find_signer(AuditSettings(signing_key_file=tmp_path / "key.pem"))
    other = tmp_path / "x25519.pem"
    subprocess.run(["openssl", "genpkey", "-algorithm", "x25519", "-out", str(other)], check=True, capture_output=True)
    other.chmod(0o600)
    with pytest.raises(ConfigurationError, match="no ed25519"):
        find_signer(AuditSettings(signing_key_file=other))


def test_forged_and_unsigned_checkpoints_are_named_and_not_believed(tmp_path: Path, signer: Signer) -> None:
    keys = trusted([parse_public_key(signer.public_key)])
    forger = make_key(tmp_path / "other.pem")
    good = [checkpoint(1, None), checkpoint(5, signer), checkpoint(9, signer)]
    cases = {
        Tampering.CHECKPOINT_FORGED: [checkpoint(7, forger), checkpoint(7, signer, signed_size=6)],
        Tampering.CHECKPOINT_UNSIGNED: [checkpoint(7, None)],
    }
    clean = believed(good, keys, where="in the ledger", since=first_signed(good))
    assert (clean.finding, clean.signed, list(clean.checkpoints)) == (None, 2, good)
    for kind, bad in cases.items():
        for one in bad:
            judged = believed([*good, one], keys, where="in the ledger", since=first_signed(good))
            assert judged.finding is not None
            assert (judged.finding.kind, judged.finding.seq) == (kind, 7)
            assert list(judged.checkpoints) == good


def test_a_ledger_whose_signatures_were_all_taken_off_is_told_of(signer: Signer) -> None:
    stripped = [checkpoint(1, None), checkpoint(5, None)]
    judged = believed(stripped, trusted([parse_public_key(signer.public_key)]), where="in the ledger", since=first_signed(stripped))
    assert judged.finding is not None
    assert (judged.finding.kind, judged.finding.seq) == (Tampering.CHECKPOINT_UNSIGNED, 5)


def test_what_was_given_by_hand_needs_no_signature_and_keys_may_change(tmp_path: Path, signer: Signer) -> None:
    later = make_key(tmp_path / "later.pem")
    keys = trusted([parse_public_key(one.public_key) for one in (signer, later)])
    judged = believed([Checkpoint(3, bytes.fromhex(ROOT)), checkpoint(5, signer), checkpoint(9, later)], keys, where="that was given")
    assert (judged.finding, judged.signed) == (None, 2)


@given(st.one_of(st.none(), st.integers(), st.text(), st.binary().map(lambda raw: base64.b64encode(raw).decode())))
def test_no_signature_makes_the_check_fail_with_anything_but_a_verdict(value: object) -> None:
    keys = trusted([bytes(32)])
    one = Checkpoint(1, bytes(32), signature=signature_of({"signature": value}))
    assert believed([one], keys, where="here").finding is not None


def test_the_command_makes_a_key_prints_its_public_half_and_says_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "key.pem"
    assert main(["audit-key", "--new", str(path)]) == 0
    made = capsys.readouterr().out
    sample = ["--settings", str(Path(__file__).parents[2] / "settings.toml")]
    assert main([*sample, "audit-key", "--set", f"audit.signing_key_file={path}"]) == 0
    assert capsys.readouterr().out == made
    assert main([*sample, "audit-key"]) == 78
    assert "audit-key --new" in capsys.readouterr().err
    assert main(["audit-key", "--new", str(path)]) == 78
    assert "File exists" in capsys.readouterr().err
    with pytest.raises(ValueError, match="32 bytes"):
        parse_public_key(made[:-6])
