"""What the callers of `strangers` say: the words, the questions, the openings, and the sentences with numbers that are nobody's secret."""

from __future__ import annotations


def _words(text: str) -> list[str]:
    return text.split()


UNITS = _words(
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
)
TENS = _words("- - twenty thirty forty fifty sixty seventy eighty ninety")
ORDINALS = _words(
    "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth fourteenth fifteenth sixteenth"
    " seventeenth eighteenth nineteenth twentieth"
)
MONTHS = _words("january february march april may june july august september october november december")
NATO = _words(
    "alpha bravo charlie delta echo foxtrot golf hotel india juliet kilo lima mike november oscar papa quebec romeo sierra tango uniform"
    " victor whiskey x-ray yankee zulu"
)
NAMES = _words("rosa tomas priya wei fatima oskar ines duncan maeve kofi yuki hector lena anders chloe")
SURNAMES = _words("alvarez brandt chowdhury duff eriksen fontaine gallo hargreaves ito jansen kaur lindqvist mbeki novak")
HOSTS = (
    "gmail dot com",
    "outlook dot com",
    "yahoo dot co dot uk",
    "proton mail dot com",
    "acme parts dot net",
    "web dot de",
    "icloud dot com",
)
NODS = ("mm-hm", "okay", "uh huh", "go ahead", "yep", "got it", "right", "sure", "carry on", "okay and then", "alright", "yes")
FILLERS = ("uh", "um", "er", "let me see", "hold on", "hmm", "you know")
SCRIPTS = tuple("".join(chr(zero + digit) for digit in range(10)) for zero in (0xFF10, 0x0660, 0x0966))
"""Full-width, Arabic-Indic, Devanagari."""

QUESTIONS = {
    "CARD": (
        "can i have the card number please",
        "what's the long number on the front",
        "go ahead with the card",
        "which card would you like to use",
    ),
    "SSN": ("and your social security number", "can you verify your full social for me", "i need your social please"),
    "PHONE": (
        "what's the best number to reach you",
        "can i get a callback number",
        "and your phone number",
        "what's a good contact number",
    ),
    "CVV": ("and the security code on the back", "what's the cvv", "and the three digits on the back", "the cvc please"),
    "EXPIRY": ("and the expiration date", "when does it expire", "what's the expiry on that", "valid through"),
    "DATE_OF_BIRTH": ("and your date of birth", "can you confirm your date of birth", "what's your birthday", "dob please"),
    "EMAIL": ("what's your email address", "which email should i send it to", "can you spell your email for me"),
    "IBAN": ("what's the iban", "can you read me the iban", "which iban should the refund go to"),
}
OPENINGS = {
    "CARD": (
        "my card number is",
        "the card is",
        "it's a visa",
        "you can charge it to my mastercard",
        "okay so the amex is",
        "use card number",
    ),
    "SSN": ("my social is", "my social security number is", "the ssn is", "social security number"),
    "PHONE": ("my number is", "you can reach me at", "call me back on", "my cell is", "the mobile number is", "phone number"),
    "CVV": ("the security code is", "cvv", "the three digits on the back are", "and the cvc is"),
    "EXPIRY": ("it expires", "the expiration date is", "expiry", "valid thru", "it's good through"),
    "DATE_OF_BIRTH": ("my date of birth is", "i was born on", "dob", "my birthday is", "date of birth"),
    "EMAIL": ("my email is", "send it to", "the email address is", "you can email me at"),
    "IBAN": ("the iban is", "my iban is", "please pay into", "iban"),
}
SEEMS = (
    "my order number is {n6}",
    "the order number is {n7}",
    "ticket number {n6} is still open",
    "ticket {d6} was closed",
    "case {n5} please",
    "the invoice is {d5} for {price}",
    "it was {price} last month",
    "the total came to {price}",
    "your appointment is on {date} at {time}",
    "they said {time} or {time}",
    "see you on {date}",
    "i live at {house} {street}",
    "i'm {age} years old",
    "my mother is {age} and she fell on {date}",
    "it's version {n1} point {n1} point {n2}",
    "about {n2} percent of them",
    "flight {letters} {n4} was late",
    "we need {count} boxes of {n2}",
    "we bought it in {year}",
    "extension {n4}",
    "you can dial extension {d4}",
    "room {n3} on floor {n1}",
    "i have been holding for {n2} minutes",
    "it's a {year} model with {count} thousand miles",
    "error code {n3} again",
    "press {n1} for billing or {n1} for sales",
    "i had a one on one with {name} on {date}",
    "that one is for {name} and these two are for me too",
    "he ate two of those and i ate one",
    "channels {n3} and {n3} are gone",
    "the meeting is {time} on {date}",
    "{count} units at {price} each",
    "the policy started in {year}",
    "we're open from {time} to {time}",
    "gate {n2} terminal {n1}",
    "the galaxy s {n2} or the iphone {n2}",
    "it's {count} miles from here",
    "Your order {d7} ships on {date}.",
    "The total is ${d3}.{d2}, due {date}.",
    "The invoice {d5} was for ${d2}.{d2}.",
)
