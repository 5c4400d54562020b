"""Finds personal data by its form and its checksum: addresses, accounts, cards, numbers."""

import re
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from stdnum import iban, luhn
from stdnum.us import ssn

from services.moderation.adapters.phones import Validity, is_phone
from services.moderation.api import Span

# Letters that addresses are written in; others may touch an address in scripts without spaces.
_LETTERS = r"A-Za-z0-9_\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u024f\u0370-\u03ff\u0400-\u04ff"
_EMAIL = re.compile(
    rf"(?<![{_LETTERS}.+-])[{_LETTERS}.+-]{{1,64}}(?:'[{_LETTERS}.+-]{{1,64}})?"
    rf"@(?:[{_LETTERS}-]{{1,63}}\.){{1,8}}(?:xn--[a-z0-9-]{{2,59}}|[A-Za-z]{{2,63}})(?![A-Za-z0-9_-])"
    # With a country of another script, all of it may be in that.
    r"|(?<![\w.+-])[\w.+-]{1,64}@(?:[\w-]{1,63}\.){1,8}[^\W\d_A-Za-z]{2,63}"
)
_IBAN_BEGIN = re.compile(r"(?<![A-Za-z0-9])([A-Za-z]{2})\d{2}")
_IBAN_TAIL = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?:[ -]?[A-Za-z0-9]){0,30}[ -]?\Z")
# ISO 13616: how long a country's account numbers are.
_IBAN_LENGTHS = {
    entry[:2]: int(entry[2:])
    for entry in (
        "AD24 AE23 AL28 AT20 AZ28 BA20 BE16 BG22 BH22 BR29 BY28 CH21 CR22 CY28 CZ24 DE22 DK18 DO28 "
        "EE20 EG29 ES24 FI18 FO18 FR27 GB22 GE22 GI23 GL18 GR27 GT28 HR21 HU28 IE22 IL23 IQ23 IS26 "
        "IT27 JO30 KW30 KZ20 LB28 LC32 LI21 LT20 LU20 LV21 LY25 MC27 MD24 ME22 MK19 MR27 MT31 MU30 "
        "NL18 NO15 PK24 PL28 PS29 PT25 QA29 RO24 RS22 SA24 SC31 SE24 SI19 SK24 SM27 ST25 SV28 TL23 "
        "TN24 TR26 UA29 VA22 VG24 XK20"
    ).split()
}
# Digits on one line with at most a few signs between them; each run is judged by itself. Nothing
# in it is given back once it is taken, so that a run is read once, however it ends.
_RUN = re.compile(
    r"(?<![\w@#$€£+-])(?<!\d[.,·])"
    r"(?:\+\s?)?(?:\(\+?\d{1,5}\)[ .-]?)?\d++"
    r"(?:(?: ?\(\d{1,5}\) ?| ?[-./] ?| {1,2}| ?(?:x|ext\.?) ?)\d++)*+",
    re.ASCII,
)
# A run that such a character follows is no number.
_GOES_ON = re.compile(r"[\w@%]", re.ASCII)
# The word after a number may say what it is. So a number is open until that word has come.
_OPEN_RUN = re.compile(
    r"(?:(?:\+\s?)?\(?\+?\d[\d ().\-/x]*(?:ext\.? ?)?)(?:\s+\w*|[^\w\s]+\s*\w*)?\Z"
)
_LONGEST_RUN = 40
# How far from a line's end a number that is still open may begin.
_LONGEST_OPEN = 160
_GROUP = re.compile(r"\d+")
_CARD = re.compile(r"(?:1800|2131|2[2-7]|3|4|5|6)\d*")
_IP = re.compile(r"(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)\.){3}(?:25[0-5]|2[0-4]\d|1?\d?\d)")
_IP6 = re.compile(r"(?<![\w:.])(?:[0-9a-fA-F]{0,4}:){2,7}[0-9a-fA-F]{0,4}(?![\w:.])")
_SSN = re.compile(r"\d{3}-\d{2}-\d{4}|\d{3} \d{2} \d{4}")
_BEFORE, _AFTER = 48, 12
_PIECES = 8


class PersonalFinder:
    """Finds e-mail and IP addresses, IBANs, payment cards, US social security and phone numbers.

    Names and postal addresses are not found: that takes a model of names.
    """

    family = "personal"
    rules = frozenset({"email", "ip-address", "iban", "credit-card", "us-ssn", "phone"})

    def find(self, text: str) -> list[Span]:
        found: list[Span] = []
        if "@" in text:
            found += (Span(*match.span(), "email") for match in _EMAIL.finditer(text))
        if any(map(str.isdigit, text)):
            found += _ibans(text)
            found += _numbers(text, found)
        if "::" in text or text.count(":") > 4:
            found += (Span(*m.span(), "ip-address") for m in _IP6.finditer(text) if _is_ip6(m[0]))
        return found

    def settled(self, text: str) -> int:
        begin = max(text.rfind("\n") + 1, len(text) - _LONGEST_OPEN)
        line = text[begin:]
        matches = (_open_run(line), _IBAN_TAIL.search(line))
        return min((begin + match.start() for match in matches if match), default=len(text))


def _open_run(line: str) -> re.Match[str] | None:
    match = _OPEN_RUN.search(line)
    if match and sum(map(str.isdigit, match[0])) > _LONGEST_RUN:
        return None
    return match


def _ibans(text: str) -> Iterator[Span]:
    for match in _IBAN_BEGIN.finditer(text):
        rest = _IBAN_LENGTHS.get(match[1].upper(), 0) - 4
        written = re.compile(rf"(?:[ -]?[A-Za-z0-9]){{{rest}}}").match(text, match.end())
        if rest > 0 and written:
            span = Span(match.start(), written.end(), "iban")
            if iban.is_valid(text[span.start : span.end], check_country=False):
                yield span


def _numbers(text: str, known: Iterable[Span]) -> Iterator[Span]:
    """Numbers in runs of digits that touch nothing known."""
    taken = deque(sorted((span.start, span.end) for span in known))
    validity = Validity()
    reach = 0
    for match in _RUN.finditer(text):
        begin, end = match.span()
        while taken and taken[0][0] < end:
            reach = max(reach, taken.popleft()[1])
        if reach <= begin and not _GOES_ON.match(text, end):
            yield from _judged(text, begin, end, validity)


def _judged(text: str, begin: int, end: int, validity: Validity) -> Iterator[Span]:
    """What a run of digits is as a whole or, where it has spaces, what its longest parts are."""
    if not 4 <= sum(map(str.isdigit, text[begin:end])) <= _LONGEST_RUN:
        return
    # Its own line and the one above say what it is.
    before = "\n".join(text[max(0, begin - _BEFORE) : begin].split("\n")[-2:])
    after = text[end : end + _AFTER].partition("\n")[0]
    pieces = [m.span() for m in re.finditer(r"\S+", text[begin:end])][:_PIECES]
    first = 0
    while first < len(pieces):
        for last in range(len(pieces), first, -1):
            start, stop = begin + pieces[first][0], begin + pieces[last - 1][1]
            if rule := _rule(text[start:stop].rstrip(".-/"), before, after, validity):
                yield Span(start, start + len(text[start:stop].rstrip(".-/")), rule)
                first = last - 1
                break
        first += 1


def _rule(number: str, before: str, after: str, validity: Validity) -> str:
    for rule, holds in _TESTS:
        if holds(number):
            return rule
    return "phone" if is_phone(number, before, after, validity) else ""


def _is_card(number: str) -> bool:
    digits = "".join(_GROUP.findall(number))
    grouped = number.isdigit() or re.fullmatch(
        r"\d{4}([-./]| {1,2})\d{4,6}\1\d{4,5}(?:\1\d{1,7})?", number
    )
    return bool(
        12 <= len(digits) <= 19 and grouped and _CARD.fullmatch(digits) and luhn.is_valid(digits)
    )


def _is_ssn(number: str) -> bool:
    return bool(_SSN.fullmatch(number)) and ssn.is_valid(number.replace(" ", "-"))


def _is_ip(number: str) -> bool:
    return bool(_IP.fullmatch(number))


def _is_ip6(written: str) -> bool:
    groups = [group for group in written.split(":") if group]
    if written.count("::") > 1 or ":::" in written:
        return False
    # Of two groups, the first is a network's and no name in code.
    least = 2 if re.match(r"(?=\D{0,3}\d)[0-9a-fA-F]{4}::?", written) else 3
    return len(groups) >= least and ("::" in written or len(groups) == 8)


_TESTS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("ip-address", _is_ip),
    ("credit-card", _is_card),
    ("us-ssn", _is_ssn),
)
