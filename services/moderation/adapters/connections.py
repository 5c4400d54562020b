"""Finds passwords in connection strings and in files that programs log in with."""

import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import re2  # type: ignore[import-untyped]

from services.moderation.adapters.credentials import is_mixed, is_published, stands_for_one
from services.moderation.adapters.private_keys import PRIVATE_KEY
from services.moderation.adapters.signs import Signs

CONNECTION_PASSWORD = "connection-password"  # noqa: S105
LOGIN_PASSWORD = "login-password"  # noqa: S105
PASSWORD_HASH = "password-hash"  # noqa: S105
ACCOUNT_KEY = "account-key"

Find = tuple[int, int, str]

_NAMES = rb"(?:[Uu]ser )?(?:[Pp]assword|PASSWORD|[Pp]asswd|[Pp]wd|PWD)"
# Up to the sign that ends it; without one, up to the next blank.
_VALUE = (
    rb"(?:\"([^\"\n]{3,64})\"|'([^'\n]{3,64})'|([^;\"'`\n<>]{3,64});"
    rb"|([!#-%*+\--:=?-_a-{}~]{3,200}))"
)


def _any(value: bytes) -> bool:
    return not stands_for_one(value)


def _mixed(value: bytes) -> bool:
    return is_mixed(value) and not stands_for_one(value)


def _long(value: bytes) -> bool:
    return len(set(value)) > 8 and not stands_for_one(value)


def _hash(value: bytes) -> bool:
    return len(set(value)) > 12 and not is_published(value)


@dataclass(frozen=True, slots=True)
class _Form:
    rule: str
    # One of these stands in every text with such a secret.
    signs: tuple[bytes, ...]
    pattern: Any
    holds: Callable[[bytes], bool]


# A private key in base64 begins like this, whatever kind of key it is.
_KEYS_BEGIN = b"|".join(
    b64encode(b"-----BEGIN " + kind + b"PRIVATE KEY-----")[:36]
    for kind in (b"", b"RSA ", b"EC ", b"DSA ", b"OPENSSH ", b"ENCRYPTED ")
)
_USERS = rb"(?i)\buser(?:_?name)?[\"']?[ \t]{0,4}[:=][ \t]{0,4}[^\s:=]{1,64}\r?\n[ \t]{0,16}"
_FORMS = (
    _Form(
        CONNECTION_PASSWORD,
        (b"assw", b"PASSW", b"wd", b"WD"),
        re2.compile(rb";[ \t]?" + _NAMES + rb"=" + _VALUE),
        _mixed,
    ),
    _Form(
        CONNECTION_PASSWORD,
        (b"assw", b"PASSW", b"wd", b"WD"),
        re2.compile(rb"(?:^|[\s\"'`])" + _NAMES + rb"=([!#-%*+\--:=?-_a-{}~]{3,200});[A-Za-z]{2}"),
        _mixed,
    ),
    # Of a URL, or of libpq.
    _Form(
        CONNECTION_PASSWORD,
        (b"assw", b"pwd"),
        re2.compile(
            rb"://[^\s\"'`<>]{1,400}[?&](?:password|passwd|pwd)=([!$%*+\--:=?-_a-{}~]{3,200})"
        ),
        _any,
    ),
    _Form(
        CONNECTION_PASSWORD,
        (b"password=",),
        re2.compile(
            rb"\b(?:host|user|dbname|port|sslmode)=[^\s=;&]{1,64} password="
            rb"([!#-%*+\--:=?-_a-{}~]{3,200})"
        ),
        _mixed,
    ),
    _Form(
        ACCOUNT_KEY,
        (b"Key=",),
        re2.compile(
            rb"\b(?:AccountKey|SharedAccessKey|SharedSecretKey)=([A-Za-z0-9+/]{32,}={0,2})"
        ),
        _long,
    ),
    _Form(
        PRIVATE_KEY,
        (b"LS0tLS1CRUdJTi",),
        re2.compile(rb"\b((?:" + _KEYS_BEGIN + rb")[A-Za-z0-9+/=_-]{8,})"),
        bool,
    ),
    _Form(
        PRIVATE_KEY,
        (b"key-data",),
        re2.compile(rb"\bclient-key-data[\"']?:[ \t]{1,4}[\"']?([A-Za-z0-9+/]{40,}={0,2})"),
        _long,
    ),
    # Of npm, `.netrc`, `.pgpass` and `.pypirc`.
    _Form(
        LOGIN_PASSWORD,
        (b":_auth", b":_password"),
        re2.compile(rb":_(?:authToken|password)[ \t]?=[ \t]?[\"']?([!#-&(-;=?-~]{8,})"),
        _mixed,
    ),
    _Form(
        LOGIN_PASSWORD,
        (b"login",),
        re2.compile(
            rb"\bmachine[ \t]+\S{1,200}[ \t]+login[ \t]+\S{1,64}"
            rb"[ \t]+password[ \t]+([!#-&(-_a-~]{3,200})"
        ),
        _any,
    ),
    _Form(
        LOGIN_PASSWORD,
        (b"password",),
        re2.compile(
            rb"\b(?:login|account)[ \t]+\S{1,64}[ \t]*\r?\n?[ \t]*"
            rb"password[ \t]+([!#-&(-_a-~]{3,200})"
        ),
        _mixed,
    ),
    _Form(
        LOGIN_PASSWORD,
        (b":",),
        re2.compile(
            rb"(?m)(?:^|[ \t>`'\"])[A-Za-z0-9_.*-]{1,200}:(?:[0-9]{3,5}|\*):[A-Za-z0-9_*-]{1,64}:"
            rb"[A-Za-z0-9_.@*-]{1,64}:([!#-&(-9;-_a-~]{6,200})"
        ),
        _mixed,
    ),
    _Form(
        LOGIN_PASSWORD,
        (b"ser", b"SER"),
        re2.compile(
            _USERS + rb"pass(?:word|wd)?[\"']?[ \t]{0,4}[:=][ \t]{0,4}[\"']?([!#-&(-_a-~]{6,200})"
        ),
        _mixed,
    ),
    # Of crypt, as in `.htpasswd` and `/etc/shadow`, and of LDAP.
    _Form(
        PASSWORD_HASH,
        (b"$",),
        re2.compile(
            rb"\$(?:apr1|1|5|6|7|y|gy|sha1|md5)\$(?:rounds=[0-9]{1,9}\$)?[A-Za-z0-9./$]{24,200}"
            rb"|\$2[abxy]?\$[0-9]{2}\$[A-Za-z0-9./]{53}"
            rb"|\$(?:argon2(?:id|i|d)|scrypt|pbkdf2-sha[0-9]{1,3})\$[A-Za-z0-9./$=,+-]{24,400}"
        ),
        _hash,
    ),
    _Form(
        PASSWORD_HASH,
        (b"SHA}", b"SHA256}", b"SHA512}"),
        re2.compile(rb"\{S?SHA(?:256|512)?\}[A-Za-z0-9+/]{27,120}={0,2}"),
        _hash,
    ),
)
_SOUGHT = Signs((form, form.signs) for form in _FORMS)
CONNECTION_RULES = frozenset(form.rule for form in _FORMS)
_BEGUN = re.compile(
    rb"; ?(?:[Uu]ser )?(?:[Pp]assword|PASSWORD|[Pp]asswd|[Pp]wd|PWD)="
    rb"([^;\"'`\n<>]{0,64}|\"[^\"\n]{0,64}|'[^'\n]{0,64})\Z"
)


def connection_passwords(raw: bytes) -> Iterator[Find]:
    for form in _SOUGHT.forms_for(raw):
        for match in form.pattern.finditer(raw):
            yield from _secret(form, match)


def _secret(form: _Form, match: Any) -> Iterator[Find]:
    group = next((n for n, held in enumerate(match.groups(), 1) if held), 0)
    start = match.start(group)
    value = match[group]
    if form.rule != PASSWORD_HASH:
        value = value.rstrip(b".,:;!?*]})")
    if form.holds(value):
        yield start, start + len(value), form.rule


def open_connection(line: bytes) -> int:
    """Where a password begins that may hold blanks, and whose end has not come."""
    match = _BEGUN.search(line)
    return match.start(1) if match else len(line)
