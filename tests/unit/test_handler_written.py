"""What was written: read as the platform has it, redacted as one conversation, and copied without a field that could tell of anybody."""

import time

import orjson
import pytest

from genesys_sync.redaction import Redactor
from genesys_sync_handlers._written import Unreadable, as_transcript, plain, read, redacted

CONVERSATION = "7eed024b-ed49-4595-8c36-de5f183961dc"
RECORDING = "5b1f1f9c-7a54-4f0d-9c54-0d8f3f0f3a11"
CARD = "4111 1111 1111 1111"


def body(**contents: object) -> bytes:
    return orjson.dumps({"id": RECORDING, "conversationId": CONVERSATION, "media": "chat", "users": [{"name": "Ada Lovelace"}], **contents})


def chat(*said: tuple[str, str]) -> list[dict[str, object]]:
    return [
        {"body": text, "utc": f"2026-08-01T12:00:{second:02d}.000Z", "participantPurpose": who, "bodyType": "standard", "from": "x"}
        for second, (who, text) in enumerate(said)
    ]


def copy(data: bytes) -> dict[str, object]:
    writing = read(data)
    return redacted(writing, Redactor().redact(as_transcript(writing, CONVERSATION, RECORDING)).transcript)


def test_a_number_told_over_several_messages_is_hidden_as_one() -> None:
    told = chat(("agent", "your card number please"), ("customer", "4111 1111"), ("agent", "go on"), ("customer", "1111 1111"))
    made = copy(body(transcript=told))
    assert [one["body"] for one in made["transcript"]] == ["your card number please", "[CARD]", "go on", "[CARD]"]
    assert [one["from"] for one in made["transcript"]] == ["agent", "customer", "agent", "customer"]


def test_only_texts_and_what_tells_of_nobody_are_kept() -> None:
    message = {
        "id": "0b7f6f0e-9a55-4c1f-8f1d-53c12d8b6e11",
        "timestamp": "2026-08-01T12:00:00.000Z",
        "purpose": "customer",
        "messageText": f"my card is {CARD}",
        "from": "+15551234567",
        "to": "service",
        "fromExternalContact": {"name": "Ada Lovelace"},
        "messageMediaAttachments": [{"url": "https://files.example/1", "name": f"{CARD}.png"}],
        "form": {"fields": [CARD]},
        "contentType": f"Text {CARD}",
        "participantId": "+15551234567",
    }
    made = copy(body(media="messaging", messagingTranscript=[message], name=CARD, sessionId="+15551234567"))
    assert made["messagingTranscript"] == [
        {
            "from": "customer",
            "id": message["id"],
            "timestamp": message["timestamp"],
            "purpose": "customer",
            "messageText": "my card is [CARD]",
        }
    ]
    assert made["leftOut"] == ["form", "from", "fromExternalContact", "messageMediaAttachments", "to"]
    text = orjson.dumps(made)
    assert not any(told in text for told in (b"4111", b"Lovelace", b"555", b"files.example"))
    assert {"users", "name", "sessionId"}.isdisjoint(made)


def mail(**more: object) -> dict[str, object]:
    return {"time": "2026-08-01T12:00:00.000Z", "from": {"email": "Ada@Example.com"}, **more}


def test_of_a_mail_the_subject_and_its_text_are_redacted_and_senders_are_numbers() -> None:
    mails = [
        mail(subject=f"card {CARD}", textBody="hello", htmlBody=f"<p>{CARD}</p>"),
        mail(subject="Re:", textBody=f"> my card is {CARD}", time="2026-08-01T12:01:00.000Z", **{"from": {"email": "service@example.com"}}),
        mail(subject="Re: Re:", textBody="thanks", time="2026-08-01T12:02:00.000Z", **{"from": {"email": "ada@example.com"}}),
    ]
    made = copy(body(media="email", emailTranscript=mails))
    assert [one["from"] for one in made["emailTranscript"]] == ["sender_1", "sender_2", "sender_1"]
    assert [one["subject"] for one in made["emailTranscript"]] == ["card [CARD]", "Re:", "Re: Re:"]
    assert made["emailTranscript"][1]["textBody"] == "> my card is [CARD]"
    assert b"4111" not in orjson.dumps(made)


@pytest.mark.parametrize(
    "markup",
    [
        f"<p>my card is {CARD[:7]}<b>{CARD[7:]}</b></p>",
        f"<style>p {{}}</style><p>my card is {CARD}</p><script>no()</script>",
        f"<!-- <p> --><div>my card is<br>{CARD}</div>",
        "my card is 4111&#8203;1111&shy;11111111",
        "<table><tr><td>my card is</td><td>4111-1111-1111-1111</td></tr></table>",
        f"my card is {CARD} <not closed",
    ],
)
def test_a_mail_of_html_alone_is_read_as_people_read_it(markup: str) -> None:
    made = copy(body(media="email", emailTranscript=[mail(htmlBody=markup)]))
    (one,) = made["emailTranscript"]
    assert "[CARD]" in one["textBody"]
    assert not any(character.isdecimal() for character in one["textBody"])


@pytest.mark.parametrize(
    "markup", ["<" * 400_000, "<style>" * 60_000, "<!--" * 100_000, "<p" * 200_000, "<script></scrip" * 30_000, "&#x" * 130_000]
)
def test_no_html_takes_more_than_linear_time(markup: str) -> None:
    began = time.process_time()
    plain(markup)
    assert time.process_time() - began < 1


def test_messages_are_read_in_order_of_time_and_stay_in_their_places() -> None:
    told = [*chat(("agent", "first")), *chat(("customer", "zero"))]
    told[0]["utc"] = "2026-08-01T12:30:00.000Z"
    writing = read(body(transcript=told))
    transcript = as_transcript(writing, CONVERSATION, RECORDING)
    assert [one.text for one in transcript.segments] == ["zero", "first"]
    assert [one["body"] for one in copy(body(transcript=told))["transcript"]] == ["first", "zero"]


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b'{"transcript": null}', b'{"messages": []}', b"<html>"])
def test_what_is_no_written_recording_is_told_as_such_and_not_quoted(data: bytes) -> None:
    with pytest.raises(Unreadable) as raised:
        read(data)
    assert "html" not in str(raised.value)


def test_texts_that_do_not_fit_are_refused() -> None:
    writing = read(body(transcript=chat(("agent", "one"))))
    with pytest.raises(Unreadable):
        redacted(writing, as_transcript(read(body(transcript=[])), CONVERSATION, RECORDING))


@pytest.mark.parametrize("broken", [None, 7, [], {"utc": 5, "body": ["x"]}, {"participantPurpose": {}, "from": []}])
def test_messages_of_another_shape_are_passed_over(broken: object) -> None:
    made = copy(body(transcript=[broken, *chat(("customer", CARD))]))
    assert made["transcript"][-1]["body"] == "[CARD]"
