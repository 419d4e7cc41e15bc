"""Transcripts: the one model, what they are made from, and the forms in which they are written. No I/O."""

from genesys_sync.transcripts.alignment import Mark, Participant, align, alone_on_their_side, in_channels, name_speakers, people_of
from genesys_sync.transcripts.communications import MEDIA_TYPES, Communication, communications
from genesys_sync.transcripts.forms import FORMS, Form, written
from genesys_sync.transcripts.genesys_file import FILE_LIMIT, read_document, read_file
from genesys_sync.transcripts.live import Collapser, LiveMessage, Utterance, gathered, read_message
from genesys_sync.transcripts.model import SCHEMA_VERSION, Segment, Speaker, Transcript, TranscriptUnreadable, Word

__all__ = [
    "FILE_LIMIT",
    "FORMS",
    "MEDIA_TYPES",
    "SCHEMA_VERSION",
    "Collapser",
    "Communication",
    "Form",
    "LiveMessage",
    "Mark",
    "Participant",
    "Segment",
    "Speaker",
    "Transcript",
    "TranscriptUnreadable",
    "Utterance",
    "Word",
    "align",
    "alone_on_their_side",
    "communications",
    "gathered",
    "in_channels",
    "name_speakers",
    "people_of",
    "read_document",
    "read_file",
    "read_message",
    "written",
]
