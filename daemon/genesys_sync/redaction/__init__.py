"""Redaction of transcripts: what may be personal is found over a whole conversation and hidden. No I/O."""
