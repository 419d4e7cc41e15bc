"""The seeded half of the corpus: the same seed gives the same cases. It knows how people say numbers, and nothing of the rules."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator

from tests.redaction.cases import Case, case_of

_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = ("ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")
_TENS = ("", "", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_GERMAN = ("null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun")
_FRENCH = ("zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf")
_SPANISH = ("cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve")
_MONTHS = ["january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november", "december"]
_ORDINALS = ["first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth"]
_NOISES = ("um", "uh", "er")
_OTHER_ZEROS = (chr(0x660), chr(0x966), chr(0xFF10), chr(0x9E6))  # Arabic-Indic, Devanagari, full-width, Bengali
_FIRST_NAMES = ("anna", "peter", "lena", "omar", "ines", "tom")
_LAST_NAMES = ("fischer", "novak", "diaz", "moreau", "okafor", "brown")
_DOMAINS = ("example", "gmail", "firma", "mailbox")


class Generator:
    """Cases from a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def cases(self, count: int) -> Iterator[Case]:
        makers: tuple[Callable[[], str], ...] = (
            self._card, self._card, self._card_dictated, self._phone, self._phone_dictated, self._ssn, self._email, self._iban,
            self._expiry, self._cvv, self._birth, self._account, self._order, self._time, self._price, self._date, self._quantity,
            self._room, self._years,
        )  # fmt: skip
        for number in range(count):
            yield case_of(makers[number % len(makers)]())

    def _one(self, *of: str) -> str:
        return self._random.choice(of)

    def _number(self, digits: int) -> str:
        return str(self._random.randrange(1, 10)) + "".join(str(self._random.randrange(10)) for _ in range(digits - 1))

    def _card_number(self) -> str:
        digits = self._one("4", "51", "55", "37", "6011") + self._number(20)
        length = 15 if digits.startswith("37") else 16
        body = digits[: length - 1]
        odd = sum(sum(divmod(int(c) * 2, 10)) for c in body[::-1][::2])
        check = -(odd + sum(int(c) for c in body[::-1][1::2])) % 10
        return body + (str(check) if self._random.random() < 0.8 else self._one(*"0123456789"))

    def _spoken(self, digits: str) -> str:
        """One way to say them: singly, in pairs, doubled, with noises, or in another language."""
        way = self._random.randrange(6)
        if way == 0:
            language = self._random.choice((_GERMAN, _FRENCH, _SPANISH))
            return " ".join(language[int(c)] for c in digits)
        words: list[str] = []
        i = 0
        while i < len(digits):
            pair = digits[i : i + 2]
            if way == 1 and len(pair) == 2 and pair[0] == pair[1]:
                words += ["double", self._digit(pair[0])]
                i += 2
            elif way == 2 and len(pair) == 2 and pair[0] != "0":
                words.append(self._pair(int(pair)))
                i += 2
            else:
                words.append(self._digit(digits[i]))
                i += 1
            if way == 3 and self._random.random() < 0.15:
                words.append(self._one(*_NOISES))
            if way == 4 and self._random.random() < 0.25 and i < len(digits):
                words[-1] += ","
        while words[-1] in _NOISES:
            words.pop()
        return " ".join(words)

    def _digit(self, digit: str) -> str:
        return self._one("oh", "zero") if digit == "0" else _DIGITS[int(digit)]

    def _pair(self, value: int) -> str:
        if value < 20:
            return _TEENS[value - 10]
        unit = value % 10
        return _TENS[value // 10] + (self._one("-", " ") + _DIGITS[unit] if unit else "")

    def _written(self, digits: str) -> str:
        way = self._random.randrange(4)
        if way == 0:
            return digits
        if way == 1:
            zero = self._one(*_OTHER_ZEROS)
            return "".join(chr(ord(zero) + int(c)) for c in digits)
        return self._one(" ", "-", ", ").join(digits[i : i + 4] for i in range(0, len(digits), 4))

    def _said(self, digits: str) -> str:
        return self._spoken(digits) if self._random.random() < 0.6 else self._written(digits)

    def _card(self) -> str:
        number = self._said(self._card_number())
        return self._one(
            f"my card number is {{CARD:{number}}}",
            f"it's {{CARD:{number}}} okay",
            f"{{CARD:{number}}}",
            f"you can charge {{CARD:{number}}} please",
        )

    def _dictated(self, kind: str, groups: list[str]) -> list[str]:
        lines = []
        for group in groups:
            said = self._spoken(group)
            lines.append(f"customer: {self._one('', '', 'um ', 'and then ')}{{{kind}:{said}}}")
            answer = self._random.randrange(4)
            if answer == 0:
                lines.append(f"agent: {self._one('okay', 'mm-hmm', 'yes', 'got it', 'go ahead')}")
            elif answer == 1:
                lines.append(f"agent: {{{kind}:{said}}}{self._one('', ' yes', ', okay')}")
        return lines

    def _card_dictated(self) -> str:
        digits = self._card_number()
        asked = self._one("agent: can I take the card number please", "agent: and the long number on the front of the card")
        return "\n".join([asked, *self._dictated("CARD", [digits[i : i + 4] for i in range(0, len(digits), 4)])])

    def _phone_digits(self) -> str:
        return self._one("415", "212", "305", "617") + self._number(3) + self._number(4)

    def _phone(self) -> str:
        digits = self._phone_digits()
        written = self._one(
            f"({digits[:3]}) {digits[3:6]}-{digits[6:]}", f"+1 {digits[:3]} {digits[3:6]} {digits[6:]}", digits, f"+44 20 7946 {digits[6:]}"
        )
        number = self._spoken(digits) if self._random.random() < 0.6 else written
        return self._one(
            f"you can reach me at {{PHONE:{number}}}", f"my number is {{PHONE:{number}}}", f"call {{PHONE:{number}}} after five please"
        )

    def _phone_dictated(self) -> str:
        digits = self._phone_digits()
        return "\n".join(["agent: what's a good phone number for you", *self._dictated("PHONE", [digits[:3], digits[3:6], digits[6:]])])

    def _ssn(self) -> str:
        digits = self._number(9)
        number = self._spoken(digits) if self._random.random() < 0.6 else self._one(f"{digits[:3]}-{digits[3:5]}-{digits[5:]}", digits)
        return self._one(
            f"my social is {{SSN:{number}}}",
            f"social security number {{SSN:{number}}}",
            f"the last four of my social are {{SSN:{self._spoken(digits[-4:])}}}",
        )

    def _email(self) -> str:
        first, last, domain = self._one(*_FIRST_NAMES), self._one(*_LAST_NAMES), self._one(*_DOMAINS)
        joint, spoken = self._random.choice(((".", " dot "), ("_", " underscore "), ("-", " dash "), ("", "")))
        if self._random.random() < 0.5:
            address = f"{first}{joint}{last}@{domain}.{self._one('com', 'org', 'co.uk')}"
        else:
            address = f"{first}{spoken}{last} at {domain} dot {self._one('com', 'org', 'co dot uk')}"
        return self._one(f"my email is {{EMAIL:{address}}}", f"send it to {{EMAIL:{address}}} please", f"it's {{EMAIL:{address}}}")

    def _iban(self) -> str:
        country, bank, length = self._random.choice((("DE", "", 18), ("GB", "NWBK", 14), ("NL", "ABNA", 10), ("ES", "", 20)))
        iban = country + self._number(2) + bank + self._number(length)
        if self._random.random() < 0.5:
            return f"my iban is {{IBAN:{' '.join(iban[i : i + 4] for i in range(0, len(iban), 4))}}}"
        return f"the iban is {{IBAN:{' '.join(c.lower() if c.isalpha() else _DIGITS[int(c)] for c in iban)}}}"

    def _expiry(self) -> str:
        month, year = self._random.randrange(1, 13), self._random.randrange(26, 33)
        said = self._one(
            f"{month:02}/{year}", f"{month:02} {year}", f"{_MONTHS[month - 1]} twenty {self._pair(year)}", self._spoken_date(month, year)
        )
        return self._one(
            f"expiry date {{EXPIRY:{said}}}",
            f"it expires {{EXPIRY:{said}}}",
            f"agent: and the expiration date\ncustomer: {{EXPIRY:{said}}}",
        )

    def _spoken_date(self, month: int, year: int) -> str:
        return f"{'oh ' + _DIGITS[month] if month < 10 else _TEENS[month - 10]} {self._pair(year)}"

    def _cvv(self) -> str:
        digits = self._number(3)
        said = self._one(digits, " ".join(_DIGITS[int(c)] for c in digits))
        return self._one(
            f"the security code is {{CVV:{said}}}",
            f"cvv {{CVV:{said}}}",
            f"agent: and the three digits on the back\ncustomer: {{CVV:{said}}}",
        )

    def _birth(self) -> str:
        month, day, year = self._random.randrange(12), self._random.randrange(12), self._random.randrange(40, 100)
        said = self._one(
            f"{month + 1:02}/{day + 1:02}/19{year}",
            f"{_MONTHS[month]} {_ORDINALS[day]} nineteen {self._pair(year)}",
            f"the {_ORDINALS[day]} of {_MONTHS[month]} 19{year}",
        )
        return self._one(
            f"my date of birth is {{DATE_OF_BIRTH:{said}}}",
            f"I was born on {{DATE_OF_BIRTH:{said}}}",
            f"agent: date of birth please\ncustomer: {{DATE_OF_BIRTH:{said}}}",
        )

    def _account(self) -> str:
        said = self._said(self._number(self._random.randrange(8, 13)))
        return f"my account number is {{NUMBER:{said}}}"

    def _order(self) -> str:
        digits = self._number(self._random.randrange(5, 10))
        said = self._one(digits, " ".join(_DIGITS[int(c)] for c in digits))
        return f"{self._one('my order number is', 'ticket number', 'the case number was', 'reference number', 'invoice')} {said}"

    def _time(self) -> str:
        hour, minute = self._random.randrange(1, 12), self._random.randrange(10, 60)
        return self._one(
            f"call me at {hour}:{minute} tomorrow",
            f"at {self._digit(str(hour % 10 + 1)[0])} {self._pair(minute)} in the morning",
            f"between {hour}:15 and {hour + 1}:{minute} please",
        )

    def _price(self) -> str:
        whole = self._random.randrange(100, 10_000)
        return self._one(
            f"that is ${whole:,}.99 in total",
            f"it costs {whole} dollars and 50 cents",
            f"we paid {whole}.00 euros",
            "two hundred and fifty dollars a month",
        )

    def _date(self) -> str:
        day = self._random.randrange(1, 29)
        return self._one(
            f"on 2026-11-{day:02} at noon",
            f"it arrived on {day:02}/11/2026",
            f"on {_MONTHS[day % 12]} {day} 2026",
            f"the {_ORDINALS[day % 12]} of {_MONTHS[day % 12]} twenty twenty six",
        )

    def _quantity(self) -> str:
        n = self._random.randrange(2, 999)
        return self._one(
            f"I'd like {n} of them and {n + 3} of those",
            f"{n} people and {n * 2} chairs",
            "about three hundred and forty units",
            f"{n} percent of the 1,250,000 users",
        )

    def _room(self) -> str:
        digits = self._number(4)
        said = " ".join(_DIGITS[int(c)] for c in digits)
        return self._one(f"room {digits} please", f"agent: which room\ncustomer: {said}\nagent: {said}, thank you")

    def _years(self) -> str:
        year = self._random.randrange(1980, 2020)
        return self._one(f"from {year} to {year + 6}", f"in {year} we moved and in {year + 9} we came back", "back in nineteen ninety four")
