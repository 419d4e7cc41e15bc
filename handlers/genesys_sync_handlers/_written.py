"""What was written in a chat, a message or an e-mail, as the platform's Recording holds it; and what may be kept of it. Pure.

The redacted copy has the same shape with fewer fields: of each message its text, redacted, and what is known by its form to tell of
nobody (ids, times, words of a fixed list). Everything else (addresses, names, attachments, cards, forms, HTML) is left out: there is no
telling what stands in it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from genesys_sync.plugin import is_canonical_uuid, iso
from genesys_sync.transcripts import Segment, Speaker, Transcript, fields
from genesys_sync_handlers._times import parse_iso

WRITTEN = frozenset({"chat", "message", "messaging", "email"})
"""The media of which there is no file; metadata and recordings call one of them differently."""
CONTAINER = "json"
"""What the verifier finds in their place."""

_WORD = re.compile(r"[A-Za-z][A-Za-z_\-]{0,39}")
_INVISIBLE = dict.fromkeys([0xAD, *range(0x200B, 0x2010), *range(0x202A, 0x202F), *range(0x2060, 0x2070), 0xFEFF])
_UNSEEN = re.compile(r"</(?:script|style)", re.IGNORECASE)
_BLOCKS = frozenset(
    {"p", "br", "div", "tr", "li", "td", "th", "table", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6", "blockquote", "hr", "pre"}
)
Keep = Callable[[object], object]


class Unreadable(ValueError):
    """The body is no written recording. The message shows nothing of it."""


@dataclass(frozen=True, slots=True)
class _Form:
    """Where a medium has its messages, and what in one is what.

    texts  the keys of what people wrote, in order of reading
    time, purpose, sender  keys; empty where there is none
    kept   by key, what makes a value of it that may stay as it is; None where it may not
    """

    texts: Sequence[str]
    time: str
    purpose: str
    sender: str
    kept: Mapping[str, Keep]


@dataclass(frozen=True, slots=True)
class Writing:
    """A written recording that was read.

    media        as it calls itself
    attachments  how many files hang on it; they lie elsewhere
    withheld     why the platform left the contents out, in its own word; empty where it did not
    """

    key: str
    messages: Sequence[Mapping[str, Any]]
    whole: Mapping[str, Any]

    @property
    def media(self) -> str:
        return fields.label(self.whole.get("media"))

    @property
    def attachments(self) -> int:
        return sum(1 for one in self.messages for key in ("attachments", "messageMediaAttachments") for _ in fields.objects(one, key))

    @property
    def withheld(self) -> str:
        told = self.whole.get("recordingErrorStatus")
        return told[:64] if isinstance(told, str) and _WORD.fullmatch(told) else ""


def read(data: bytes) -> Writing:
    """The recording that the platform answered. Raises Unreadable."""
    try:
        whole = orjson.loads(data)
    except orjson.JSONDecodeError:
        raise Unreadable("the recording's body is no JSON") from None
    if not isinstance(whole, dict):
        raise Unreadable("the recording's body is no object")
    for key in _FORMS:
        if isinstance(whole.get(key), list):
            return Writing(key, tuple(fields.objects(whole, key)), whole)
    raise Unreadable("the recording's body holds no messages")


def as_transcript(writing: Writing, conversation_id: str, recording_id: str) -> Transcript:
    """Everything that people wrote, in order of time, a segment for each text; by its index the place is found again (`redacted`)."""
    began = min((at for one in writing.messages if (at := _at(writing, one)) is not None), default=None)
    labels, segments = _labels(writing), []
    for index, (place, _, text) in enumerate(_texts(writing)):
        at = _at(writing, writing.messages[place])
        start = 0.0 if at is None or began is None else round((at - began).total_seconds(), 3)
        segments.append(Segment(index=index, speaker=Speaker(label=labels[place]), text=text, start=start, end=start))
    return Transcript(
        conversation_id=conversation_id,
        recording_ids=(recording_id,),
        source="platform",
        media_type=writing.media or None,
        segments=tuple(segments),
    )


def redacted(writing: Writing, transcript: Transcript) -> dict[str, Any]:
    """The copy that may be kept: `transcript` is the redacted one of `as_transcript`. Raises Unreadable where the two do not fit."""
    form, places = _FORMS[writing.key], list(_texts(writing))
    if len(places) != len(transcript.segments):
        raise Unreadable("the redacted texts are not as many as there were")
    shown: dict[int, dict[str, Any]] = {place: {} for place in range(len(writing.messages))}
    for (place, key, _), segment in zip(places, transcript.segments, strict=True):
        shown[place][key] = segment.text
    labels = _labels(writing)
    messages = [{"from": labels[place], **_kept(form.kept, one), **shown[place]} for place, one in enumerate(writing.messages)]
    left_out = {key for one in writing.messages for key, value in one.items() if value and key not in form.kept and key not in form.texts}
    return {
        **_kept(_OF_RECORDING, writing.whole),
        writing.key: messages,
        "redacted": True,
        "leftOut": sorted(key for key in left_out if _WORD.fullmatch(key)),
    }


def plain(markup: str) -> str:
    """The text of an HTML document, in one pass: tags taken away, blocks on lines of their own, scripts, styles and comments left out."""
    pieces: list[str] = []
    position = 0
    while (start := markup.find("<", position)) >= 0:
        pieces.append(markup[position:start])
        if markup.startswith("<!--", start):
            position = markup.find("-->", start)
            if position < 0:
                return _joined(pieces)
            position += 3
            continue
        end = markup.find(">", start)
        if end < 0:
            position = start
            break
        position = end + 1
        name = markup[start + 1 : end].strip("/ \t\r\n").partition(" ")[0].lower()
        if name in _BLOCKS:
            pieces.append("\n")
        elif name in ("script", "style") and not markup.startswith("</", start):
            unseen = _UNSEEN.search(markup, position)
            if unseen is None:
                return _joined(pieces)
            position = unseen.start()
    pieces.append(markup[position:])
    return _joined(pieces)


def _joined(pieces: Sequence[str]) -> str:
    lines = (line.strip() for line in html.unescape("".join(pieces)).splitlines())
    return "\n".join(line for line in lines if line)


def _texts(writing: Writing) -> Iterator[tuple[int, str, str]]:
    """(place of the message, key of the text, the text), in order of time; what has no time stays beside what stands before it."""
    form = _FORMS[writing.key]
    moments: list[datetime | None] = []
    for one in writing.messages:
        moments.append(_at(writing, one) or (moments[-1] if moments else None))
    earliest = min((at for at in moments if at is not None), default=None)
    since = [0.0 if at is None or earliest is None else (at - earliest).total_seconds() for at in moments]
    order = sorted(range(len(since)), key=lambda place: (since[place], place))
    for place in order:
        one = writing.messages[place]
        for key in form.texts:
            text = _text(one.get(key))
            if key == "textBody" and not text and isinstance(one.get("htmlBody"), str):
                text = _text(plain(one["htmlBody"]))
            if text:
                yield place, key, text


def _text(value: object) -> str:
    """Without characters that are not seen: they part numbers that are read as one."""
    return fields.text(value.translate(_INVISIBLE)) if isinstance(value, str) else ""


def _at(writing: Writing, one: Mapping[str, Any]) -> datetime | None:
    return parse_iso(one.get(_FORMS[writing.key].time))


def _labels(writing: Writing) -> list[str]:
    """Who wrote each message: the participant's purpose; else a number for the sender."""
    form = _FORMS[writing.key]
    senders: dict[object, int] = {}
    labels = []
    for one in writing.messages:
        purpose = _word(one.get(form.purpose))
        number = senders.setdefault(_sender(one.get(form.sender)), len(senders) + 1)
        labels.append(f"sender_{number}" if purpose is None else str(purpose))
    return labels


def _sender(told: object) -> object:
    told = told.get("email") if isinstance(told, Mapping) else told
    return told.lower() if isinstance(told, str) else None


def _kept(kept: Mapping[str, Keep], one: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, keep in kept.items() if (value := keep(one.get(key))) is not None}


def _uuid(value: object) -> object:
    return value if isinstance(value, str) and is_canonical_uuid(value) else None


def _word(value: object) -> object:
    return value if isinstance(value, str) and _WORD.fullmatch(value) else None


def _moment(value: object) -> object:
    at = parse_iso(value)
    return None if at is None else iso(at)


_OF_RECORDING: Mapping[str, Keep] = {
    "id": _uuid,
    "conversationId": _uuid,
    "sessionId": _uuid,
    "media": _word,
    "startTime": _moment,
    "endTime": _moment,
    "creationTime": _moment,
}
_FORMS: Mapping[str, _Form] = {
    "transcript": _Form(
        texts=("body",),
        time="utc",
        purpose="participantPurpose",
        sender="from",
        kept={
            "id": _uuid,
            "utc": _moment,
            "type": _word,
            "bodyType": _word,
            "participantPurpose": _word,
            "senderCommunicationId": _uuid,
        },
    ),
    "messagingTranscript": _Form(
        texts=("messageText",),
        time="timestamp",
        purpose="purpose",
        sender="from",
        kept={"id": _uuid, "timestamp": _moment, "purpose": _word, "participantId": _uuid, "contentType": _word},
    ),
    "emailTranscript": _Form(texts=("subject", "textBody"), time="time", purpose="", sender="from", kept={"id": _uuid, "time": _moment}),
}
