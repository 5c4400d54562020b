"""Tells phone numbers by their form, by the words around them, and by libphonenumber."""

import re

import phonenumbers

_SAID_BEFORE = re.compile(
    r"(?i)\b(?:phones?|tel|telephone|mobile|cell|fax|desk|office|call(?:ed|ing)?|ring|dial|text|sms"
    r"|whatsapp|reach(?:ed)?|contact|numbers?|answering|registered|hotline|landline|direct)\b"
    r"[^\d\n]{0,32}\n?[^\w\n]{0,8}$"
)
_SAID_AFTER = re.compile(r"(?i)^[\s(-]*(?:office|fax|mobile|cell|home|work|desk|phone)\b")
# Words that name another kind of number.
_NOT_A_PHONE = re.compile(
    r"(?i)\b(?:card|account|iban|ssn|social security|order|invoice|ticket|case|id|isbn|serial|model"
    r"|version|tracking|zip|po box|pin|code|year|price|total|licen[cs]e)\b[^\d\n]{0,24}$"
)
_DATE = re.compile(
    r"\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./](?:\d{4}|\d{2})(?: \d{1,2})?"
)
_AMERICAN = re.compile(
    r"(?:\+?1[-. ]?)?(?:\(\d{3}\) ?|\d{3}[-. ])\d{3}[-. ]\d{4}(?: ?(?:x|ext\.? ?)\d{1,6})?"
)
_DATED = re.compile(r"\b(?:19|20)\d\d[-./ ]\d{1,2}[-./ ]\d{1,2}\b")
_DECIMAL = re.compile(r"\d+\.\d+")
_CLOCK_BEFORE, _CLOCK_AFTER = re.compile(r"\d:$"), re.compile(r"^:\d")
_SEPARATED = re.compile(r"[ ()./-]")
_EXTENSION = re.compile(r" ?(?:x|ext\.?) ?\d{1,6}$")
# The countries whose numbers are tried where a number has no country code.
_REGIONS = ("US", "GB", "DE", "FR", "IT", "ES", "AU", "IN", "BR", "PL", "NL", "SE", "CH", "JP")
# libphonenumber takes about a millisecond to try all these countries, a thousand times what the
# rest of a text of this size costs. So it is asked about so many numbers of one text.
_MOST_ASKED = 200


class Validity:
    """Asks libphonenumber whether numbers of one text are in use, for the first few hundred.

    Of a text with more of them, the later ones pass for valid.
    """

    def __init__(self) -> None:
        self.asked = 0

    def holds(self, number: str) -> bool:
        self.asked += 1
        return self.asked > _MOST_ASKED or _is_valid(number)


def is_phone(number: str, before: str, after: str, validity: Validity) -> bool:
    digits = sum(map(str.isdigit, _EXTENSION.sub("", number)))
    if not 7 <= digits <= 15 or _is_other(number, before, after):
        return False
    if number.startswith(("+", "(+")):
        return _is_possible(number)
    if _NOT_A_PHONE.search(before):
        return False
    if _AMERICAN.fullmatch(number):
        return True
    if _SAID_BEFORE.search(before) or _SAID_AFTER.search(after):
        return _looks_dialled(number)
    return (
        number.startswith(("0", "(0"))
        and bool(_SEPARATED.search(number))
        and validity.holds(number)
    )


def _is_other(number: str, before: str, after: str) -> bool:
    """A date, a time or a fraction."""
    return bool(
        _DATE.fullmatch(number)
        or _DECIMAL.fullmatch(number)
        or _DATED.search(number)
        or _CLOCK_BEFORE.search(before)
        or _CLOCK_AFTER.search(after)
    )


def _looks_dialled(number: str) -> bool:
    groups = re.findall(r"\d+", number)
    return len(groups) <= 7 and sum(map(len, groups)) >= 2 * len(groups)


def _is_possible(number: str) -> bool:
    try:
        return phonenumbers.is_possible_number(phonenumbers.parse(number, None))
    except phonenumbers.NumberParseException:
        return False


def _is_valid(number: str) -> bool:
    """Whether somebody in one of the usual countries has such a number."""
    try:
        return any(
            phonenumbers.is_valid_number(phonenumbers.parse(number, region)) for region in _REGIONS
        )
    except phonenumbers.NumberParseException:
        return False
