"""Finds tokens by their own form, and credentials in headers, where gitleaks has no rule for it."""

import binascii
import re
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import re2  # type: ignore[import-untyped]

from services.moderation.adapters.credentials import is_default, is_name, is_published, looks_random

# A rule of gitleaks' too, which wants a quote, a blank or the end behind it.
JWT = "jwt"
BASIC_AUTH = "basic-auth"
BEARER_TOKEN = "bearer-token"  # noqa: S105
ACCESS_TOKEN = "access-token"  # noqa: S105
OWN_KEY = "chatmesh-api-key"

Find = tuple[int, int, str]


@dataclass(frozen=True, slots=True)
class _Form:
    rule: str
    # One of these stands in every text with such a token.
    signs: tuple[bytes, ...]
    pattern: Any


_WORD = rb"[A-Za-z0-9_-]"
# Signed, or encrypted in five parts; what it says need not be JSON.
_JWT = (
    rb"\bey[JA]" + _WORD + rb"{8,}\.(?:"
    rb"ey[JA]" + _WORD + rb"{8,}\." + _WORD + rb"{10,}"
    rb"|" + _WORD + rb"*\." + _WORD + rb"{10,}\." + _WORD + rb"{10,}\." + _WORD + rb"{10,}"
    rb"|" + _WORD + rb"{10,}\." + _WORD + rb"{30,})"
)
# What follows is unlike for each, and long for all.
_ACCESS = (
    rb"\b(?:sk-(?:(?:proj|svcacct|admin|lf|ant-[a-z0-9]{2,8}|or-v1)-)?|GOCSPX-|ya29\.|1//0|gsk_|xai-"
    rb"|nvapi-|pplx-|ntn_|dckr_[op]at_|whsec_|discord(?:app)?\.com/api/webhooks/[0-9]{17,20}/)"
    rb"([A-Za-z0-9_+/=-]{20,})"
)
_BOT = (
    rb"\b(?:[0-9]{8,10}:AA[A-Za-z0-9_-]{33}"
    rb"|[MNO][A-Za-z0-9_-]{23,27}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27,38})\b"
)
_FORMS = (
    _Form(JWT, (b"eyJ", b"eyA"), re2.compile(_JWT)),
    _Form(
        OWN_KEY,
        (b"cm_live_",),
        re2.compile(rb"cm_live_[A-Za-z0-9]{8}_[A-Za-z0-9]{43}(?:_[0-9a-f]{8})?"),
    ),
    _Form(
        BASIC_AUTH,
        (b"asic ", b"ASIC "),
        re2.compile(rb"(?i)\bbasic[ \t]{1,4}([A-Za-z0-9+/]{8,}={0,2})"),
    ),
    _Form(
        BASIC_AUTH,
        (b"auth",),
        re2.compile(rb"\b_?auth\\?\"?[ \t]{0,4}[:=][ \t]{0,4}\\?\"?([A-Za-z0-9+/]{8,}={0,2})"),
    ),
    _Form(
        BEARER_TOKEN,
        (b"earer ", b"EARER ", b"uthorization"),
        re2.compile(
            rb"(?i)(?:\bbearer|\bauthorization[\"']?[ \t]{0,4}[:=][ \t]{0,4}[\"']?token)[ \t]{1,4}"
            rb"([A-Za-z0-9+/=_.~-]{16,})"
        ),
    ),
    _Form(ACCESS_TOKEN, (b"-", b"_", b"/", b"."), re2.compile(_ACCESS)),
    _Form(ACCESS_TOKEN, (b":AA", b"."), re2.compile(_BOT)),
    _Form(ACCESS_TOKEN, (b"sig=",), re2.compile(rb"[?&]sig=([A-Za-z0-9%/+]{40,})")),
)
TOKENS = frozenset(form.rule for form in _FORMS)
_DIGIT = re.compile(rb"[0-9]")
_MADE_UP = re.compile(rb"(?i)example|placeholder|your[_-]|x{6}|\.{3}|0{8}|12345678")
_HEX = re.compile(rb"[0-9a-f]{32,}")


def tokens(raw: bytes, stopwords: Any) -> Iterator[Find]:
    """Those of a form that gives them away; of others, none that holds what `stopwords` finds."""
    for form in _FORMS:
        if any(sign in raw for sign in form.signs):
            for match in form.pattern.finditer(raw):
                group = next((n for n, held in enumerate(match.groups(), 1) if held), 0)
                if _is_secret(form.rule, match.group(group), stopwords):
                    yield (*match.span(group), form.rule)


def _is_secret(rule: str, found: bytes, stopwords: Any) -> bool:
    if is_published(found):
        return False
    if rule == BASIC_AUTH:
        return _holds_credentials(found)
    if rule == BEARER_TOKEN:
        token = found.rstrip(b".")
        random = looks_random(token) and not is_name(token, stopwords)
        return random or bool(_HEX.fullmatch(token))
    if rule == ACCESS_TOKEN:
        return len(_DIGIT.findall(found)) > 2 and not _MADE_UP.search(found)
    return True


def _holds_credentials(encoded: bytes) -> bool:
    """Whether it is a name and a password of one's own in base64."""
    try:
        user, colon, password = b64decode(encoded, validate=True).decode("ascii").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return False
    known = is_default(user.encode(), password.encode())
    return bool(colon and len(password) > 2 and (user + password).isprintable() and not known)
