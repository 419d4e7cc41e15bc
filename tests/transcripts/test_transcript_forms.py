"""The written forms, read back by libraries that others wrote."""

from __future__ import annotations

import io

import orjson
import pysubs2
import webvtt
from hypothesis import given
from hypothesis import strategies as st

from genesys_sync.transcripts import FORMS, Segment, Speaker, Transcript, written

AGENT = Speaker(label="internal", role="agent", name="Ana <Gómez> & Co")


def transcript(*said: tuple[str, float, float], speaker: Speaker = AGENT) -> Transcript:
    segments = tuple(
        Segment(index=number, speaker=speaker, text=text, start=start, end=end) for number, (text, start, end) in enumerate(said)
    )
    return Transcript(conversation_id="c", source="platform", segments=segments)


def test_webvtt_has_voice_tags_and_escapes_and_hours() -> None:
    assert written(transcript(("a < b --> c & d", 1.25, 2.5), ("later", 360_001.0, 360_002.0)), "vtt").decode() == (
        "WEBVTT\n\n"
        "1\n00:00:01.250 --> 00:00:02.500\n<v Ana &lt;Gómez&gt; &amp; Co>a &lt; b --&gt; c &amp; d</v>\n\n"
        "2\n100:00:01.000 --> 100:00:02.000\n<v Ana &lt;Gómez&gt; &amp; Co>later</v>\n"
    )


def test_subrip_and_text_name_the_speaker() -> None:
    one = transcript(("it goes --> there\n\nand on", 61.0, 62.0))
    assert written(one, "srt").decode() == "1\n00:01:01,000 --> 00:01:02,000\nAna <Gómez> & Co: it goes -> there and on\n"
    assert written(one, "txt").decode() == "[00:01:01] Ana <Gómez> & Co: it goes --> there and on\n"


def test_a_speaker_without_a_name_is_called_by_role_or_label() -> None:
    assert b"] agent: x" in written(transcript(("x", 0, 1), speaker=Speaker(label="internal", role="agent")), "txt")
    assert b"] speaker_0: x" in written(transcript(("x", 0, 1), speaker=Speaker(label="speaker_0")), "txt")


def test_what_was_written_is_shown_until_the_next_message_for_a_second_at_least_and_five_at_most() -> None:
    chat = transcript(("hi", 0.0, 0.0), ("yes?", 0.2, 0.2), ("a question", 3.2, 3.2), ("much later", 90.0, 90.0))
    times = [line for line in written(chat, "vtt").decode().splitlines() if "-->" in line]
    assert times == [
        "00:00:00.000 --> 00:00:01.000",
        "00:00:00.200 --> 00:00:03.200",
        "00:00:03.200 --> 00:00:08.200",
        "00:01:30.000 --> 00:01:35.000",
    ]
    assert written(chat, "txt").decode().splitlines()[-1].startswith("[00:01:30] ")


def test_json_is_the_model() -> None:
    one = transcript(("x", 0, 1))
    assert Transcript.from_dict(orjson.loads(written(one, "json"))) == one


def test_an_empty_transcript_is_a_file_too() -> None:
    assert written(transcript(), "vtt") == b"WEBVTT\n"
    assert written(transcript(), "srt") == written(transcript(), "txt") == b""


SAID = st.lists(
    st.tuples(
        st.text(max_size=30), st.floats(0, 90_000).map(lambda value: round(value, 3)), st.floats(0, 9).map(lambda value: round(value, 3))
    ),
    max_size=5,
)
NAMES = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=12)


@given(SAID, NAMES)
def test_others_read_back_every_cue_with_its_times_and_text(said: list[tuple[str, float, float]], name: str) -> None:
    one = transcript(*((text, start, start + length) for text, start, length in said), speaker=Speaker(label="x", name=name))
    shown = [segment for segment in one.segments if segment.text.strip()]
    captions = list(webvtt.from_buffer(io.StringIO(written(one, "vtt").decode())))
    assert [caption.start_in_seconds for caption in captions] == [int(round(segment.start * 1000) / 1000) for segment in shown]
    assert [bytes(caption.raw_text, "utf-8") for caption in captions] == [
        line.encode() for line in written(one, "vtt").decode().split("\n") if line.startswith("<v ")
    ]
    lines = pysubs2.SSAFile.from_string(written(one, "srt").decode(), format_="srt") if shown else []
    assert [event.start for event in lines] == [round(segment.start * 1000) for segment in shown]
    assert all(event.end > event.start for event in lines)


@given(SAID)
def test_the_same_transcript_gives_the_same_bytes(said: list[tuple[str, float, float]]) -> None:
    one = transcript(*((text, start, start + length) for text, start, length in said))
    assert [written(one, form) for form in FORMS] == [written(one, form) for form in FORMS]
