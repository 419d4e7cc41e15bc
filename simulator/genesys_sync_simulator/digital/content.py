"""What a written recording holds, in the published shapes ChatMessage, RecordingMessagingMessage and RecordingEmailMessage. Pure.

Every message is an utterance of the script, as it was typed; an e-mail is what one side says until the other does, with what was answered
quoted below. Names and addresses are in here on purpose, and so are numbers in a subject, in HTML alone and in quotations: a client that
hides them in one place has not hidden them.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby
from typing import Any

from genesys_sync_simulator.clock import iso
from genesys_sync_simulator.plan import CallPlan, Leg, RecordingPlan
from genesys_sync_simulator.speech.script import EXTERNAL, Script, Utterance

Json = dict[str, Any]

TOO_LARGE = "EMAIL_TRANSCRIPT_TOO_LARGE"
_NAMESPACE = uuid.UUID("0b7f6f0e-9a55-4c1f-8f1d-53c12d8b6e11")


def contents(call: CallPlan, recording: RecordingPlan, started_at: float, *, html: bool) -> Json:
    """What Recording has of it, by the name of the medium; `html`: e-mails have no text besides."""
    (leg,) = [leg for leg in call.legs if leg.recording is not None and leg.recording.id == recording.id]
    script = recording.script
    assert script is not None
    began = started_at + recording.began
    match recording.media:
        case "chat":
            return {"transcript": [*_joined(leg, began), *(_chat(call, leg, one, began) for one in script.utterances)]}
        case "messaging":
            return {"messagingTranscript": [_message(call, leg, one, began) for one in script.utterances]}
        case _:
            if recording.fault == "too_large":
                return {"emailTranscript": [], "recordingErrorStatus": TOO_LARGE}
            return {"emailTranscript": list(_mails(call, leg, script, began, html=html))}


def subject(script: Script) -> str:
    """An e-mail's, which tells the first of what is told."""
    if not script.planted:
        return "Question about my bill"
    value = script.planted[0].spoken.value
    return f"Question about my {value.kind.replace('_', ' ')}: {value.written[0]}"


def message_count(recording: RecordingPlan) -> int:
    """How many messages in which something is written."""
    utterances = () if recording.script is None else recording.script.utterances
    if recording.media != "email":
        return len(utterances)
    return 0 if recording.fault == "too_large" else sum(1 for _ in groupby(utterances, key=lambda one: one.speaker))


def _id(leg: Leg, number: int) -> str:
    return str(uuid.uuid5(_NAMESPACE, f"{leg.customer_session_id} {number}"))


def _joined(leg: Leg, began: float) -> Iterator[Json]:
    for session, purpose in ((leg.customer_session_id, "customer"), (leg.agent_session_id, "agent")):
        yield {"bodyType": "member-join", "utc": iso(began), "senderCommunicationId": session, "participantPurpose": purpose}


def _chat(call: CallPlan, leg: Leg, one: Utterance, began: float) -> Json:
    outside = one.speaker == EXTERNAL
    found: Json = {
        "body": one.decorated,
        "id": _id(leg, one.index),
        "to": call.id,
        "from": leg.customer_session_id if outside else leg.agent_session_id,
        "utc": iso(began + one.start),
        "chat": call.id,
        "message": _id(leg, one.index),
        "type": "message",
        "bodyType": "standard",
        "senderCommunicationId": leg.customer_session_id if outside else leg.agent_session_id,
        "participantPurpose": "customer" if outside else "agent",
    }
    return found if outside else {**found, "user": {"id": leg.agent.id, "name": leg.agent.name, "email": leg.agent.email}}


def _message(call: CallPlan, leg: Leg, one: Utterance, began: float) -> Json:
    outside = one.speaker == EXTERNAL
    found: Json = {
        "from": call.ani if outside else leg.agent_session_id,
        "to": leg.agent_session_id if outside else call.ani,
        "timestamp": iso(began + one.start),
        "id": _id(leg, one.index),
        "purpose": "customer" if outside else "agent",
        "participantId": call.customer_participant_id if outside else leg.participant_id,
        "queue": {"id": leg.queue.id},
        "messageText": one.decorated,
        "messageMediaAttachments": [],
        "contentType": "Text",
    }
    if not outside:
        return {**found, "fromUser": {"id": leg.agent.id, "name": leg.agent.name}}
    if one.index % 5 == 1:
        picture = {"url": f"https://files.example/{_id(leg, one.index)}.png", "mediaType": "image/png", "contentLength": 2048}
        found["messageMediaAttachments"] = [{**picture, "name": "receipt.png", "id": _id(leg, 1000 + one.index)}]
    return {**found, "fromExternalContact": {"id": _id(leg, 9000), "name": call.customer_name}}


def _mails(call: CallPlan, leg: Leg, script: Script, began: float, *, html: bool) -> Iterator[Json]:
    customer, agent = {"email": call.ani, "name": call.customer_name}, {"email": call.dnis, "name": leg.agent.name}
    quoted: list[str] = []
    for number, (speaker, turns) in enumerate(groupby(script.utterances, key=lambda one: one.speaker)):
        written = list(turns)
        lines = [one.decorated for one in written]
        whole = [*lines, *(f"> {line}" for line in quoted)]
        outside = speaker == EXTERNAL
        yield {
            "id": _id(leg, number),
            "subject": subject(script) if number == 0 else f"Re: {subject(script)}",
            "textBody": "" if html else "\n".join(whole),
            "htmlBody": _html(whole),
            "from": customer if outside else agent,
            "to": [agent if outside else customer],
            "cc": [],
            "bcc": [],
            "attachments": [],
            "time": iso(began + written[0].start),
        }
        quoted = lines


def _html(lines: Sequence[str]) -> str:
    """Each line a paragraph, with a tag in its middle, where a number may stand."""
    paragraphs = []
    for line in lines:
        half = len(line) // 2
        paragraphs.append(f"<p>{escape(line[:half])}<b>{escape(line[half:])}</b></p>")
    return f"<html><head><style>p {{ margin: 0 }}</style></head><body>{''.join(paragraphs)}</body></html>"
