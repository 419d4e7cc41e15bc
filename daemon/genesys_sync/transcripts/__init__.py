"""Transcripts: the one model, what they are made from, and the forms in which they are written. No I/O."""

from genesys_sync.transcripts.model import SCHEMA_VERSION, Segment, Speaker, Transcript, TranscriptUnreadable, Word

__all__ = ["SCHEMA_VERSION", "Segment", "Speaker", "Transcript", "TranscriptUnreadable", "Word"]
