"""Who says what when in one recorded part of a call. Pure: the same seed and length give the same script, to the millisecond.

Times are seconds from the beginning of the recording.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

from genesys_sync_simulator.speech.facts import Spoken
from genesys_sync_simulator.speech.phrases import LANGUAGES, Language

INTERNAL, EXTERNAL = "internal", "external"
_FILLED = 0.9
"""This share of the time is talked through."""
_LATEST = 0.96
_GAP = 0.06


@dataclass(frozen=True, slots=True)
class Word:
    """One word and when it sounds."""

    text: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Utterance:
    """One turn of one speaker. `decorated` is the same with case, punctuation and written numbers."""

    index: int
    speaker: str
    language: str
    words: tuple[Word, ...]
    decorated: str
    sentiment: int

    @property
    def text(self) -> str:
        return " ".join(word.text for word in self.words)

    @property
    def start(self) -> float:
        return self.words[0].start

    @property
    def end(self) -> float:
        return self.words[-1].end

    @property
    def confidence(self) -> float:
        return round(sum(word.confidence for word in self.words) / len(self.words), 4)


@dataclass(frozen=True, slots=True)
class Spot:
    """Words of an utterance that tell personal data: from `first` up to and without `stop`."""

    utterance: int
    first: int
    stop: int


@dataclass(frozen=True, slots=True)
class Planted:
    """Personal data that are told somewhere in the script."""

    spoken: Spoken
    spots: tuple[Spot, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """Everything that is said, in the order in which it begins."""

    seconds: float
    utterances: tuple[Utterance, ...] = ()
    planted: tuple[Planted, ...] = ()

    @property
    def languages(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(utterance.language for utterance in self.utterances))


@dataclass(frozen=True, slots=True)
class _Turn:
    """What one side says before the other does. `told` are the words that tell the fact of number `fact`."""

    speaker: str
    language: str
    words: tuple[str, ...]
    decorated: str
    fact: int | None = None
    told: tuple[int, int] = (0, 0)


def write(
    chance: random.Random, seconds: float, language: str, *, changes_to: str | None = None, told: Sequence[Spoken] = (), brief: bool = False
) -> Script:
    """A script of that length. Personal data are told in the first language; `brief` ones consist of a greeting alone.

    When there is more to say than time, everybody speaks faster.
    """
    blocks = [[_line(chance, INTERNAL, language, 0)]]
    if brief:
        return _timed(chance, seconds, _flat(blocks), ())
    tellings = [_telling(chance, spoken, number, language) for number, spoken in enumerate(told)]
    blocks += _talk(chance, seconds - sum(map(_length, _flat(tellings))), language, changes_to)
    change = next((place for place, block in enumerate(blocks) if block[0].language != language), len(blocks))
    for number, telling in enumerate(tellings):
        blocks.insert(chance.randrange(1, change + 1 + number), telling)
    return _timed(chance, seconds, _flat(blocks), told)


def _flat(blocks: list[list[_Turn]]) -> list[_Turn]:
    return [turn for block in blocks for turn in block]


def _talk(chance: random.Random, seconds: float, language: str, changes_to: str | None) -> list[list[_Turn]]:
    """Question and answer until the time is filled; from its middle in the other language, if there is one."""
    blocks: list[list[_Turn]] = []
    used = 0.0
    while used < seconds * _FILLED or len(blocks) < (1 if changes_to is None else 2):
        spoken = changes_to if changes_to is not None and blocks and used >= seconds * _FILLED / 2 else language
        block = [_line(chance, EXTERNAL, spoken), _line(chance, INTERNAL, spoken)]
        blocks.append(block)
        used += sum(map(_length, block))
    return blocks


def _line(chance: random.Random, speaker: str, language: str, number: int | None = None) -> _Turn:
    lines = LANGUAGES[language].agent if speaker == INTERNAL else LANGUAGES[language].customer
    return _said(speaker, language, chance.choice(lines) if number is None else lines[number])


def _said(speaker: str, language: str, text: str) -> _Turn:
    return _Turn(speaker, language, tuple(text.split()), text[:1].upper() + text[1:] + ".")


def _telling(chance: random.Random, spoken: Spoken, number: int, language: str) -> list[_Turn]:
    """The agent asks, the customer tells, in one turn or in several with the agent's assent between."""
    words: Language = LANGUAGES[language]
    name = words.kinds[spoken.value.kind]
    block = [_said(INTERNAL, language, words.ask.format(name))]
    lead = tuple(words.tell.format(name).split())
    for place, turn in enumerate(spoken.turns):
        before = lead if place == 0 else ()
        text = " ".join((*before, *turn))
        # The platform's decorated text writes numbers in digits, also where the plain text has words.
        written = " ".join((*before, spoken.value.written[0])) if len(spoken.turns) == 1 and chance.random() < 0.5 else text
        block.append(
            _Turn(
                EXTERNAL,
                language,
                (*before, *turn),
                written[:1].upper() + written[1:] + ".",
                number,
                (len(before), len(before) + len(turn)),
            )
        )
        if place + 1 < len(spoken.turns):
            block.append(_said(INTERNAL, language, chance.choice(words.acknowledge)))
    return block


def _word_length(word: str) -> float:
    return min(1.2, 0.1 + 0.05 * len(word) + 0.15 * sum(character.isdecimal() for character in word))


def _length(turn: _Turn) -> float:
    return sum(_word_length(word) + _GAP for word in turn.words) + 0.2


def _timed(chance: random.Random, seconds: float, turns: list[_Turn], told: Sequence[Spoken]) -> Script:
    starts: list[float] = []
    cursor = 0.25
    for turn, following in zip(turns, [*turns[1:], None], strict=True):
        starts.append(cursor)
        # Now and then one side begins before the other has quite ended.
        interrupts = following is not None and following.speaker != turn.speaker
        cursor += _length(turn) + chance.uniform(-0.3 if interrupts else 0.0, 0.3)
    pace = min(1.0, seconds * _LATEST / cursor)
    utterances: list[Utterance] = []
    spots: list[list[Spot]] = [[] for _ in told]
    for index, (turn, start) in enumerate(zip(turns, starts, strict=True)):
        words, at = [], start
        for text in turn.words:
            end = at + _word_length(text)
            words.append(Word(text, round(at * pace, 3), round(end * pace, 3), round(chance.uniform(0.62, 0.99), 3)))
            at = end + _GAP
        utterances.append(Utterance(index, turn.speaker, turn.language, tuple(words), turn.decorated, chance.choice((-1, 0, 0, 0, 1))))
        if turn.fact is not None:
            spots[turn.fact].append(Spot(index, *turn.told))
    planted = tuple(Planted(spoken, tuple(found)) for spoken, found in zip(told, spots, strict=True))
    return Script(seconds, tuple(utterances), planted)
