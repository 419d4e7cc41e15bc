"""Proof, from the files alone, that archive and audit trail are what the ledger says. Writes nothing, needs no running daemon."""
