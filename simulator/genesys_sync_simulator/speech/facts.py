"""Personal data as they are spoken: a value, its written forms, and the words in which a person says it. Pure.

No value belongs to anybody: area codes, card prefixes and domains are those set aside for examples, or drawn.
"""

from __future__ import annotations

import random
from dataclasses import dataclass

from genesys_sync_simulator.speech.phrases import Language

_MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_DAYS = (
    "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth", "thirteenth",
    "fourteenth", "fifteenth", "sixteenth", "seventeenth", "eighteenth", "nineteenth", "twentieth", "twenty first", "twenty second",
    "twenty third", "twenty fourth", "twenty fifth", "twenty sixth", "twenty seventh", "twenty eighth",
)  # fmt: skip
_TENS = {40: "forty", 50: "fifty", 60: "sixty", 70: "seventy", 80: "eighty", 90: "ninety"}
_NAMES = ("rosa.martinez", "tariq.haddad", "ingrid.lindqvist", "mateo.okafor", "clara.weber", "yusuf.demir")
_DOMAINS = ("example.com", "example.org", "mail.example.net")


@dataclass(frozen=True, slots=True)
class Value:
    """One piece of personal data. `written` are its usual spellings, the first one in groups, as a person would write it."""

    kind: str
    canonical: str
    written: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Spoken:
    """A value as it is said: one tuple of words for each turn of the speaker."""

    value: Value
    form: str
    turns: tuple[tuple[str, ...], ...]


def draw(chance: random.Random, kind: str, *, card_valid: float) -> Value:
    """A value of a kind. Card numbers pass the Luhn check in a share `card_valid` of cases."""
    match kind:
        case "card":
            return _card(chance, valid=chance.random() < card_valid)
        case "ssn":
            area = chance.choice([number for number in range(1, 900) if number != 666])
            return _grouped(kind, f"{area:03d}{chance.randrange(1, 100):02d}{chance.randrange(1, 10_000):04d}", (3, 2, 4), "-")
        case "phone":
            digits = f"{chance.choice((202, 317, 415, 646, 713))}555{chance.randrange(100, 200):04d}"
            first = _grouped(kind, digits, (3, 3, 4), "-")
            return Value(kind, digits, (*first.written, f"+1 {digits[:3]} {digits[3:6]} {digits[6:]}", f"+1{digits}"))
        case "email":
            address = f"{chance.choice(_NAMES)}{chance.randrange(10, 100)}@{chance.choice(_DOMAINS)}"
            return Value(kind, address, (address,))
        case "iban":
            return _iban(chance)
        case _:
            year, month, day = chance.randrange(1940, 2000), chance.randrange(1, 13), chance.randrange(1, 29)
            return Value(kind, f"{year}-{month:02d}-{day:02d}", (f"{month:02d}/{day:02d}/{year}", f"{year}-{month:02d}-{day:02d}"))


def speak(chance: random.Random, value: Value, form: str, language: Language) -> Spoken:
    """The value in one of the forms. What has no digits to double or to group is spoken in words."""
    units = [unit for group in _groups(value) for unit in group]
    if value.kind == "date_of_birth" and form != "digits":
        words = _date_words(value, language)
    elif form == "digits":
        words = [value.written[0]] if value.kind in ("email", "date_of_birth") else ["".join(group) for group in _groups(value)]
    elif form == "doubles":
        words = _doubled(units, language)
    else:
        words = [_unit(unit, language) for unit in units]
    if form == "fillers":
        words = _with_fillers(chance, words, language)
    turns = _cut(chance, words) if form == "broken" else (tuple(words),)
    return Spoken(value, form, tuple(tuple(word for words_of in turn for word in words_of.split()) for turn in turns))


def luhn(digits: str) -> int:
    """The check digit that makes `digits` plus it pass."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        number = int(digit) * (2 if place % 2 == 0 else 1)
        total += number - 9 if number > 9 else number
    return -total % 10


def _card(chance: random.Random, *, valid: bool) -> Value:
    prefix, length = chance.choice((("4", 16), ("51", 16), ("55", 16), ("37", 15)))
    body = prefix + "".join(str(chance.randrange(10)) for _ in range(length - len(prefix) - 1))
    check = luhn(body)
    digits = body + str(check if valid else (check + chance.randrange(1, 10)) % 10)
    return _grouped("card", digits, (4, 6, 5) if length == 15 else (4, 4, 4, 4), " ")


def _iban(chance: random.Random) -> Value:
    account = "".join(str(chance.randrange(10)) for _ in range(18))
    check = 98 - int(account + "131400") % 97  # D = 13, E = 14, and two zeros for the check digits
    iban = f"DE{check:02d}{account}"
    return _grouped("iban", iban, (4, 4, 4, 4, 4, 2), " ")


def _grouped(kind: str, text: str, sizes: tuple[int, ...], mark: str) -> Value:
    groups, start = [], 0
    for size in sizes:
        groups.append(text[start : start + size])
        start += size
    return Value(kind, text, tuple(dict.fromkeys((mark.join(groups), " ".join(groups), "-".join(groups), text))))


def _groups(value: Value) -> list[list[str]]:
    """The characters as they are said one after the other, in the groups in which they are written."""
    if value.kind == "email":
        return [list(_email_units(value.canonical))]
    return [list(group) for group in value.written[0].replace("-", " ").split()]


def _email_units(address: str) -> list[str]:
    units, name = [], ""
    for character in address:
        if character.isalpha():
            name += character
            continue
        units += [name] if name else []
        units.append(character)
        name = ""
    return [*units, name]


def _unit(unit: str, language: Language) -> str:
    if unit.isdecimal():
        return language.digits[int(unit)]
    return {"@": language.at, ".": language.dot}.get(unit, unit.lower())


def _doubled(units: list[str], language: Language) -> list[str]:
    words, place = [], 0
    while place < len(units):
        unit = units[place]
        run = 1
        while unit.isdecimal() and run < 3 and units[place + run : place + run + 1] == [unit]:
            run += 1
        name = language.oh if unit == "0" else _unit(unit, language)
        words.append(name if run == 1 else f"{language.double if run == 2 else language.triple} {name}")
        place += run
    return words


def _with_fillers(chance: random.Random, words: list[str], language: Language) -> list[str]:
    found: list[str] = []
    next_one = chance.randrange(2, 5)
    for number, word in enumerate(words):
        if number == next_one:
            found.append(chance.choice(language.fillers))
            next_one += chance.randrange(3, 6)
        found.append(word)
    return found


def _cut(chance: random.Random, words: list[str]) -> tuple[tuple[str, ...], ...]:
    size = max(1, -(-len(words) // chance.choice((2, 3, 4))))
    return tuple(tuple(words[start : start + size]) for start in range(0, len(words), size))


def _date_words(value: Value, language: Language) -> list[str]:
    """As English says a date; in other languages day, month and year digit by digit."""
    if not language.dialect.startswith("en"):
        return [language.digits[int(digit)] for part in reversed(value.canonical.split("-")) for digit in part]
    year, month, day = (int(part) for part in value.canonical.split("-"))
    tens, ones = year % 100 // 10 * 10, year % 10
    small = ("", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")[ones]
    return [_MONTHS[month - 1], _DAYS[day - 1], "nineteen", f"{_TENS[tens]} {small}".strip()]
