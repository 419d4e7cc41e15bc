"""Conversations in which numbers are given as people under way give them: with restarts, corrections, asides, homophones, echoes.

Written by another author than `generating` and than the rules' first ones, with other habits: what stands between the digits is what was
overheard, not what the rules know. The same seed gives the same cases.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence

from tests.redaction.cases import Case, case_of

_ONES = ["oh", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
_TEENS = ["ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
_TENS = ["x", "x", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_HEARD = {"1": ("won",), "2": ("to", "too"), "4": ("for",), "8": ("ate",)}
_NOISES = ("uh", "um", "er", "hmm", "erm")
_ASIDES = (
    "hang on a second", "let me get my glasses", "it's a bit faded", "bear with me", "can you hear me okay", "is that too fast",
    "where was I", "sorry my kid is screaming", "the light is terrible in here", "are you getting this", "let me flip it over", "oops",
)  # fmt: skip
_CORRECTIONS = ("no wait", "sorry", "scratch that", "I mean", "no that's wrong", "let me start over", "correction", "actually no")
_ANSWERS = ("mm hmm", "uh huh", "okay", "go ahead", "got that", "yep", "I'm listening", "alright and then", "perfect", "what's next")
_QUESTIONS = {
    "CARD": (
        "what's the card number",
        "could I take payment now what's the number on your card",
        "read me the sixteen digits on the card please",
    ),
    "PHONE": (
        "what's the best phone number for you",
        "and a callback number in case we get cut off your cell",
        "can I have your mobile number",
    ),
    "SSN": ("I need your social security number for verification", "can you give me your full social"),
    "NUMBER": ("what's the account number", "can I have your member number please", "and the policy number"),
}
_SIZES = {"CARD": (16, 16, 16, 15), "PHONE": (10, 11), "SSN": (9,), "NUMBER": (8, 9, 10)}
_HARMLESS = (
    "I've been on hold for {small} minutes and it's the {ordinal} time this week",
    "the bill went from {price} to {price} and nobody told me",
    "my order number is {order} from {month} {day}",
    "it says error {three} on the screen then {three} again",
    "we're a family of {small} and we've got {small} lines",
    "the appointment is at {hour} {minutes} on the {ordinal}",
    "from {year} until {year} I was with the other company",
    "so for {small} to {small} dollars more I get {three} megabits",
    "that's flight {three} at gate {small} leaving {hour} {minutes}",
    "the score was {small} to {small} and we waited for {small} hours too",
    "invoice {order} was for {price}",
    "I live at number {three} and the zip is {zip}",
)


class Noisy:
    """Cases from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(f"noise {seed}")

    def cases(self, count: int) -> Iterator[Case]:
        for number in range(count):
            yield case_of(self._harmless() if number % 3 == 2 else self._given())

    def _given(self) -> str:
        kind = self._random.choice(list(_QUESTIONS))
        digits = "".join(self._random.choices("0123456789", k=self._random.choice(_SIZES[kind])))
        digits = self._random.choice("456" if kind == "CARD" else "23456789") + digits[1:]
        lines = [f"agent: {self._random.choice(_QUESTIONS[kind])}"] if self._random.random() < 0.8 else []
        groups = self._groups(digits)
        turns = self._random.choice((1, 1, 2, 3, len(groups)))
        per_turn = -(-len(groups) // turns)
        lead = self._random.choice(("", "yeah it's ", "sure so ", "okay um ", "that would be "))
        for begin in range(0, len(groups), per_turn):
            said = self._turn(kind, groups[begin : begin + per_turn])
            lines.append("customer: " + self._cased(lead + said))
            lead = self._random.choice(("", "", "and ", "then "))
            if begin + per_turn < len(groups):
                lines.append(self._reply(kind, groups[begin + per_turn - 1]))
        return "\n".join(lines)

    def _groups(self, digits: str) -> list[str]:
        groups = []
        while digits:
            size = self._random.choice((3, 4, 4, 4, 5))
            if len(digits) - size < 3:
                size = len(digits) if len(digits) <= 5 else len(digits) // 2
            groups.append(digits[:size])
            digits = digits[size:]
        return groups

    def _turn(self, kind: str, groups: Sequence[str]) -> str:
        pieces: list[str] = []
        for group in groups:
            chance = self._random.random()
            if chance < 0.08:
                wrong = "".join(self._random.choices("123456789", k=len(group)))
                pieces += [self._marked(kind, wrong), self._random.choice(_CORRECTIONS)]
            elif chance < 0.16 and pieces:
                pieces.append(self._random.choice(_ASIDES))
            elif chance < 0.24:
                pieces += [self._marked(kind, group[:2]), self._random.choice(_NOISES)]  # a restart
            pieces.append(self._marked(kind, group))
        return " ".join(pieces)

    def _marked(self, kind: str, digits: str) -> str:
        return f"{{{kind}:{self._said(digits)}}}"

    def _said(self, digits: str) -> str:
        if self._random.random() < 0.15:
            return self._random.choice(("", " ")).join(digits)
        words: list[str] = []
        paired = self._random.random() < 0.2
        i = 0
        while i < len(digits):
            rest = digits[i:]
            if rest[:3] == rest[:1] * 3 and self._random.random() < 0.5:
                words.append(f"triple {_ONES[int(rest[0])]}")
                i += 3
            elif rest[:2] == rest[:1] * 2 and self._random.random() < 0.4:
                words.append(f"double {_ONES[int(rest[0])]}")
                i += 2
            elif paired and len(rest) > 1 and rest[0] != "0":
                words.append(self._pair(rest[:2]))
                i += 2
            else:
                words.append(self._digit(rest[0], heard=not paired and i > 0))
                i += 1
        return " ".join(words)

    def _digit(self, digit: str, *, heard: bool) -> str:
        if heard and digit in _HEARD and self._random.random() < 0.1:
            return self._random.choice(_HEARD[digit])
        if digit == "0":
            return self._random.choice(("zero", "oh", "oh", "o"))
        return _ONES[int(digit)]

    def _pair(self, pair: str) -> str:
        if pair[0] == "1":
            return _TEENS[int(pair[1])]
        return _TENS[int(pair[0])] + ("" if pair[1] == "0" else " " + _ONES[int(pair[1])])

    def _reply(self, kind: str, last: str) -> str:
        chance = self._random.random()
        if chance < 0.6:
            return f"agent: {self._random.choice(_ANSWERS)}"
        if chance < 0.8:
            return f"agent: {self._marked(kind, last)} {self._random.choice(('okay', 'right', 'and'))}"
        return f"agent: {self._random.choice(('sorry', 'okay', 'so'))} {self._marked(kind, last)} is that right"

    def _cased(self, text: str) -> str:
        chance = self._random.random()
        if chance < 0.7:
            return text
        if text[0] != "{":
            text = text[0].upper() + text[1:]
        return text.replace("} {", "}, {") + "." if chance < 0.9 else text + "?"

    def _harmless(self) -> str:
        choose = self._random
        values: dict[str, Callable[[], str]] = {
            "small": lambda: choose.choice(_ONES[2:]),
            "ordinal": lambda: choose.choice(("second", "third", "fourth", "fifth", "twelfth")),
            "price": lambda: choose.choice(
                (f"{choose.randrange(10, 400)}.{choose.randrange(10, 99)}", f"{self._pair(str(choose.randrange(20, 99)))} ninety nine")
            ),
            "order": lambda: self._said(str(choose.randrange(100_000, 99_999_999))),
            "month": lambda: choose.choice(("march", "july", "november")),
            "day": lambda: choose.choice(("third", "ninth", "twenty first")),
            "three": lambda: self._said(str(choose.randrange(100, 999))),
            "hour": lambda: choose.choice(("nine", "ten", "four")),
            "minutes": lambda: choose.choice(("fifteen", "thirty", "forty five")),
            "year": lambda: choose.choice(("2014", "nineteen ninety eight", "twenty twenty one", "two thousand six")),
            "zip": lambda: self._said(str(choose.randrange(10_000, 99_999))),
        }
        lines = []
        for speaker in ("customer", "agent")[: choose.choice((1, 2))]:
            template = choose.choice(_HARMLESS)
            while "{" in template:
                name = template[template.index("{") + 1 : template.index("}")]
                template = template.replace("{" + name + "}", values[name](), 1)
            lines.append(f"{speaker}: {template}")
        return "\n".join(lines)
