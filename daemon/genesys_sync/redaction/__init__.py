"""Redaction of transcripts: what may be personal is found over a whole conversation and hidden. No I/O.

    redactor = Redactor(RedactionRules(custom=(CustomRule(name="badge", pattern=r"\\bB-\\d{5}\\b", type="BADGE"),)))
    redaction = redactor.redact(transcript)      # raises RedactionFailed: withhold the transcript
    redaction.transcript                         # text and words masked
    redaction.spans                              # what to mute, seconds and channel
    redaction.report.to_dict()                   # type, place and rule of everything hidden

The policy, what is hidden and what stays, is written down in docs/howto/redact.md.
"""

from genesys_sync.redaction.names import NameFinder, PresidioNames, presidio_names
from genesys_sync.redaction.redactor import Redactor
from genesys_sync.redaction.results import Redaction, RedactionFailed, Report, Span
from genesys_sync.redaction.rules import CustomRule, RedactionRules, RuleRefused

__all__ = [
    "CustomRule",
    "NameFinder",
    "PresidioNames",
    "Redaction",
    "RedactionFailed",
    "RedactionRules",
    "Redactor",
    "Report",
    "RuleRefused",
    "Span",
    "presidio_names",
]
