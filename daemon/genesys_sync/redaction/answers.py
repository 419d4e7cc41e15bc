"""What was asked for and is given word by word, over several turns: "september" · "mhm" · "fifth" · "mhm" · "nineteen" · "eighty six".

Each turn alone says nothing; the name of what is asked for holds them together, as far as nobody talks of anything else in between.
What is hidden or masked already ends the look, so that a redacted transcript is read in the same way as it was before.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from genesys_sync.redaction import findings as types
from genesys_sync.redaction.atoms import Atom, atoms_of
from genesys_sync.redaction.findings import MASKED, Finding, Hidden
from genesys_sync.redaction.labels import UNIT_AFTER, names_anything
from genesys_sync.redaction.lexicon import ASIDES, HOMOPHONES, SOFT, Kind
from genesys_sync.redaction.stream import Stream

_BORN: Final = re.compile(
    r"\b(?:(?:dates?|days?|months?|years?) of birth|birth ?(?:date|month|year|day)|born|d\.? ?o\.? ?b|geboren|geburtsdatum|geburtstag|née?|"
    r"naissance|nacimiento|nací|nacid[oa]|cumpleaños|nat[oa] il|nascita|geboortedatum|nascid[oa]|nascimento)\b"
)
_MAIL: Final = re.compile(
    r"(?<!\bat )\b(?:e-?mail|mail|mailadresse|e-mail-adresse|courriel|correo)\b(?!\W*(?:dot|point|punkt|punto|punt|ponto)\b)"
)
_LEADING_JOINT: Final = re.compile(r"\W*(?:at|dot|arroba|arobase|point|punkt|punto|punt|ponto|underscore|hyphen|dash)\b")
_YEARS: Final = re.compile(r"\byears?\b")
_EXPIRES_HINTS: Final = ("expir", "valid")
_EXPIRES: Final = re.compile(r"\b(?:expir\w*|valid (?:until|till|thru|through|to))\b")
_MOST_TURN: Final = 80  # characters of a turn that tells a month or a year
_MOST_PARTS: Final = 5  # turns in which month and year are told
_BORN_HINTS: Final = (
    "birth",
    "born",
    "dob",
    "d.o",
    "d o",
    "d. o",
    "gebor",
    "geburt",
    "geboort",
    "né",
    "naiss",
    "nac",
    "nasc",
    "nato il",
    "nata il",
    "cumple",
)
_BEFORE_HINT: Final = 10
_AFTER_HINT: Final = 60  # characters in which a name lies about its hint
_MAIL_HINTS: Final = ("mail", "courriel", "correo")
"""Without one of them near the patterns, which are slower, find nothing."""
_WORD: Final = re.compile(r"[^\W_]+(?:['-][^\W_]+)*")
_AT: Final = re.compile(r"\b(?:at|arroba|arobase|klammeraffe|ät|chiocciola|apenstaartje)\b")
_JOINT: Final = re.compile(
    r"\b(?:at|dot|arroba|arobase|klammeraffe|ät|chiocciola|apenstaartje|point|punkt|punto|punt|ponto|underscore|hyphen|dash|unterstrich|bindestrich|tiret|guion|guión)\b"
)
_ADDRESS: Final = re.compile(
    r"\b(?:at|arroba|arobase|klammeraffe|ät|chiocciola|apenstaartje)\b.*\b(?:dot|point|punkt|punto|punt|ponto)\s+[^\W_]+", re.DOTALL
)
_INTRODUCTION: Final = re.compile(
    r"(?:[\s,:]*\b(?:address|adresse|electrónico|it|is|it's|its|ist|lautet|est|es|c'est|das|so|um|uh)\b)*[\s,:]*"
)
_BETWEEN: Final = frozenset(
    {"of", "the", "and", "in", "is", "it's", "let", "me", "see", "hold", "on", "so", "um", "uh", "yes", "de", "del"}
)
_ASIDE: Final = (
    r"(?:um|uh|so|hold on|let me see|i think|i believe|looks like|eh|este|a ver|un momento|äh|ähm|also|moment|euh|attendez|voyons|alors)"
)
_LAST_DOT: Final = re.compile(rf".*\b(?:dot|point|punkt|punto|punt|ponto)\s+(?:{_ASIDE}\s+)*[^\W_]+", re.DOTALL)
_IS: Final = re.compile(r"\b(?:is|it's|ist|lautet|est|es|c'est)\b")
_GOES_ON: Final = re.compile(
    rf"[\s,.-]*(?:(?:{_ASIDE}|i mean|correction|make that|scratch that|actually|sorry|wait|no(?! one\b))\b[\s,.-]*)*"
)
_ONE_OF: Final = re.compile(r"one (?:moment|second|sec|minute|thing|time|last)\b|[^\W_]+ (?:of|more|others?)\b")
_TAKEN_BACK: Final = re.compile(
    r"[\s,.?!-]*(?:\b(?:sorry|correction|i mean|no|wait|scratch that|let me (?:start over|flip it over|see)|actually|rather|pardon|oops"
    r"|um|uh|erm|er)\b[\s,.?!-]*)+$"
)
_BEGUN_NAME: Final = re.compile(r"[^\W_]+(?: (?:dot|underscore|hyphen|dash|point|punkt|punto|punt|ponto|at) [^\W_]+)+$")
_FALSE_START: Final = 80  # characters before what took it back
_DATES: Final = frozenset({Kind.DIGITS, Kind.TENS, Kind.HUNDRED, Kind.HUNDREDS, Kind.SCALE, Kind.DATE})

_DIGITS: Final = frozenset({Kind.DIGITS, Kind.TENS})
_NUMERIC: Final = _DIGITS | {Kind.TIMES}

_MOST_SEGMENTS: Final = 10
_MOST_REMARK: Final = 4  # words of a turn that answers nothing
_MOST_OTHERS: Final = 2  # words of a turn with a part of the answer that are none
_MOST_PIECE: Final = 24  # words of one part of an address
_YEAR: Final = 4  # digits from which on a date is complete
_MOST_WORD: Final = 24  # characters of a number's word
_MOST_BEGINNING: Final = 4  # words of an address that goes on in another turn
_MOST_TOKEN: Final = 2  # of one without any joint


class _Turn(NamedTuple):
    """What is left of a segment, or all of it."""

    segment: int
    start: int
    low: str
    words: list[str]


def find_asked_emails(stream: Stream, hidden: Hidden) -> None:
    """Adds the addresses that are told in several turns, or after "my e-mail address is"; before all others are looked for."""
    for name in _names(stream.low, _MAIL, _MAIL_HINTS):
        pieces: list[tuple[int, int]] = []
        told, speaker, introduced = "", -1, False
        said: dict[int, tuple[int, int]] = {}
        for turn in _turns(stream, hidden, name.end(), _MAIL):
            own = speaker in (-1, stream.speakers[turn.segment])
            if own and _ADDRESS.search(told) and not _JOINT.match(turn.low):
                break
            if not pieces and _LEADING_JOINT.match(turn.low) and (begun := said.get(stream.speakers[turn.segment])) is not None:
                told = stream.low[slice(*begun)]  # "priya" · "okay" · "dot k at …"
                pieces += sorted(place for place in said.values() if stream.low[slice(*place)] in told)
            if (begun := _short_answer(stream, turn)) is not None:
                said[stream.speakers[turn.segment]] = begun
            if own and (_JOINT.search(turn.low) or (pieces and len(turn.words) <= _MOST_TOKEN)):
                introduction = None if pieces else _INTRODUCTION.match(turn.low)
                begin = 0 if introduction is None else introduction.end()
                introduced = introduced or (introduction is not None and _IS.search(introduction.group()) is not None)
                last = _LAST_DOT.match(turn.low, begin) if _AT.search(told + turn.low[begin:]) else None
                goes_on = last is None or _AT.search(turn.low, last.end())  # "dot k at"
                end = len(turn.low.rstrip(" .,!?")) if goes_on or last is None else last.end()
                if len(_WORD.findall(turn.low, begin, end)) > _MOST_PIECE:
                    break
                pieces.append((turn.start + begin, turn.start + end))
                told += " " + turn.low[begin:end]
                speaker = stream.speakers[turn.segment]
            elif len(turn.words) > _MOST_REMARK:
                break
        if (len(pieces) > 1 or introduced) and _ADDRESS.search(told):
            for start, end in pieces:
                hidden.add(Finding(start, end, types.EMAIL, "email_asked", " ".join(told.split())))


def _short_answer(stream: Stream, turn: _Turn) -> tuple[int, int] | None:
    """What a turn says beside confirmations, where that is little: it may begin an address."""
    own = [word for word in _WORD.finditer(turn.low) if word.group() not in SOFT]
    if not 1 <= len(own) <= _MOST_BEGINNING or turn.start != stream.starts[turn.segment]:
        return None
    return turn.start + own[0].start(), turn.start + own[-1].end()


def find_asked_dates(stream: Stream, hidden: Hidden) -> None:
    """Adds what is left of dates of birth; when numbers have been found."""
    anchors = [(name.end(), "") for name in _names(stream.low, _BORN, _BORN_HINTS)]
    anchors += [(one.end, one.value) for one in hidden.findings if one.type == types.DATE_OF_BIRTH and len(one.value) < _YEAR]
    ends = {one.end for one in hidden.findings}
    for end, value in sorted(anchors):
        pieces: list[tuple[int, int]] = []
        begun = end in ends
        digits, dated, speaker = value, begun, -1
        for turn in _turns(stream, hidden, end, _BORN):
            atoms = [atom for atom in atoms_of(turn.low) if atom.sound.kind in _DATES]
            others = _others(turn, atoms)
            own = speaker in (-1, stream.speakers[turn.segment])
            if atoms and others <= (_MOST_OTHERS if own else 0):
                pieces.append((turn.start + atoms[0].start, turn.start + atoms[-1].end))
                digits += "".join(atom.sound.digits for atom in atoms)
                dated = dated or any(atom.sound.kind is Kind.DATE for atom in atoms)
                speaker = stream.speakers[turn.segment] if own else speaker
                if len(digits) >= _YEAR:
                    break
            elif len(turn.words) > _MOST_REMARK:
                break
        if dated or len(digits) >= _YEAR:
            for start, finish in pieces:
                hidden.add(Finding(start, finish, types.DATE_OF_BIRTH, "asked_for", digits))


def find_asked_expiries(stream: Stream, hidden: Hidden) -> None:
    """Adds the parts of a card's expiry that are told by themselves, "august" · "and the year" · "twenty nine": turns of nothing else."""
    asked = {stream.segment_at(name.start()) for name in _names(stream.low, _EXPIRES, _EXPIRES_HINTS)}
    for first in sorted(asked):
        told = 0
        for segment in range(first + 1, min(first + 1 + _MOST_PARTS, len(stream.starts))):
            start, end = stream.starts[segment], stream.end_of(segment)
            low = stream.low[start : min(end, start + _MOST_TURN)]
            atoms = [atom for atom in atoms_of(low) if atom.sound.kind in _DATES]
            others = {word for word in _WORD.findall(low) if word not in ASIDES} - {low[atom.start : atom.end] for atom in atoms}
            if len(low) < end - start or names_anything(_YEARS.sub(" ", low)) or len(others) > _MOST_REMARK or told > 1:
                break
            if atoms and not others and sum(len(atom.sound.digits) for atom in atoms) <= _YEAR:
                told += 1
                begin, finish = start + atoms[0].start, start + atoms[-1].end
                if not hidden.overlaps(begin, finish):
                    hidden.add(Finding(begin, finish, types.EXPIRY, "asked_for", low[atoms[0].start : atoms[-1].end]))


def find_rests(stream: Stream, hidden: Hidden) -> None:
    """Adds the digits that follow a hidden number at once, or after an aside: they are its own; when all else has been found."""
    for found in [one for one in hidden.findings if one.rule != MASKED and one.type not in (types.EMAIL, types.DATE_OF_BIRTH)]:
        end, floor = stream.end_of(stream.segment_at(found.start)), found.end
        while (begin := _GOES_ON.match(stream.low, floor, end)) is not None:
            atom = next(atoms_of(stream.low[begin.end() : min(begin.end() + _MOST_WORD, end)]), None)
            if atom is None or atom.start or atom.sound.kind not in _DIGITS or atom.sound.weak:
                break
            start, floor = begin.end(), begin.end() + atom.end
            if _ONE_OF.match(stream.low, start, end) or UNIT_AFTER.match(stream.low, floor):
                break
            if hidden.overlaps(start, floor):
                break
            hidden.add(Finding(start, floor, found.type, "goes_on", found.value))


def find_false_starts(stream: Stream, hidden: Hidden) -> None:
    """Adds the digits that were taken back right before a hidden number, "sixty four twenty one, no, sixty two …"; last of all."""
    for found in [one for one in hidden.findings if one.rule != MASKED and one.type != types.DATE_OF_BIRTH]:
        floor = max(stream.starts[stream.segment_at(found.start)], found.start - 2 * _FALSE_START)
        if (aside := _TAKEN_BACK.search(stream.low, floor, found.start)) is None or aside.start() == floor:
            continue
        head = stream.low[max(floor, aside.start() - _FALSE_START) : aside.start()]
        base = aside.start() - len(head)
        if found.type == types.EMAIL:
            name = _BEGUN_NAME.search(head)
            if name is not None and not hidden.overlaps(base + name.start(), aside.start()):
                hidden.add(Finding(base + name.start(), aside.start(), found.type, "false_start", found.value))
            continue
        run: list[tuple[int, int]] = []
        for token in _WORD.finditer(head):
            numeric = token.group() in HOMOPHONES or any(atom.sound.kind in _NUMERIC for atom in atoms_of(token.group()))
            run = [*run, (base + token.start(), base + token.end())] if numeric else []
        if len(run) > 1 or (run and run[0][1] - run[0][0] > 1 and stream.low[run[0][0]].isdigit()):
            start, end = run[0][0], run[-1][1]
            if not hidden.overlaps(start, end):
                hidden.add(Finding(start, end, found.type, "false_start", found.value))


def _names(low: str, pattern: re.Pattern[str], hints: Sequence[str]) -> Iterator[re.Match[str]]:
    """The matches of `pattern` in order, looked for around its hints alone."""
    places: set[int] = set()
    for hint in hints:
        at = low.find(hint)
        while at >= 0:
            places.add(at)
            at = low.find(hint, at + 1)
    done = 0
    for place in sorted(places):
        name = pattern.search(low, max(place - _BEFORE_HINT, done), min(place + _AFTER_HINT, len(low))) if place >= done else None
        if name is not None:
            done = name.end()
            yield name


def _turns(stream: Stream, hidden: Hidden, position: int, name: re.Pattern[str]) -> Iterator[_Turn]:
    """What is said from `position` on, up to what is hidden, or what is named the same."""
    first = stream.segment_at(max(position - 1, 0))
    for segment in range(first, min(first + _MOST_SEGMENTS, len(stream.starts))):
        start, end = max(stream.starts[segment], position), stream.end_of(segment)
        if hidden.overlaps(start, end) or name.search(stream.low, start, end) is not None:
            return
        low = stream.low[start:end]
        yield _Turn(segment, start, low, _WORD.findall(low))


def _others(turn: _Turn, atoms: list[Atom]) -> int:
    """How many of its words belong neither to a date nor between its parts."""
    covered = sum(len(_WORD.findall(turn.low[atom.start : atom.end])) for atom in atoms)
    return len([word for word in turn.words if word not in _BETWEEN]) - covered
