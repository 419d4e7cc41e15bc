"""How numbers, months and the noises between them are spoken: English complete; six languages more to 99, and compounds.

Words of all the languages are looked up whatever language a segment claims: speech recognition mistakes the language more often
than a wrong guess costs, and a single number word hides nothing.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import Enum
from typing import Final


class Kind(Enum):
    """What a word is to a number."""

    DIGITS = "digits"  # a value that is said as it stands: 0 to 19, "veintiuno", "4111"
    TENS = "tens"  # twenty … ninety: takes a unit after it
    HUNDRED = "hundred"
    HUNDREDS = "hundreds"  # several in one word, "seiscientos": takes all below a hundred after it
    SCALE = "scale"  # thousand and above
    TIMES = "times"  # double, triple: the next digit again
    DATE = "date"  # a month or an ordinal: carries no digits, but makes a date of its neighbours
    DOT = "dot"  # the word between the parts of a spoken address


@dataclass(frozen=True, slots=True)
class Sound:
    """A word that belongs to numbers. `weak`: it is a common word too, and counts beside a number only."""

    kind: Kind
    digits: str = ""
    weak: bool = False


def word_set(words: str) -> frozenset[str]:
    """The words of a list with blanks between them."""
    return frozenset(words.split())


def _put(into: dict[str, Sound], words: str, sound: Sound) -> None:
    for word in words.split():
        into.setdefault(word, sound)


_ENGLISH_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
)
_ENGLISH_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_GERMAN_UNITS = (
    "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn siebzehn achtzehn neunzehn"
)
_GERMAN_TENS = "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig"
_FRENCH_UNITS = "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize"
_FRENCH_TENS = "vingt trente quarante cinquante soixante septante huitante nonante"
_SPANISH_UNITS = (
    "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis diecisiete dieciocho diecinueve"
    " veinte veintiuno veintidós veintitrés veinticuatro veinticinco veintiséis veintisiete veintiocho veintinueve"
)
_SPANISH_HUNDREDS = "doscientos trescientos cuatrocientos quinientos seiscientos setecientos ochocientos novecientos"
_SPANISH_TENS = "treinta cuarenta cincuenta sesenta setenta ochenta noventa"
_ITALIAN_UNITS = (
    "zero - - tre quattro cinque sei sette otto nove dieci undici dodici tredici quattordici quindici sedici diciassette diciotto"
    " diciannove"
)
_ITALIAN_TENS = "venti trenta quaranta cinquanta sessanta settanta ottanta novanta"
_DUTCH_UNITS = (
    "nul - twee drie vier vijf zes zeven acht negen tien elf twaalf dertien veertien vijftien zestien zeventien achttien negentien"
)
_DUTCH_TENS = "twintig dertig veertig vijftig zestig zeventig tachtig negentig"
_PORTUGUESE_UNITS = (
    "zero - dois três quatro cinco seis sete oito nove dez onze doze treze catorze quinze dezesseis dezessete dezoito dezenove"
)
_PORTUGUESE_TENS = "vinte trinta quarenta cinquenta sessenta setenta oitenta noventa"
_OTHER_SCRIPTS = (
    "शून्य एक दो तीन चार पांच छह सात आठ नौ",
    "शून्य एक दो तीन चार पाँच छः सात आठ नौ",
    "صفر واحد اثنان ثلاثة أربعة خمسة ستة سبعة ثمانية تسعة",
    "صفر واحد اثنين ثلاثه اربعة خمسه سته سبعه ثمانيه تسعه",
    "ноль один два три четыре пять шесть семь восемь девять",
)
_ORDINALS = (
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth"
    " seventeenth eighteenth nineteenth twentieth thirtieth premier primero"
)
_GERMAN_ORDINALS = (
    "erst zweit dritt viert fünft sechst siebt siebent acht neunt zehnt elft zwölft dreizehnt vierzehnt fünfzehnt sechzehnt siebzehnt"
    " achtzehnt neunzehnt zwanzigst dreißigst"
)
_MONTHS = (
    "january february march april may june july august september october november december"
    " jan feb mar apr jun jul aug sep sept oct nov dec"
    " januar jänner februar märz mai juni juli oktober dezember"
    " janvier février mars avril juin juillet août septembre octobre novembre décembre"
    " gennaio febbraio marzo aprile maggio giugno luglio settembre ottobre dicembre"
    " januari februari maart mei augustus"
    " janeiro fevereiro março abril maio junho julho setembro outubro novembro dezembro"
    " enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre"
)
_WEAK: Final = frozenset(
    {"un", "once", "six", "dos", "oh", "o", "cent", "null", "elf", "may", "march", "second", "sei", "otto", "ought"}
) - {
    "six",
    "dos",
    "null",
}


def _german_below_hundred() -> dict[int, str]:
    units = _GERMAN_UNITS.split()
    words = dict(enumerate(units))
    for tens, word in enumerate(_GERMAN_TENS.split(), start=2):
        words[tens * 10] = word
        for unit in range(1, 10):
            words[tens * 10 + unit] = ("ein" if unit == 1 else units[unit]) + "und" + word
    return words


def _german(into: dict[str, Sound]) -> None:
    below = _german_below_hundred()
    for value, word in below.items():
        into.setdefault(word, Sound(Kind.DIGITS, str(value)))
    for hundreds in (*range(1, 10), *range(11, 20)):
        stem = ("ein" if hundreds == 1 else below[hundreds]) + "hundert"
        for rest, word in below.items():
            into.setdefault(stem + (word if rest else ""), Sound(Kind.DIGITS, str(hundreds * 100 + rest)))
    _put(into, "hundert", Sound(Kind.HUNDRED))
    _put(into, "tausend", Sound(Kind.SCALE, "000"))
    _put(into, "zwo", Sound(Kind.DIGITS, "2"))
    _put(into, "fuffzig", Sound(Kind.TENS, "50"))


def _dutch_and_italian(into: dict[str, Sound]) -> None:
    """Their numbers of one word: "vijfenveertig", "quarantacinque"."""
    italian = dict(enumerate(_ITALIAN_UNITS.split()[:10])) | {1: "uno", 2: "due"}
    dutch = dict(enumerate(_DUTCH_UNITS.split()[:10])) | {1: "een"}
    for tens, (stem, word) in enumerate(zip(_ITALIAN_TENS.split(), _DUTCH_TENS.split(), strict=True), start=2):
        for unit in range(1, 10):
            value = Sound(Kind.DIGITS, str(tens * 10 + unit))
            into.setdefault((stem[:-1] if unit in (1, 8) else stem) + italian[unit], value)
            into.setdefault(f"{dutch[unit]}{'ën' if dutch[unit].endswith('e') else 'en'}{word}", value)
    for hundreds, word in enumerate(_DUTCH_UNITS.split()):
        if hundreds > 1:
            _put(into, f"{word}honderd", Sound(Kind.HUNDREDS, str(hundreds * 100)))
    for rest in range(100):  # years, in one word
        tens, unit = divmod(rest, 10)
        stem = _ITALIAN_TENS.split()[tens - 2]
        said = _ITALIAN_UNITS.split()[rest] if rest < 20 else (stem[:-1] if unit in (1, 8) else stem) + (italian[unit] if unit else "")
        if said != "-":
            _put(into, f"millenovecento{said} millenovecent{said}" if rest else "millenovecento", Sound(Kind.DIGITS, str(1900 + rest)))
            _put(into, f"duemila{said}" if rest else "duemila", Sound(Kind.DIGITS, str(2000 + rest)))


def _built() -> dict[str, Sound]:
    words: dict[str, Sound] = {}
    for list_of_units in (_ENGLISH_UNITS, _FRENCH_UNITS, _SPANISH_UNITS, _ITALIAN_UNITS, _DUTCH_UNITS, _PORTUGUESE_UNITS, *_OTHER_SCRIPTS):
        for value, word in enumerate(list_of_units.split()):
            if word != "-":
                words.setdefault(word, Sound(Kind.DIGITS, str(value), weak=word in _WEAK))
    for list_of_tens in (_ENGLISH_TENS, _FRENCH_TENS, _ITALIAN_TENS, _DUTCH_TENS, _PORTUGUESE_TENS):
        for value, word in enumerate(list_of_tens.split(), start=2):
            words.setdefault(word, Sound(Kind.TENS, str(value * 10)))
    for value, word in enumerate(_SPANISH_TENS.split(), start=3):
        words.setdefault(word, Sound(Kind.TENS, str(value * 10)))
    _german(words)
    _dutch_and_italian(words)
    for word, digits in {
        "oh": "0",
        "o": "0",
        "nought": "0",
        "naught": "0",
        "aught": "0",
        "ought": "0",
        "nil": "0",
        "niner": "9",
        "fife": "5",
        "fourty": "40",
    }.items():
        words.setdefault(word, Sound(Kind.DIGITS, digits, weak=word in _WEAK))
    _put(words, "une ein eine", Sound(Kind.DIGITS, "1", weak=True))
    _put(words, "hundred cien ciento honderd cento", Sound(Kind.HUNDRED))
    _put(words, "cent cents", Sound(Kind.HUNDRED, weak=True))
    _put(words, "vingts", Sound(Kind.TENS, "20"))
    _put(words, "thousand mille mil duizend", Sound(Kind.SCALE, "000"))
    _put(words, "million millions millionen millones billion billions trillion milliarden", Sound(Kind.SCALE, "000000"))
    for value, word in enumerate(_SPANISH_HUNDREDS.split(), start=2):
        words[word] = Sound(Kind.HUNDREDS, str(value * 100))
    _put(words, "double doppelt doppel doble", Sound(Kind.TIMES, "2", weak=True))
    _put(words, "triple treble dreifach", Sound(Kind.TIMES, "3", weak=True))
    _put(words, "quadruple", Sound(Kind.TIMES, "4", weak=True))
    _put(words, _MONTHS, Sound(Kind.DATE, weak=True))
    _put(words, _ORDINALS, Sound(Kind.DATE, weak=True))
    tens = [f"{unit}und{word}st" for unit in ("ein", *_GERMAN_UNITS.split()[2:10]) for word in ("zwanzig", "dreißig")]
    for stem in (*_GERMAN_ORDINALS.split(), *tens):
        _put(words, f"{stem}e {stem}en {stem}er", Sound(Kind.DATE, weak=True))
    _put(words, "dot point punkt punto punt ponto", Sound(Kind.DOT, weak=True))
    return _with_plain_spellings(words)


def _with_plain_spellings(words: dict[str, Sound]) -> dict[str, Sound]:
    """Recognisers drop accents, write ss for ß and ue for ü: each spelling is the same sound."""
    for word, sound in list(words.items()):
        if not word.isascii():
            plain = "".join(c for c in unicodedata.normalize("NFD", word) if not unicodedata.combining(c))
            german = word.replace("ü", "ue").replace("ö", "oe").replace("ä", "ae")
            for spelling in (plain, plain.replace("ß", "ss"), german, german.replace("ß", "ss"), word.replace("ß", "ss")):
                words.setdefault(spelling, sound)
    return words


SOUNDS: Final = _built()
"""Every word of numbers, lower case."""

DIGIT_IDEOGRAPHS: Final = {c: str(i) for i, c in enumerate("〇一二三四五六七八九")} | {
    c: str(i) for i, c in enumerate("零壹贰叁肆伍陆柒捌玖")
}

MONTHS: Final = frozenset(_MONTHS.split())

FILLERS: Final = word_set(
    """
    um uh er erm hm hmm mm mhm uhm ah eh like hyphen dash dot point slash space comma stroke bar colon then next plus and y et und minus
    bindestrich strich punkt tiret guion guión punto äh ähm euh este pues so well again repeat st nd rd th of
    """
)
"""What may stand between the digits of one number."""

SOFT: Final = FILLERS | word_set(
    """
    yes yeah yep yup okay ok right correct sure alright good great perfect thanks thank you got it mhm go ahead on continue carry please
    no sorry i have that that's thats it's its is the was said say did repeat huh i'll read you and the last final four one digits
    number ja genau richtig gut weiter oui d'accord voilà sí si vale correcto exacto claro bien copy noted all now my a of area code
    """
)
"""What may stand between a number's parts where it goes over several segments: confirmations, and leading in."""

ASIDES: Final = SOFT | word_set(
    "wait correction mean scratch actually hold hang carry keep let me see know one's lovely cool super excellent brilliant"
)
"""What may stand there too, but belongs to no number: it is said between two turns, not between two digits."""

HOMOPHONES: Final = {
    "to": "2",
    "too": "2",
    "for": "4",
    "fore": "4",
    "ate": "8",
    "won": "1",
    "een": "1",
    "due": "2",
    "tree": "3",
    "sex": "6",
    "niner": "9",
    "fife": "5",
}
"""Heard for digits: read as the digits that they stand for beside digits that are said one by one."""

NAMING: Final = frozenset({"is", "are", "was", "its", "it's"})
"""After a single number these begin another: "cvv two is"."""

LISTING: Final = frozenset({"and", "y", "et", "und", "plus"})
"""Joins the parts of a number, and as often two numbers: what is joined by it must be longer before it counts as one."""

IN_DATES: Final = frozenset({"of", "the", "de", "del", "le", "du", "den", "am"})

SPELLING: Final = word_set(
    """
    alpha alfa bravo charlie delta echo foxtrot golf hotel india juliet juliett kilo lima mike november oscar papa quebec romeo sierra
    tango uniform victor whiskey whisky xray yankee zulu
    """
)

UNITS: Final = word_set(
    """
    dollars dollar euros euro pounds pound cents percent prozent pourcent people units pieces items grams gram kilos kilo kg km
    kilometres kilometers miles metres meters feet minutes minute hours hour days day weeks months years year seconds times visitors
    users seats litres liters gigabytes megabytes visitantes stück leute personnes personas degrees points bucks pesos francs boxes
    digits digit numbers letters ziffern stellen chiffres dígitos
    """
)
