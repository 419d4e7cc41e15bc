"""Set D, the half that is made from a seed: calls as recognisers write them, by an author who had not read the rules or the other sets.

Numbers are partly digits and partly words, said in pairs, with doubles, hundreds and "oh", spread over segments with the other side's
"mm-hm" between, corrected and read back; among them are numbers of the same look that are nobody's secret.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from tests.redaction.cases import Case, case_of
from tests.redaction.strangers_words import (
    FILLERS,
    HOSTS,
    MONTHS,
    NAMES,
    NATO,
    NODS,
    OPENINGS,
    ORDINALS,
    QUESTIONS,
    SCRIPTS,
    SEEMS,
    SURNAMES,
    TENS,
    UNITS,
)

T = TypeVar("T")


def _two(number: int) -> str:
    if number < 20:
        return UNITS[number]
    return TENS[number // 10] + (f" {UNITS[number % 10]}" if number % 10 else "")


class Strangers:
    """Cases made from one seed: the same seed makes the same cases."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._makers: tuple[Callable[[], str], ...] = (
            self._asked,
            self._asked,
            self._told,
            self._told,
            self._payment,
            self._seeming,
            self._seeming,
        )

    def cases(self, count: int) -> Iterator[Case]:
        for _ in range(count):
            yield case_of(self._random.choice(self._makers)())

    # Whole conversations.

    def _asked(self) -> str:
        kind = self._random.choice(list(QUESTIONS))
        return "\n".join([f"agent: {self._pick(QUESTIONS[kind])}", *self._answer(kind)])

    def _told(self) -> str:
        kind = self._random.choice(list(OPENINGS))
        line = f"{self._pick(OPENINGS[kind])} {self._marked(kind, self._value(kind))}"
        if self._random.random() < 0.25:
            line = f"{self._pick(('yeah', 'sure', 'okay', 'well'))} {line}"
        if self._random.random() < 0.25:
            line = f"{line} {self._pick(('thanks', 'if that helps', 'please', 'did you get that'))}"
        return self._dressed(line)

    def _payment(self) -> str:
        lines = [f"agent: your total is {self._price()}", "customer: okay"]
        for kind in ("CARD", "EXPIRY", "CVV"):
            lines += [f"agent: {self._pick(QUESTIONS[kind])}", *self._answer(kind)]
        lines.append(f"agent: thank you your confirmation number is {self._said(self._digits(5))}")
        return "\n".join(lines)

    def _seeming(self) -> str:
        return "\n".join(self._seems() for _ in range(self._random.randint(1, 3)))

    def _answer(self, kind: str) -> list[str]:
        value = self._value(kind)
        words = value.split(" ")
        if kind not in ("CARD", "SSN", "PHONE", "IBAN") or len(words) < 6 or self._random.random() < 0.4:
            lead = self._pick(("", "", "sure it's ", "yeah ", "uh ", "it's ", "that's ", "okay so "))
            return [f"customer: {lead}{self._marked(kind, value)}"]
        lines = []
        pieces = self._cut(words, self._random.randint(2, 4))
        for number, piece in enumerate(pieces):
            shown = self._marked(kind, " ".join(piece))
            if number and self._random.random() < 0.15:
                taken_back = self._marked(kind, self._said(self._digits(3)))
                shown = f"{taken_back} {self._pick(('no sorry', 'wait no', 'i mean', 'correction'))} {shown}"
            if self._random.random() < 0.2:
                shown = f"{self._pick(FILLERS)} {shown}"
            lines.append(f"customer: {shown}")
            if number < len(pieces) - 1:
                nod = self._pick(NODS) if self._random.random() < 0.8 else self._marked(kind, " ".join(piece))
                lines.append(f"agent: {nod}")
        return lines

    # Values.

    def _value(self, kind: str) -> str:
        makers: dict[str, Callable[[], str]] = {
            "CARD": lambda: self._number(self._pick("3456") + self._digits(15), (4, 4, 4, 4)),
            "SSN": lambda: self._number(self._digits(9), (3, 2, 4)),
            "PHONE": self._phone,
            "CVV": lambda: self._number(self._digits(3), (3,)),
            "EXPIRY": self._expiry,
            "DATE_OF_BIRTH": self._birth,
            "EMAIL": self._email,
            "IBAN": self._iban,
        }
        return makers[kind]()

    def _number(self, digits: str, groups: tuple[int, ...]) -> str:
        """`digits` as somebody says or writes them: in groups, each in a manner of its own or all in one."""
        style = self._random.random()
        if style < 0.12:
            return self._pick((" ", "-", "")).join(self._grouped(digits, groups))
        if style < 0.17:
            script = self._pick(SCRIPTS)
            return " ".join("".join(script[int(digit)] for digit in group) for group in self._grouped(digits, groups))
        if style < 0.22:
            return " ".join(digits)
        mixed = style < 0.5
        said = [
            group if mixed and self._random.random() < 0.4 else self._said(group, mixed=mixed and self._random.random() < 0.4)
            for group in self._grouped(digits, groups)
        ]
        return self._pick((" ", " ", ", ")).join(said)

    def _said(self, digits: str, *, mixed: bool = False) -> str:
        oh = self._pick(("oh", "zero", "o"))
        words: list[str] = []
        pairs = self._random.random() < 0.3
        position = 0
        while position < len(digits):
            rest = digits[position:]
            run = len(rest) - len(rest.lstrip(rest[0]))
            if run >= 3 and self._random.random() < 0.5:
                words.append(f"{self._pick(('triple', 'treble'))} {self._digit(rest[0], oh)}")
                position += 3
            elif run >= 2 and self._random.random() < 0.5:
                words.append(f"double {self._digit(rest[0], oh)}")
                position += 2
            elif rest[1:3] == "00" and rest[0] != "0" and self._random.random() < 0.5:
                words.append(f"{UNITS[int(rest[0])]} hundred")
                position += 3
            elif pairs and len(rest) >= 2 and rest[0] != "0":
                words.append(rest[:2] if mixed and self._random.random() < 0.4 else _two(int(rest[:2])))
                position += 2
            else:
                words.append(rest[0] if mixed and self._random.random() < 0.4 else self._digit(rest[0], oh))
                position += 1
        return " ".join(words)

    @staticmethod
    def _digit(digit: str, oh: str) -> str:
        return oh if digit == "0" else UNITS[int(digit)]

    def _phone(self) -> str:
        style = self._random.randrange(6)
        if style == 0:
            return self._number("07" + self._digits(9), (5, 3, 3))
        if style == 1:
            country = self._pick(("44", "49", "33", "34", "91", "61", "1"))
            return f"plus {self._said(country)} {self._number(self._pick('26789') + self._digits(8), (3, 3, 3))}"
        if style == 2:
            return f"({self._pick('2345')}{self._digits(2)}) 555-{self._digits(4)}"
        return self._number(self._pick("23456789") + self._digits(2) + "555" + self._digits(4), (3, 3, 4))

    def _expiry(self) -> str:
        month = self._random.randint(1, 12)
        year = self._random.randint(26, 33)
        spoken_month = f"{self._pick(('oh', 'zero'))} {UNITS[month]}" if month < 10 else UNITS[month]
        spoken_year = self._pick((_two(year), f"twenty {_two(year)}", f"two thousand {_two(year)}"))
        return self._pick(
            (
                f"{month:02}/{year}",
                f"{month:02}/20{year}",
                f"{month:02} {year}",
                f"{spoken_month} {spoken_year}",
                f"{spoken_month} slash {_two(year)}",
                f"{MONTHS[month - 1]} {spoken_year}",
                f"{MONTHS[month - 1]} 20{year}",
                f"{spoken_month} {year}",
            )
        )

    def _birth(self) -> str:
        day, month, year = self._random.randint(1, 28), self._random.randint(1, 12), self._random.randint(1940, 2006)
        ordinal = ORDINALS[day - 1] if day <= 20 else f"twenty {ORDINALS[day - 21]}"
        if year < 2000:
            spoken_year = self._pick((f"nineteen {_two(year % 100)}", _two(year % 100)))
        else:
            spoken_year = f"two thousand {UNITS[year % 100]}" if year > 2000 else "two thousand"
        return self._pick(
            (
                f"{MONTHS[month - 1]} {ordinal} {spoken_year}",
                f"the {ordinal} of {MONTHS[month - 1]} {spoken_year}",
                f"{_two(month)} {_two(day)} {spoken_year}",
                f"{month}/{day}/{year}",
                f"{day:02}.{month:02}.{year}",
                f"{year}-{month:02}-{day:02}",
                f"{MONTHS[month - 1].title()} {day}, {year}",
                f"{MONTHS[month - 1]} {day} {spoken_year}",
            )
        )

    def _email(self) -> str:
        first, last = self._pick(NAMES), self._pick(SURNAMES)
        number = self._random.randint(10, 99)
        host = self._pick(HOSTS)
        local = self._pick(
            (
                f"{first} dot {last}",
                f"{first[0]} dot {last}",
                f"{first} underscore {last} {_two(number)}",
                f"{first} {last}",
                f"{first} dash {last}",
                f"{' '.join(first)} {_two(number)}",
                f"{last} {UNITS[number // 10]} {UNITS[number % 10]}",
            )
        )
        if self._random.random() < 0.25:
            return f"{first}.{last}{number}@{host.replace(' dot ', '.').replace(' ', '')}"
        return f"{local} at {host}"

    def _iban(self) -> str:
        country, bank = self._pick((("DE", 20), ("FR", 25), ("ES", 22), ("NL", 0), ("GB", 0)))
        body = self._digits(2) + (self._digits(bank - 2) if bank else self._pick(("INGB", "NWBK", "ABNA")) + self._digits(10))
        code = country + body
        if self._random.random() < 0.3:
            return " ".join(code[i : i + 4] for i in range(0, len(code), 4))
        nato = self._random.random() < 0.5
        return " ".join(UNITS[int(sign)] if sign.isdigit() else NATO[ord(sign) - ord("A")] if nato else sign.lower() for sign in code)

    # What only seems to be one.

    def _seems(self) -> str:
        line = self._pick(SEEMS)
        for name, make in self._holes().items():
            while name in line:
                line = line.replace(name, make(), 1)
        return line

    def _holes(self) -> dict[str, Callable[[], str]]:
        holes: dict[str, Callable[[], str]] = {
            "{price}": self._price,
            "{date}": self._date,
            "{time}": lambda: (
                f"{UNITS[self._random.randint(1, 12)]} {self._pick(('thirty', 'fifteen', 'forty five', 'oh five', 'p m', 'a m'))}"
            ),
            "{house}": lambda: self._pick((_two(self._random.randint(10, 99)), str(self._random.randint(10, 4000)))),
            "{street}": lambda: self._pick(("maple street", "west elm avenue", "station road", "ocean drive apartment six")),
            "{age}": lambda: self._pick((_two(self._random.randint(20, 90)), str(self._random.randint(20, 90)))),
            "{year}": lambda: self._pick(("nineteen ninety eight", "twenty nineteen", "two thousand and four", "2016")),
            "{count}": lambda: self._pick((_two(self._random.randint(20, 99)), "two hundred and fifty", "a hundred", "1,200")),
            "{letters}": lambda: " ".join(self._random.choices("abdklsu", k=2)),
            "{name}": lambda: self._pick(NAMES),
        }
        for size in range(1, 8):
            holes[f"{{n{size}}}"] = lambda size=size: self._said(self._digits(size))  # type: ignore[misc]  # the default binds the size
            holes[f"{{d{size}}}"] = lambda size=size: self._pick("123456789") + self._digits(size - 1)  # type: ignore[misc]
        return holes

    def _price(self) -> str:
        dollars, cents = self._random.randint(2, 99), self._random.randint(10, 99)
        return self._pick(
            (
                f"{_two(dollars)} {_two(cents)}",
                f"{_two(dollars)} dollars",
                f"${dollars}.{cents}",
                f"{_two(dollars)} dollars and {_two(cents)} cents",
            )
        )

    def _date(self) -> str:
        month, day = self._pick(MONTHS), self._random.randint(1, 20)
        return self._pick((f"{month} {ORDINALS[day - 1]}", f"the {ORDINALS[day - 1]} of {month}", f"{month} {day}"))

    # Small things.

    def _pick(self, choices: Sequence[T]) -> T:
        return self._random.choice(choices)

    def _digits(self, count: int) -> str:
        return "".join(self._random.choices("0123456789", k=count))

    @staticmethod
    def _grouped(digits: str, groups: tuple[int, ...]) -> list[str]:
        ends = [sum(groups[: i + 1]) for i in range(len(groups))]
        return [digits[end - size : end] for size, end in zip(groups, ends, strict=True)]

    def _cut(self, words: list[str], pieces: int) -> list[list[str]]:
        size = -(-len(words) // pieces)
        return [words[i : i + size] for i in range(0, len(words), size)]

    @staticmethod
    def _marked(kind: str, value: str) -> str:
        return f"{{{kind}:{value}}}"

    def _dressed(self, line: str) -> str:
        """One call in four comes from a recogniser that writes capitals and full stops."""
        return f"{line[0].upper()}{line[1:]}." if self._random.random() < 0.25 else line
