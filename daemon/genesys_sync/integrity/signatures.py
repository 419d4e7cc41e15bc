"""Which checkpoints may be believed: those that a trusted key has signed. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from genesys_sync.audit import Checkpoint
from genesys_sync.integrity.trail import Finding, Tampering
from genesys_sync.signing import PublicKeys


@dataclass(frozen=True, slots=True)
class Believed:
    """Checkpoints without those that are forged or unsigned, how many are signed well, and the first that is not."""

    checkpoints: Sequence[Checkpoint]
    signed: int
    finding: Finding | None


def believed(checkpoints: Sequence[Checkpoint], keys: PublicKeys, *, where: str, since: int = 0) -> Believed:
    """`since`: up to this size a checkpoint may be unsigned, because no key was given then."""
    kept, signed, finding = [], 0, None
    for one in checkpoints:
        root = one.root.hex()
        if one.signature is None or (not one.signature and one.size < since):
            kept.append(one)
        elif one.signature and keys.holds(one.size, root, one.signature):
            kept.append(one)
            signed += 1
        elif finding is None:
            kind = Tampering.CHECKPOINT_FORGED if one.signature else Tampering.CHECKPOINT_UNSIGNED
            what = f"its signature is not of a trusted key ({', '.join(keys.ids)})" if one.signature else "it carries no signature"
            finding = Finding(kind, one.size, f"the checkpoint of size {one.size} {where}: {what}")
    return Believed(kept, signed, finding)


def first_signed(checkpoints: Sequence[Checkpoint]) -> int:
    """The size from which on the ledger's checkpoints must be signed: that of the first that carries a signature; beyond all where none
    does, so that a ledger without a single signed one is told of by its last."""
    sizes = [one.size for one in checkpoints if one.signature]
    return min(sizes) if sizes else max((one.size for one in checkpoints), default=0)
