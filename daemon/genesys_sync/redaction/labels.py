"""What a number is, and whether it is hidden: the policy of docs/howto/redact.md.

What decides to hide is the count of digits and what was said before. Shapes and checksums choose the label among what is hidden;
none of them ever decides to show.
"""

from __future__ import annotations

import re
from typing import Final

from genesys_sync.redaction import findings as types
from genesys_sync.redaction.atoms import atoms_of
from genesys_sync.redaction.lexicon import ASIDES, UNITS
from genesys_sync.redaction.spoken import WORD

LONG: Final = 12
"""From here on every run of digits is hidden, whatever it was called."""

ENOUGH: Final = 7
"""From here on a run of digits is hidden, unless it was called something that is no person's."""

_SMALL: Final = {
    types.CVV: r"cv[vcn]2?|c v [vcn]|cid|security (?:code|number|digits)|card code|card verification|verification value|"
    r"on the (?:back|signature)|digits? on the front|back of (?:the|your|my|that) card|signature (?:strip|panel)|"
    r"(?:three|four|3|4)[ -]digit (?:code|number)|prüfziffer|pruefziffer|prüfnummer|kartenprüf\w*|cryptogramme|"
    r"c[óo]digo de seguridad|sicherheitscode|code de sécurité|codice di sicurezza|"
    r"beveiligingscode|c[óo]digo de segurança",
    types.EXPIRY: r"expir\w*|exp|runs? out|scade\w*|scadenza|vervaldatum|verloopt|geldig tot|validade|"
    r"valid (?:un)?til|valid (?:thru|through|to|from)|good (?:thru|through|until|till)|gültig bis|"
    r"gueltig bis|verfall\w*|ablaufdatum|caduc\w+|vence|vencimiento|date d.expiration|valable jusqu\w*",
    types.DATE_OF_BIRTH: r"(?:dates?|days?|months?|years?) of birth|birth ?(?:date|month|year|day)|born|d\.? ?o\.? ?b|geboren|geburtsdatum|"
    r"geburtstag|née?|naissance|nacimiento|nací|naci|nacid[oa]|cumpleaños|nat[oa] il|nascita|geboortedatum|nascid[oa]|nascimento",
    types.SSN: r"social(?! (?:media|life|network\w*|work\w*|events?|club|distanc\w*))(?: (?:security|insurance))?(?: number)?|"
    r"ssn|s s n|sozialversicherung\w*|sécurité sociale|seguridad social",
    types.CODE: r"pin(?: code| number)?|pass ?code|one[- ]time (?:code|password)|verification code|otp|password|access code|"
    r"code (?:\w+ ){1,4}(?:texted|sent|e-?mailed)(?: me| you)?|tan|geheimzahl|"
    r"kennwort|mot de passe|contraseña",
}
_LARGE: Final = {
    types.IBAN: r"i ?ban",
    types.PHONE: r"phone\w*|mobile|cell(?:phone)?|call ?back|call (?:me|us|him|her|you)|(?:reach|ring|text) (?:me|us|him|her|you)|"
    r"fax|landline|(?:best|good|better|contact|daytime|evening|home|work|my|his|her|another|different) number|tele\w+|tel|"
    r"handy\w*(?<!(?:umber|order|voice) handy)(?<!(?:rence|ation|tails) handy)(?<!(?:card|code|ount|that|hose) handy)(?<! (?:it|id) handy)|"
    r"rufnummer|portable|téléphone|teléfono|móvil|celular|whatsapp",
    types.CARD: r"\w*card|visa|master ?card|amex|american express|maestro|discover|kreditkarte|karten?nummer|karte|carte|tarjeta|carta|"
    r"cartão|kaartnummer|long number|digits on the front",
    types.NUMBER: r"account|routing|sort code|member\w*|loyalty|policy|customer (?:number|id)|passport|licen[cs]e|medicare|insurance|"
    r"konto\w*|compte|cuenta|steuer\w*|nhs|patient",
}
BENIGN: Final = "BENIGN"
"""Named as something that is no person's: an order, a room, a version."""

_SLIPS: Final = (
    "claim|transaction|receipt|quote|voucher|coupon|batch|lot|shipment|parcel|package|consignment|container|docket|build|firmware"
)
_BENIGN: Final = (
    r"(?<!in )order\w*|tickets?|(?<!in )cases?|ip(?: address)?|mac address|reference|ref|tracking|confirmation|invoices?|serial|booking|"
    r"reservation|rooms?|flight|model|parts?|sku|error|versions?|pages?|(?:meter|odometer) reading|odometer|"
    r"(?:che(?:ck|que)|incident|request|barcode|catalogu?e?|delivery|job|meter|purchase|asset|queue|conference|meeting|appointment|return|"
    r"complaint|report|promo\w*|repair|dispatch|pick ?up|survey|event|raffle|lottery|bill|statement|bug|issue|task|warranty|seat|bus|"
    r"train|device|router|modem|printer|form|p ?o)(?=[ -](?:number|no|id|code)\b)|"
    rf"(?:{_SLIPS})(?=[ -](?:number|no|id|code)\b|\W{{0,3}}\Z)|numbers? (?:on|of) (?:the|your|my|that|this) (?:{_SLIPS}|label|box|parts?)|"
    r"rma|pnr|record locator|vin|item|product|bestell\w*|"
    r"auftrags?\w*|rechnung\w*|vorgang\w*|commande|facture|pedido|factura"
)

_PLACES: Final = (
    r"zip(?: ?code)?|post ?code|postal code|postleitzahl|plz|code postal|código postal|street|avenue|house number|apartment|apt|gate|exit|"
    r"channel|extension|ext|chapter|score|claim"
)
"""No person's either, but not looked at where a number is long: somebody goes on to give another."""


def _contexts(table: dict[str, str], benign: str) -> re.Pattern[str]:
    groups = [f"(?P<{name}>{words})" for name, words in table.items()]
    return re.compile(rf"\b(?=\w)(?:{'|'.join(groups)}|(?P<{BENIGN}>{benign}))\b")


_TERMS: Final = (
    r"(?:contract|agreement|warrant\w+|guarantee|offer|promo\w*|sale|subscription|membership|lease|coupon|voucher|quote|trial|plan|deal|pass|"
    r"licen[cs]e|passport|permit|certificate|domain|discount|reservation|rate|points|milk|insurance|policy|password|session|link|prescription|"
    r"vertrag|garantie|angebot|contrat|offre|contrato|oferta|contratto|offerta)"
    r"(?:'?s)?(?: \w+){0,3}? (?:expir\w*|runs? out|valid (?:un)?til|valid (?:thru|through|to|from)|good (?:thru|through|until|till))"
)
"""What runs out is no card: a contract, an offer."""

_DATED: Final = (
    r"(?:appointment|delivery|visit|meeting|departure|arrival|check ?in|check ?out|payment|renewal)(?: date)? "
    r"(?:is|was|will be|on)\b(?!\W*\n)"
)
"""What a date is told of that is nobody's birth and no card's end."""

_FOR_SMALL: Final = _contexts(_SMALL, f"{_BENIGN}|{_PLACES}|{_TERMS}|{_DATED}")
_FOR_LARGE: Final = _contexts(
    {types.SSN: _SMALL[types.SSN], types.DATE_OF_BIRTH: _SMALL[types.DATE_OF_BIRTH]} | _LARGE, _BENIGN + "|years?"
)
_AFTER: Final = re.compile(
    r"\W{0,3}(?:is|that'?s|as|for|are|c'est|ist|es)?\W{0,2}(?:it'?s )?(?:(?:my|the|a|your|their|meine|ma|mi)\b)? ?"
    r"(?:(?!and |now |then |next |but |also |plus |what )[a-z]+ ){0,2}(?:"
    + "|".join(f"(?P<{name}>{words})" for name, words in (_SMALL | _LARGE).items())
    + r")\b"
)
_LINKED: Final = re.compile(r"\W{0,3}(?:is|that'?s|it'?s|as|are)\b")
_BENIGN_AFTER: Final = re.compile(
    rf"\W{{0,3}}(?:is|was|that'?s)\W{{1,2}}(?:my|the|your|our|their) (?:[a-z]+ )?(?:{_BENIGN})[ -](?:number|no|id|code)\b"
)
CURRENCY_BEFORE: Final = re.compile(r"[$€£¥₹]\s?$")
UNIT_AFTER: Final = re.compile(r"[\s-]{0,2}(?:%|€|£|\$|(" + "|".join(sorted(UNITS)) + r")\b)")
_NUMBER_OF: Final = re.compile(r"[ -](?:numbers?|no|id|code|nummer|numéro|número)\b")
_NEAR: Final = 8
"""Words between what is no person's, not called a number, and a long number that is it."""
_A_MOMENT: Final = re.compile(r"\b(?:one|two|five) (?:moment|sec|min)\w*")
_CLOSE: Final = 12
"""Words between what a short number is called and the number."""


def said_before(tail: str, *, small: bool, close: bool | None = None) -> str | None:
    """The last thing named in `tail`, a type or BENIGN; None where nothing is named. `tail` is lower case.

    `small`: as for short numbers; `close`, with `small` if not said otherwise: only where it was named within a few words.
    """
    found: re.Match[str] | None = None
    for found in (_FOR_SMALL if small else _FOR_LARGE).finditer(tail):  # noqa: B007 - the last one is wanted
        pass
    if found is None:
        return None
    bare = not small and found.lastgroup == BENIGN and _NUMBER_OF.match(tail, found.end()) is None  # "i placed an order, and …"
    if bare and len(tail[found.end() :].split()) > _NEAR:
        return None
    line, turn, _ = tail[found.end() :].partition("\n") if not small and found.lastgroup == BENIGN else ("", "", "")
    if turn and 0 < sum(len(atom.sound.digits) for atom in atoms_of(_A_MOMENT.sub("", line)) if not atom.sound.weak) < ENOUGH:
        return None  # it has its number already, "version two point six" · "…"; a longer one may be repeated
    if (small if close is None else close) and len(tail[found.end() :].split()) > _CLOSE:
        return None
    return found.lastgroup


_CORRECTS: Final = re.compile(
    r"\b(?:no|nope|wait|sorry|scratch|correction|mean|meant|start over|over again|actually|oops|wrong|rather|strike|nein|falsch|moment|"
    r"pardon|perdón|perdon|non|espera)\b"
)


def corrects(text: str) -> bool:
    """Whether `text`, lower case, takes back what was said before it."""
    return _CORRECTS.search(text) is not None


_TAKEN_FOR_ELSE: Final = re.compile(
    r"\b(at|in|(?<!hold )(?<!hang )(?<!carry )(?<!go )on|since|from|to|for|until|till|between|than|paid|charged|cost|costs|"
    r"press|seit|bis|ab|à|en|desde|hasta)\W{1,2}$"
)
_LEADING_IN: Final = frozenset({"at", "on", "from", "to", "for"})
_PHRASE: Final = 32  # characters that name a number and lead in to it
_NOT_WHOLE: Final = re.compile(rf"\b(?:ending|ends|ended|last (?:four|4)|endet|letzten vier|endziffern|{_BENIGN}|{_PLACES})\b")


def is_quantity(low: str, start: int, end: int) -> bool:
    """Whether the number at [start, end) of `low` is one of something: a unit or a currency beside it, or a preposition of time before.

    "Call me on twenty one forty" is none.
    """
    if UNIT_AFTER.match(low, end) is not None or CURRENCY_BEFORE.search(low, max(start - 2, 0), start) is not None:
        return True
    before = _TAKEN_FOR_ELSE.search(low, max(start - 16, 0), start)
    if before is None:
        return False
    named = said_before(low[max(start - _PHRASE, 0) : start], small=False) if before.group(1) in _LEADING_IN else None
    return named in (None, BENIGN, types.DATE_OF_BIRTH)


_TIMED: Final = re.compile(
    r"\b(?:at|since|until|till|between|by|around|(?:balance|total|amount|charge|payment|bill|fee|price|cost|rate) (?:of|is|was))\W{1,2}$"
)
_AFTERWARDS: Final = 1
"""Words after which what was asked for, and was given, is no longer talked of."""


def is_over(tail: str, low: str, start: int, end: int) -> bool:
    """Whether the short number at [start, end) of `low` is a time or a quantity, or comes when what is named in `tail` was told already."""
    if UNIT_AFTER.match(low, end) or CURRENCY_BEFORE.search(low, max(start - 2, 0), start) or _TIMED.search(low, max(start - 16, 0), start):
        return True
    return is_past(tail)


def is_past(tail: str) -> bool:
    """Whether what is named in `tail` was told in it already, and something else was talked of since."""
    _, told, since = tail.rpartition("\0")
    if not told or names_anything(since) or corrects(since):
        return False
    return sum(word not in ASIDES for word in WORD.findall(since)) > _AFTERWARDS


_QUESTION: Final = re.compile(r"\b(?:your|what|when|which|how|where|who)\b")
_SAME_QUESTION: Final = re.compile(
    r"\b(?:next|rest|remaining|others?|last|middle|first|more|repeat|again|years?|months?|days?|date|part|groups?|digits?|whole|full)\b"
)


def asks_anew(tail: str) -> bool:
    """Whether, since what is named in `tail` was told, a turn in between asked for something else."""
    turns = tail.rpartition("\0")[2].split("\n")[1:-1] if "\0" in tail else ()
    return any(_QUESTION.search(turn) and not _SAME_QUESTION.search(turn) and not names_anything(turn) for turn in turns)


def is_no_beginning(low: str, position: int) -> bool:
    """Whether what comes at `position` was announced as the end of a number that is not given, or as something that is no person's."""
    return _NOT_WHOLE.search(low, max(position - 30, 0), position) is not None


_SOME_NUMBER: Final = re.compile(
    r"\b(?:your|the) (?!next|last|first|rest|whole|full|complete|entire|right|wrong|correct|same|other|long|new|old|card|social|phone)"
    r"[a-z]+ (?:number|code)\b"
)


def asks_for_little(text: str) -> bool:
    """Whether `text`, lower case, names something short, or what is no person's, or some other number of which we know nothing."""
    return _FOR_SMALL.search(text) is not None or (_SOME_NUMBER.search(text) is not None and not _FOR_LARGE.search(text))


def names_anything(text: str) -> bool:
    """Whether `text`, lower case, names what a number is, whatever it be."""
    return _FOR_LARGE.search(text) is not None or _FOR_SMALL.search(text) is not None


def said_after(head: str) -> str | None:
    """The type that the words straight after a number give it, or BENIGN; None where they give none."""
    words = head.partition("[")[0]  # a mask names nothing
    match = _AFTER.match(words)
    if match is not None:
        return match.lastgroup
    return BENIGN if _BENIGN_AFTER.match(words) else None


def is_linked(head: str) -> bool:
    """Whether the words straight after a number say what it is, "that's my PIN", and do not only name what comes next."""
    return _LINKED.match(head) is not None


def small_type(context: str | None, digits: str, *, month: bool, shaped_as_date: bool) -> str | None:
    """The type under which a number of fewer than seven digits, or a date, is hidden; None: it is shown."""
    count = len(digits)
    dated = month or shaped_as_date
    hides = {
        types.CVV: 3 <= count <= 4 and not month,
        types.EXPIRY: month or 3 <= count <= 8,
        types.DATE_OF_BIRTH: dated or 4 <= count <= 8,
        types.SSN: count >= 3,
        types.CODE: 4 <= count <= 8 and not month,
    }
    return context if context is not None and hides.get(context, False) else None


def label(digits: str, written: str, context: str | None, regions: tuple[str, ...]) -> tuple[str, str]:
    """(type, rule) for a long number that is hidden. `written`: as it stands in the text."""
    count = len(digits)
    if (context in (types.SSN, types.PHONE) and count <= 19) or (context == types.CARD and count >= 10):
        return context, "asked_for"
    if 13 <= count <= 19:
        if _luhn(digits):
            return types.CARD, "check_digit"
        if count in (15, 16) and digits[0] in "23456":
            return types.CARD, "card_shape"
    if is_ssn_shape(written):
        return types.SSN, "ssn_shape"
    if context == types.NUMBER and not written.startswith(("+", "plus")):
        return types.NUMBER, "asked_for"
    if count <= 15 and (count == 7 or _is_phone(digits, written, regions)):
        return types.PHONE, "phone_shape" if count == 7 else "numbering_plan"
    return types.NUMBER, "long_number"


def _luhn(digits: str) -> bool:
    from stdnum import luhn  # on first use, as phonenumbers

    return luhn.is_valid(digits)


def _is_phone(digits: str, written: str, regions: tuple[str, ...]) -> bool:
    import phonenumbers  # 19 ms: only where a number is to be named

    plus = written.startswith(("+", "plus"))
    for region in (None,) if plus else regions:
        try:
            number = phonenumbers.parse(("+" if plus else "") + digits, region)
        except phonenumbers.NumberParseException:
            continue
        if phonenumbers.is_possible_number(number):
            return True
    return False


_TYPED: Final = re.compile(
    r"(?<![\d.:/-])(?:"
    r"(?:19|20)\d\d[-/.](?:0?[1-9]|1[0-2])[-/.](?:0?[1-9]|[12]\d|3[01])|"  # 2026-11-21
    r"(?:0?[1-9]|[12]\d|3[01])[-/.](?:0?[1-9]|[12]\d|3[01])[-/.](?:19|20)?\d\d|"  # 21.11.2026, 11/21/26
    r"(?:[01]?\d|2[0-4]):[0-5]\d(?::[0-5]\d)?|"  # 10:30
    r"\d{1,3}(?:,\d{3}){1,2}(?:\.\d\d)?|"  # 1,250,000.00
    r"\d{1,7}\.\d\d"  # 1249.99
    r")(?![\d:/-]|[.,]\d)"
)


def without_dates_and_amounts(written: str, digits: str) -> str:
    """The digits of a written run that are neither of a date, a time nor an amount as people write them."""
    if not _TYPED.search(written):
        return digits
    return "".join(c for c in _TYPED.sub(" ", written) if c.isdecimal())


_SSN_SHAPE: Final = re.compile(r"\d{3}[- ]\d\d[- ]\d{4}")


def is_ssn_shape(written: str) -> bool:
    return _SSN_SHAPE.fullmatch(written) is not None


_DATE_SHAPE: Final = re.compile(r"\d{1,4}[-/. ]{1,2}\d{1,2}[-/. ]{1,2}\d{2,4}")


def is_date_shape(written: str) -> bool:
    return _DATE_SHAPE.fullmatch(written) is not None
