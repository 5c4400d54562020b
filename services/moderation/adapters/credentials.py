"""Finds passwords and keys by where they stand: in URLs, and behind names such as `api_secret`."""

import math
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import re2  # type: ignore[import-untyped]

URL_CREDENTIALS = "url-credentials"
ASSIGNED_SECRET = "assigned-secret"  # noqa: S105

# User and password may hold an `@` that somebody forgot to encode.
_URL = re2.compile(
    rb"\b[A-Za-z][A-Za-z0-9+.-]{1,31}://([^\s/:@]{0,128}(?:@[^\s/:@\"'`<>,]{1,128})?):"
    rb"([^\s/@\"'`]{3,256}(?:@[^\s/:@?&=,;\"'`<>()\[\]]{1,128})*)@"
)
# A list goes on behind a port.
_PORT = re.compile(rb"[0-9]{1,5}[,;|)\]]")
_PLACEHOLDER = re.compile(
    rb"(?i)^(?:pass(?:word|wd|phrase)?|pwd|secret|token|change[_-]?(?:me|it|this)|x+|\*+|\.+|-+"
    rb"|[<{\[$%].*|your.*|my[_-]?(?:pass(?:word)?|secret)|example|placeholder|redacted|dummy)$"
)
# What images, tutorials and compose files come with. They protect nothing.
_DEFAULTS = frozenset(
    b"123 1234 12345 123456 12345678 123456789 abc abc123 admin admin123 administrator airflow "
    b"alice artemis bar baz bitnami bob cassandra changeit changeme clickhouse couchbase "
    b"couchdb db dba dbpass dbpassword default demo dev developer devpass docker elastic "
    b"elasticsearch example foo foobar foobared ftp grafana guest hunter2 influx influxdb jenkins "
    b"kafka keycloak kong letmein local localhost manager mariadb minio minio123 minioadmin mongo "
    b"mongoadmin mongodb mosquitto mssql mypassword mysecretpassword mysql nats neo4j nexus "
    b"odoo oracle p4ssword p4ssw0rd p@ssw0rd p@ssword pass pass123 passw0rd password password1 "
    b"password123 pg pgpass postgis postgres postgres123 postgresql qwerty rabbit rabbitmq "
    b"rabbitpass redis replica root root123 rootpass rootpassword sa sample secret secret123 "
    b"sonar superset supersecret system test test123 test1234 tester testing testpass "
    b"testpassword tiger toor user user123 userpass vagrant wordpress yourpassword "
    b"yourstrong(!)password zabbix".split()
)
# Keys that are printed in public documents. Whoever uses them opens an emulator or nothing.
_PUBLISHED = frozenset(
    (
        b"wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
        b"QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
        b"$2a$10$N9qo8uLOickgx2ZMRZoMyeIjZAgcfl7p92ldGxad68LJZdL17lhWy",
        b"QWxhZGRpbjpPcGVuU2VzYW1l",
        b"je7MtGbClwBF/2Zp9Utk/h3yCo8nvbEXAMPLEKEY",
        b"Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==",
        b"C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DEQ2nQDIoxUlfFoxDQZGfHmgBI0fPg0EZrNxrbB0sg==",
    )
)
_NAME = (
    rb"(?i)(?:\b|_)(?:[a-z0-9.]{1,24}[_-]){0,4}[a-z0-9]{0,24}"
    rb"(?:secret|passw(?:or)?d|passwd|passphrase|pwd|token|credentials?|creds|(?:[_-]|\b)pass"
    rb"|(?:api|access|auth|private|master|encryption|signing|session|shared|client|service)"
    rb"[_-]?keys?|(?:[_-]|\b)pw)"
)
# `base` and the like may follow the name. What says that the value is none may not.
_NAMED = _NAME + rb"(?:[_-]?(?:base|key|value|string|prod|production|dev|live|v?[0-9]{1,3})){0,2}"
_QUOTE = rb"(?:\\{0,3}[\"'`])?"
_BLANKS = rb"[ \t]{0,8}"
# One line break at most: of what was shown, a growing reply is read from the line above on.
_GAP = rb"[, \t]{0,20}\r?\n?[, \t]{0,20}"
# Where a value stands behind a name. Each is a pattern of its own, since RE2 needs too much memory
# for one of all.
_BEFORE_VALUES = tuple(
    map(
        re2.compile,
        (
            # In code, configuration, prose and Markdown.
            _NAMED
            + _QUOTE
            + rb"(?:\*{0,2}"
            + _BLANKS
            + rb"(?::=|=>|==?|:)\*{0,2}"
            + _BLANKS
            + rb"|[ \t]+is[ \t:]+)",
            # With a type.
            _NAMED + rb" ?: ?&?[A-Za-z'][A-Za-z0-9_.' ]{0,30} = ",
            # In a table; where name and value each have a name; on the next line of YAML.
            _NAMED + rb" {0,8}\| {0,8}",
            _NAMED + _QUOTE + _GAP + _QUOTE + rb"value" + _QUOTE + rb" {0,4}[:=] {0,4}",
            _NAMED + rb": {1,4}[|>][+-]?\n {1,16}",
            # Where only blanks stand between: options, commands, `.netrc`.
            rb"(?i)(?:--|\b(?:env|setx|set -[a-z]{1,3}|configure set) |#define )"
            + _NAMED
            + rb"[ \t]+",
            rb"\blogin[ \t]{1,8}\S{1,64}" + _GAP + rb"password[ \t]+",
        ),
    )
)
_ELEMENT = re2.compile(rb"(?i)<" + _NAMED + rb">([^\s<>]{10,200})</")
_VALUE = re.compile(
    rb"\*{0,2}(?:\\{0,3}\"([^\"\s\\]{10,200})\\{0,3}\"|'([^'\s]{10,200})'|`([^`\s]{10,200})`"
    rb"|([!#-&(-_a-~]{10,200}))"
)
# What goes on behind the longest value that is looked at.
_REST = re.compile(rb"[!#-&(-_a-~]*")
_CODE = re.compile(
    rb"^[$%@*<{\[(&!|/~]?[A-Za-z_][\w.-]*[(\[]|^[<{\[(]|^\$[({A-Za-z_]|^%[A-Za-z_({]|[()\[\]{}<>]{2}"
    rb"|^[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+[;,()]|\)$|\]$|::|->|://|\.\w{1,5}$|^[\w.+-]+@[\w-]+\.[\w.-]+$|^arn:|^(?:\.{0,2}/|~/)"
)
_DATE = re.compile(rb"^\d{4}-\d\d-\d\d|^\d{1,2}[./]\d{1,2}[./]\d{2,4}|^\d{1,2}:\d\d")
_MADE_UP = re.compile(
    rb"(?i)example|placeholder|change-?me|your[_-]|dummy|redacted|x{4}|\*{3}|\.{3}"
)
# What stands for a password that the reader has.
_STANDS_FOR_ONE = re.compile(
    rb"^[A-Z][A-Z0-9]*(?:[_-][A-Z0-9]+)+$"
    rb"|(?i:^[a-z_.-]*(?:passw(?:or)?d|passwd|passphrase|secret|token)[a-z_.-]*[0-9]{0,3}$)"
)
_UPPER, _LOWER = re.compile(rb"[A-Z]"), re.compile(rb"[a-z]")
_DIGIT, _SIGN = re.compile(rb"[0-9]"), re.compile(rb"[!-/:-@\[-`{-~]")
# Signs that also stand in names, paths and versions.
_PLAIN_SIGN = re.compile(rb"[._/:=+-]")
_LEAST_ENTROPY = 3.1
_LONGEST_VALUE = 200


def is_published(secret: bytes) -> bool:
    """Whether everybody knows it, so that masking it protects nobody."""
    return secret in _PUBLISHED


def url_credentials(raw: bytes) -> Iterator[tuple[int, int, str]]:
    if b"://" in raw:
        for match in _URL.finditer(raw):
            user, password = match.group(1), match.group(2)
            if not is_default(user, password) and not _PORT.match(password):
                yield (*match.span(2), URL_CREDENTIALS)


def is_default(user: bytes, password: bytes) -> bool:
    """Whether the password protects nothing: it is the user's name, a placeholder, or known."""
    lowered = password.lower()
    return bool(
        lowered == user.lower()
        or lowered in _DEFAULTS
        or _PLACEHOLDER.match(password)
        or is_published(password)
    )


def stands_for_one(password: bytes) -> bool:
    """Whether it protects nothing, or only stands where a password goes."""
    return bool(
        is_default(b"", password) or _STANDS_FOR_ONE.search(password) or _MADE_UP.search(password)
    )


def is_mixed(password: bytes) -> bool:
    """Whether letters and digits are mixed as in a password, and not as in code or a date."""
    return bool(
        len(password) >= 6
        and _DIGIT.search(password)
        and (_UPPER.search(password) or _LOWER.search(password))
        and not _CODE.search(password)
        and not _DATE.search(password)
    )


def assigned_secrets(raw: bytes, stopwords: Any) -> Iterator[tuple[int, int, str]]:
    """Values that look random behind a name that says secret.

    Values of letters and digits alone must hold none of what `stopwords` finds.
    """
    reach = 0
    for start, end in sorted({*_behind_names(raw)}):
        value = raw[start:end]
        if start >= reach and looks_random(value) and not is_name(value, stopwords):
            rest = _REST.match(raw, end) if len(value) == _LONGEST_VALUE else None
            reach = rest.end() if rest else end
            yield start, reach, ASSIGNED_SECRET


def _behind_names(raw: bytes) -> Iterator[tuple[int, int]]:
    for element in _ELEMENT.finditer(raw):
        yield element.span(1)
    for place in {found.end() for before in _BEFORE_VALUES for found in before.finditer(raw)}:
        if match := _VALUE.match(raw, place):
            group = next(number for number in (1, 2, 3, 4) if match[number])
            start, end = match.span(group)
            # Without quotes: what ends the sentence is no part of it.
            yield start, end if group < 4 else start + len(match[4].rstrip(b".,;:)*|\\"))


def looks_random(value: bytes) -> bool:
    """Whether it is rather a secret than a word, a piece of code, a place or a date."""
    kinds = (_UPPER, _LOWER, _DIGIT, _SIGN)
    return bool(
        len(value) >= 12
        and sum(bool(kind.search(value)) for kind in kinds) >= 3
        and _DIGIT.search(value)
        and entropy(value) > _LEAST_ENTROPY
        and not _CODE.search(value)
        and not _DATE.search(value)
        and not _MADE_UP.search(value)
        and value.lower() not in _DEFAULTS
        and not is_published(value)
    )


def is_name(value: bytes, stopwords: Any) -> bool:
    """Whether it may be the name of something, made of words."""
    if _SIGN.search(_PLAIN_SIGN.sub(b"", value)):
        return False
    lowered = value.lower()
    return len(_DIGIT.findall(value)) < 2 or bool(stopwords.search(lowered))


def entropy(secret: bytes) -> float:
    """Shannon's, in bits per character."""
    counts, length = Counter(secret).values(), len(secret)
    return -sum(count / length * math.log2(count / length) for count in counts)
