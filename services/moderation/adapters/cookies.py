"""Finds the cookies by which somebody is logged in, in headers and in code."""

import re
from collections.abc import Iterator

import re2  # type: ignore[import-untyped]

from services.moderation.adapters.credentials import entropy, stands_for_one

SESSION_COOKIE = "session-cookie"

_BEFORE = re2.compile(
    rb"(?i)(?:\bcookies?2?\\?[\"']?[ \t]{0,4}[:=]"
    rb"|\bcurl\b[^\n]{0,400}[ \t](?:-b|--cookie)(?:[ \t]|=))"
)
# Each of a header's pairs. Nothing is given back, so that a line is read once.
_PAIR = re.compile(
    rb"(?<![A-Za-z0-9_.%$-])([A-Za-z0-9_.%$-]{1,64}+)\\?[\"']?[ ]?[=:][ ]?\\?[\"']?"
    rb"([A-Za-z0-9%._~+/=|:!*-]{8,4096}+)"
)
# What says who somebody is, and not what they like or how they are counted.
_NAME = re.compile(
    rb"(?i)sess|sid$|^sid|_sid|token|auth|jwt|csrf|xsrf|remember|log(?:ged_?)?in|ticket|identity|cred"
    rb"|clearance|^__(?:secure|host)-|^user$|^(?:hs|ss|aps|saps|lsol)id$"
)
_ATTRIBUTES = frozenset((b"expires", b"max-age", b"path", b"domain", b"samesite", b"priority"))
_DIGIT, _LETTER = re.compile(rb"[0-9]"), re.compile(rb"[A-Za-z]")
_LEAST_ENTROPY = 3.0


def session_cookies(raw: bytes) -> Iterator[tuple[int, int, str]]:
    if b"ookie" not in raw and b"OOKIE" not in raw and b" -b" not in raw:
        return
    reach = 0
    for header in _BEFORE.finditer(raw):
        begin = max(reach, header.end())
        end = raw.find(b"\n", begin)
        reach = max(reach, end if end >= 0 else len(raw))
        for pair in _PAIR.finditer(raw, begin, reach):
            value = pair[2].rstrip(b".,:!*")
            if _is_session(pair[1], value):
                yield pair.start(2), pair.start(2) + len(value), SESSION_COOKIE


def _is_session(name: bytes, value: bytes) -> bool:
    return bool(
        name.lower() not in _ATTRIBUTES
        and _NAME.search(name)
        and _DIGIT.search(value)
        and _LETTER.search(value)
        and entropy(value) >= _LEAST_ENTROPY - (len(value) < 16)
        and not stands_for_one(value)
    )
