"""What people say in these calls, by language. Lower case and without punctuation, as a speech engine writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Language:
    """Sentences of both sides, and how digits are spoken. `ask` and `tell` lead to personal data of a kind."""

    dialect: str
    agent: tuple[str, ...]
    customer: tuple[str, ...]
    acknowledge: tuple[str, ...]
    fillers: tuple[str, ...]
    digits: tuple[str, ...]
    oh: str
    double: str
    triple: str
    at: str
    dot: str
    ask: str
    tell: str
    kinds: Mapping[str, str]


_ENGLISH: Final = Language(
    dialect="en-US",
    agent=(
        "thank you for calling how can i help you today",
        "let me pull up your account one moment please",
        "i see the order from last tuesday it left the warehouse at nine thirty",
        "your balance is forty two dollars and fifteen cents",
        "is there anything else i can do for you",
        "i have made a note on your file",
        "that will take three to five business days",
    ),
    customer=(
        "hi i have a question about my bill",
        "the order number is one seven five and it still has not arrived",
        "i called yesterday and nobody could tell me",
        "yes that is right",
        "i would like to change my appointment to half past ten",
        "no that is all thank you very much",
        "it was charged twice on the third of the month",
    ),
    acknowledge=("okay", "go ahead", "got it", "mhm"),
    fillers=("uh", "um", "let me see", "hold on", "so"),
    digits=("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"),
    oh="oh",
    double="double",
    triple="triple",
    at="at",
    dot="dot",
    ask="could you give me your {} please",
    tell="my {} is",
    kinds={
        "card": "card number", "ssn": "social security number", "phone": "phone number", "email": "email address", "iban": "iban",
        "date_of_birth": "date of birth",
    },
)  # fmt: skip

_SPANISH: Final = Language(
    dialect="es-US",
    agent=(
        "gracias por llamar en qué puedo ayudarle",
        "permítame un momento por favor",
        "su pedido salió el martes a las nueve",
        "hay algo más que pueda hacer por usted",
        "he dejado una nota en su expediente",
    ),
    customer=(
        "hola tengo una pregunta sobre mi factura",
        "llamé ayer y nadie supo decirme nada",
        "sí eso es correcto",
        "quisiera cambiar mi cita para el jueves",
        "no eso es todo muchas gracias",
    ),
    acknowledge=("vale", "adelante", "entendido"),
    fillers=("eh", "este", "a ver", "un momento"),
    digits=("cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"),
    oh="cero",
    double="doble",
    triple="triple",
    at="arroba",
    dot="punto",
    ask="me puede dar su {} por favor",
    tell="mi {} es",
    kinds={
        "card": "número de tarjeta", "ssn": "número de seguro social", "phone": "número de teléfono", "email": "correo electrónico",
        "iban": "iban", "date_of_birth": "fecha de nacimiento",
    },
)  # fmt: skip

_GERMAN: Final = Language(
    dialect="de-DE",
    agent=(
        "vielen dank für ihren anruf wie kann ich ihnen helfen",
        "einen moment bitte ich rufe ihr konto auf",
        "ihre bestellung ist am dienstag um neun uhr verschickt worden",
        "kann ich sonst noch etwas für sie tun",
        "das dauert drei bis fünf werktage",
    ),
    customer=(
        "guten tag ich habe eine frage zu meiner rechnung",
        "ich habe gestern schon angerufen",
        "ja das stimmt",
        "ich möchte meinen termin auf donnerstag verschieben",
        "nein das war alles vielen dank",
    ),
    acknowledge=("ja", "gut", "verstanden"),
    fillers=("äh", "also", "moment", "ähm"),
    digits=("null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"),
    oh="null",
    double="doppel",
    triple="dreimal",
    at="ät",
    dot="punkt",
    ask="wie lautet ihre {} bitte",
    tell="meine {} ist",
    kinds={
        "card": "kartennummer", "ssn": "sozialversicherungsnummer", "phone": "telefonnummer", "email": "e-mail-adresse", "iban": "iban",
        "date_of_birth": "geburtsdatum",
    },
)  # fmt: skip

_FRENCH: Final = Language(
    dialect="fr-FR",
    agent=(
        "merci de votre appel que puis-je faire pour vous",
        "un instant je vous prie j'ouvre votre dossier",
        "votre commande est partie mardi à neuf heures",
        "puis-je faire autre chose pour vous",
    ),
    customer=(
        "bonjour j'ai une question sur ma facture",
        "j'ai déjà appelé hier",
        "oui c'est exact",
        "non ce sera tout merci beaucoup",
    ),
    acknowledge=("d'accord", "allez-y", "très bien"),
    fillers=("euh", "attendez", "voyons", "alors"),
    digits=("zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"),
    oh="zéro",
    double="double",
    triple="triple",
    at="arobase",
    dot="point",
    ask="pouvez-vous me donner votre {} s'il vous plaît",
    tell="mon {} c'est",
    kinds={
        "card": "numéro de carte", "ssn": "numéro de sécurité sociale", "phone": "numéro de téléphone", "email": "courriel",
        "iban": "iban", "date_of_birth": "date de naissance",
    },
)  # fmt: skip

LANGUAGES: Final[Mapping[str, Language]] = {"en-us": _ENGLISH, "es-us": _SPANISH, "de-de": _GERMAN, "fr-fr": _FRENCH}
"""By the spelling of transcript files; `dialect` is that of settings and live results."""

DIALECTS: Final[Mapping[str, tuple[str, ...]]] = {
    "Genesys": ("de-DE", "en-AU", "en-GB", "en-US", "es-ES", "es-US", "fr-CA", "fr-FR", "it-IT", "pt-BR"),
    "GenesysExtended": ("da-DK", "en-US", "fi-FI", "ja-JP", "nl-NL", "pl-PL"),
    "TranscriptionConnector": ("en-US", "zh-CN"),
}
"""What each engine understands."""

UNSUPPORTED: Final = "sw-ke"
"""A language that none of them does: who speaks it gets no transcript."""
