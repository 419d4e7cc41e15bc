"""E-mail addresses, as they are written and as they are spoken: "john dot smith at example dot com"."""

from __future__ import annotations

import re
from typing import Final

from genesys_sync.redaction import findings as types
from genesys_sync.redaction.findings import Finding, Hidden
from genesys_sync.redaction.lexicon import SOUNDS, SPELLING, Kind, word_set
from genesys_sync.redaction.stream import Stream

_LOCAL: Final = re.compile(r"[^\s@,;:<>()\[\]\"\0]{1,64} ?$")
_DOMAIN: Final = re.compile(r" ?[\w-]{1,63}(?:(?: \. |[.\u3002\uff0e\uff61])[\w-]{1,63}){0,8}")
_SIGN: Final = re.compile("[@\ufe6b\uff20]")
_PIECE: Final = re.compile(r"[^\W_]+(?:[-'_][^\W_]+)*")
_DOT: Final = re.compile(r"\b(?:dot|point|punkt|punto|punt|ponto)\b")
_LOOK: Final = 120  # characters on either side

_AT: Final = frozenset({"at", "arroba", "arobase", "klammeraffe", "ät", "ett", "chiocciola", "apenstaartje"})
_DOTS: Final = frozenset({"dot", "point", "punkt", "punto", "punt", "ponto"})
_JOINTS: Final = _DOTS | {
    "underscore",
    "hyphen",
    "dash",
    "minus",
    "plus",
    "unterstrich",
    "bindestrich",
    "tiret",
    "guion",
    "guión",
    "barra",
    "bajo",
}
_NOISES: Final = frozenset({"um", "uh", "er", "erm", "äh", "ähm", "euh"})
_REMARKS: Final = _NOISES | {"all", "lower", "upper", "case", "lowercase", "uppercase", "word"}
"""Said of the name, not in it."""

_NO_NAMES: Final = word_set(
    """
    look looking us me website site web online is it it's visit page find here more home available shop store arrive meet are him her
    them you information check available details everything started ends sold seen live read www posted listed was stay
    i'm we're you're he's she's they're in out up back over bought ordered saw
    """
)
_INTRODUCTIONS: Final = word_set(
    """
    is it's its to email e-mail mail address und and on an a the my at es c'est ist adresse correo so that's be
    """
)
_LEADS: Final = (_INTRODUCTIONS - {"the", "a", "an"}) | word_set(
    "sure yeah yes okay ok uh um well email's mail's under me him her us with from use uses try copy cc"
)
_NOT_OF_A_NAME: Final = _LEADS | _NO_NAMES | word_set("please i i'll can could we you just and then")
_VERBS: Final = word_set("was were have has had will would call called came went meet met see saw get got put set sign signed work works")
_WRITTEN_BEFORE: Final = re.compile(r"[^\W_][\w.+-]{0,60}[.+_-]$")
_LONGEST_NAME: Final = 64  # characters
_MOST_NAMES: Final = 3  # words of a name, before its last
_MOST_DOMAIN: Final = 8
_THAT: Final = frozenset({"that's", "thats", "it's"})
_FOR: Final = (("for",), ("like",), ("wie",), ("comme",), ("de",))
_AS_IN: Final = (("as", "in"), ("like", "in"), ("is", "for"))


_SITE: Final = re.compile(
    r" (?:[\w-]{1,63}(?:\.[a-z][a-z-]{1,20}){1,3}\b|(?:gmail|hotmail|yahoo|outlook|icloud|aol|gmx)\b(?! (?:dot|point|punkt|punto)\b))"
)
_AT_SIGN: Final = (re.compile(r" at\b"), re.compile(r" arroba\b"), re.compile(r" arobase\b"))  # each with a beginning that is found fast
_HOSTS: Final = re.compile(r"g ?mail|google ?mail|yahoo|hot ?mail|outlook|i ?cloud|aol|live|msn|proton\w*|gmx|web\.|mail")
_ALONE: Final = re.compile(r"mail(?: address)?(?: is|'s| would be|:)? (?:[^\W_]+ ){0,3}[^\W_]+$")
_NAMED: Final = re.compile(r"e-?mail|\bmail|address|adresse|correo|courriel|\bwrite|\bsend")


def find_emails(stream: Stream, hidden: Hidden) -> None:
    """Adds every address to `hidden`."""
    _find_written(stream, hidden)
    _find_spoken(stream, hidden)
    _find_half_written(stream, hidden)


def _add(stream: Stream, hidden: Hidden, start: int, end: int, rule: str, value: str) -> None:
    for low, high in stream.parts(start, end):
        hidden.add(Finding(low, high, types.EMAIL, rule, value))


def _find_written(stream: Stream, hidden: Hidden) -> None:
    for sign in _SIGN.finditer(stream.text):
        at = sign.start()
        local = _LOCAL.search(stream.text[max(at - 65, 0) : at])
        domain = _DOMAIN.match(stream.text, at + 1)
        if local is not None and domain is not None:
            start, end = at - (local.end() - local.start()), domain.end()
            value = stream.low[start:end].replace(" ", "")
            _add(stream, hidden, start, end, "email_written", value)


def _find_spoken(stream: Stream, hidden: Hidden) -> None:
    done = 0
    for dot in _DOT.finditer(stream.low):
        if dot.start() < done:
            continue
        pieces = list(_PIECE.finditer(stream.low, max(done, dot.start() - _LOOK), min(dot.end() + _LOOK, len(stream.low))))
        words = [piece.group() for piece in pieces]
        here = next((i for i, piece in enumerate(pieces) if piece.start() == dot.start()), None)
        if here is None or (len(words) > here + 2 and _DOTS.issuperset(words[here : here + 3])):  # "dot dot dot" is a pause
            continue
        ats = [i for i in range(max(here - _MOST_DOMAIN, 1), here - 1) if words[i] in _AT]
        if not ats:
            continue
        at = ats[-1]
        first, last = _local(words, at), _domain(words, here)
        if first is None or words[at + 1] == "www" or last == here or _is_number(words[last]):
            continue
        first = _whole_name(stream.low, pieces, words, first)
        start, end = _word_start(stream.low, pieces[first].start()), pieces[last].end()
        if hidden.overlaps(start, end) or end <= done:
            continue
        value = "".join("@" if i == at else "." if words[i] in _DOTS else words[i] for i in range(first, last + 1))
        _add(stream, hidden, start, end, "email_spoken", value)
        done = end


def _find_half_written(stream: Stream, hidden: Hidden) -> None:
    """ "john dot smith at gmail.com": a word and a site may as well be a place, unless something else tells an address."""
    for sign in (match for pattern in _AT_SIGN for match in pattern.finditer(stream.low)):
        site = _SITE.match(stream.low, sign.end())
        if site is None:
            continue
        floor = max(stream.starts[stream.segment_at(sign.start())], sign.start() - _LOOK)
        pieces = list(_PIECE.finditer(stream.low, floor, sign.start()))
        words = [*(piece.group() for piece in pieces), "at"]
        first = _local(words, len(pieces)) if pieces else None
        if first is None:
            continue
        around = max(sign.start() - _LOOK, 0), sign.start()
        known = (
            _HOSTS.search(site.group()) or _NAMED.search(stream.low, *around) if "." in site.group() else _ALONE.search(stream.low, *around)
        )
        if first < len(pieces) - 1 or known is not None:
            first = _whole_name(stream.low, pieces, words, first)
            start = _word_start(stream.low, pieces[first].start())
            if not hidden.overlaps(start, site.end()):
                _add(stream, hidden, start, site.end(), "email_spoken", "".join(words[first:-1]) + "@" + site.group().strip())


def _spelled(word: str) -> bool:
    sound = SOUNDS.get(word)
    return len(word) == 1 or word in SPELLING or word.isdecimal() or (sound is not None and sound.kind not in (Kind.DATE, Kind.DOT))


def _local(words: list[str], at: int) -> int | None:
    """The first word of what stands before the at sign; None where that is no name."""
    first = at - 1
    while first and words[first] in _REMARKS:
        first -= 1
    first -= _explained(words, first)
    while first > 0:
        word, before = words[first], words[first - 1]
        if before in _JOINTS or word in _JOINTS or before in _NOISES:
            joined = True
        elif explained := _explained(words, first - 1):  # "m as in mike o as in oscar"
            first -= explained
            joined = True
        elif explained := _explained(words, first):
            first -= explained - 1
            joined = True
        elif len(word) == 1 and before in _THAT and first > 1 and words[first - 2] == word:  # "dot w that's w like whiskey"
            first -= 1
            joined = True
        elif _spelled(word):
            numeral = len(word) > 1 and word not in SPELLING
            article = before == "a" and numeral and (first < 2 or len(words[first - 2]) > 1)
            joined = (_spelled(before) and not article) or (numeral and before not in _INTRODUCTIONS | _NO_NAMES)
        else:
            joined = False
        if not joined:
            break
        first -= 1
    while first < at - 1 and words[first] in _NOISES:
        first += 1
    if first == at - 1 and words[first] in _NO_NAMES | _INTRODUCTIONS:
        return None
    return first


def _whole_name(low: str, pieces: list[re.Match[str]], words: list[str], first: int) -> int:
    """The first word of a name of several, "the big kahuna at …", where what leads in to it, or the turn's beginning, is near."""
    for begin in range(first, max(first - _MOST_NAMES, 0) - 1, -1):
        before = words[begin - 1] if begin else "\n"
        if before in _LEADS or "\n" in low[pieces[begin - 1].end() if begin else 0 : pieces[begin].start()] or not pieces[begin].start():
            return next((name for name in range(begin, first) if words[name] not in _NOT_OF_A_NAME), first)
        if before in _NO_NAMES or before in _VERBS:
            return first
    return first


def _word_start(low: str, position: int) -> int:
    """Where the word begins that is written up to `position` without a space: "d.okafor"."""
    start = _WRITTEN_BEFORE.search(low, max(position - _LONGEST_NAME, 0), position)
    return position if start is None else start.start()


def _is_number(word: str) -> bool:
    sound = SOUNDS.get(word)
    return word.isdecimal() or (sound is not None and sound.kind in (Kind.DIGITS, Kind.TENS, Kind.HUNDRED) and not sound.weak)


def _explained(words: list[str], last: int) -> int:
    """How many words before `last` are left until the letter that it explains: "m as in mike", "b for bravo". 0: it explains none."""
    for back, said in ((2, _FOR), (3, _AS_IN)):
        if last >= back and (said is _AS_IN or len(words[last - back]) == 1) and tuple(words[last - back + 1 : last]) in said:
            return back
    return 0


def _domain(words: list[str], dot: int) -> int:
    """The last word of what stands after it: one after each dot."""
    last = dot
    while last + 1 < len(words) and words[last] in _DOTS:
        last += 1
        if last + 1 < len(words) and words[last + 1] in _DOTS:
            last += 1
        elif len(words[last]) == 1:
            while last + 1 < len(words) and len(words[last + 1]) == 1 and words[last + 1] not in ("a", "i"):
                last += 1
    return last
