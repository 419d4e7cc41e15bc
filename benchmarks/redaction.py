"""Text redacted a second on one core: conversations as they are, and conversations of numbers alone.

python -m benchmarks.redaction [--megabytes 2] [--rounds 3]

Every segment carries its list of words with timings, as the platform's transcripts do; only the text's own bytes are counted.
Time is the process's own, the best of the rounds.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Iterator

from tests.redaction.generating import Generator

from genesys_sync.redaction import Redactor
from genesys_sync.transcripts import Segment, Speaker, Transcript, Word

_SAID = """
thank you for calling how may I help you today
hi I have a question about my last bill there is something on it that I don't understand
sure I can help you with that let me just pull up your account one moment please
okay I see here that there was a change to your plan in march is that what you are asking about
yeah exactly I was told it would stay the same for at least two years
I do apologise for that I understand how frustrating this must be
so what I can do is I can put you back on the old plan and credit the difference
that would be great thank you so much
you are welcome is there anything else I can do for you
no I think that was all or actually yes one more thing
my internet has been dropping out in the evening around eight or nine o'clock
have you tried turning the router off and on again
I did and it works for an hour or so and then it is the same again
all right let me run a test on the line it will take about thirty seconds
are you still there
yes I am still here
so I do see some errors on the line I would like to send somebody out to have a look at it
the first available appointment is on thursday between ten and twelve would that work for you
thursday is not good I have to work what about friday afternoon
friday at two thirty is free
perfect let's do that
you will get a message to confirm and the technician will call before he comes
mm-hmm okay
great and have a nice day
you too bye
mhm
right
well to be honest I am quite disappointed because this is the third time that I call about it
I hear you and I will make a note so that you do not have to explain it again
what is it that you would recommend then
""".strip().splitlines()


def _segments(lines: Iterator[tuple[str, str]], size: int) -> Transcript:
    segments: list[Segment] = []
    clock, written = 0.0, 0
    while written < size:
        speaker, text = next(lines)
        words = []
        for word in text.split(" "):
            words.append(Word(text=word, start=clock, end=clock + 0.3, confidence=0.9))
            clock += 0.35
        segments.append(
            Segment(index=len(segments), speaker=Speaker(label=speaker), text=text, start=words[0].start, end=clock, words=tuple(words))
        )
        written += len(text.encode()) + 1
    return Transcript(conversation_id="c", source="benchmark", segments=tuple(segments))


def _conversation(seed: int) -> Iterator[tuple[str, str]]:
    """One case of the corpus to some forty ordinary turns: what a contact centre's hour of talk looks like."""
    choose = random.Random(seed)
    for case in Generator(seed).cases(1_000_000):
        for _ in range(choose.randrange(30, 50)):
            yield choose.choice(("agent", "customer")), choose.choice(_SAID)
        yield from case.lines


def _numbers(seed: int) -> Iterator[tuple[str, str]]:
    for case in Generator(seed).cases(1_000_000):
        yield from case.lines


def measure(megabytes: float, rounds: int) -> dict[str, float]:
    """MB of text a second, by kind of text."""
    redactor = Redactor()
    rates = {}
    for name, lines in (("conversations", _conversation(3)), ("numbers alone", _numbers(3))):
        transcript = _segments(lines, int(megabytes * 1e6))
        size = sum(len(segment.text.encode()) + 1 for segment in transcript.segments)
        best = float("inf")
        for _ in range(rounds):
            begun = time.process_time()
            redactor.redact(transcript)
            best = min(best, time.process_time() - begun)
        rates[name] = size / 1e6 / best
    return rates


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--megabytes", type=float, default=2.0)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    for name, rate in measure(options.megabytes, options.rounds).items():
        print(f"redaction  {name:<14} {rate:5.1f} MB of text a second on one core")


if __name__ == "__main__":
    main()
