"""Finds private keys between their begin and end lines, also those that are cut off.

A rule of our own: gitleaks' needs an end line, which a cut-off reply lacks, and takes the prose up
to the next one for a part of the key.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import re2  # type: ignore[import-untyped]

PRIVATE_KEY = "private-key"
ANSIBLE_VAULT = "ansible-vault"

# A line break as code, JSON, URLs and pages write it. `\n-` begins a line of a diff.
_BREAK = rb"(?:[\r\n]|\\{1,4}[nr]|<br ?/?>|%0[ADad]|&#1[03];|\n-)"
# What may stand between two lines: also what quotes, comments and tables put around a line.
_GAP = rb"(?:" + _BREAK + rb"|[\s\"'`>|#,;*+.\\]|//)*"
_GAP_BEGUN = rb"(?:%0?|&(?:#1?[03]?)?|<(?:br? ?/?)?|/|\n-)?"
# Before the last, short line stands a line break, so that a sentence goes on behind a cut-off key.
_LAST_GAP = rb"(?:[\\\"'`,;+. \t]*" + _BREAK + _GAP + rb"|(?:\s|\\[nr])*)"
_ENTRY_NAME = rb"[A-Z][A-Za-z0-9]{1,20}(?:-[A-Za-z0-9]{1,20})?"
_ENTRY = _ENTRY_NAME + rb": (?:[^\n\\]*\n|[^\n\\<%&]*)"
_ENTRIES = rb"(?:" + _GAP + _ENTRY + rb")*"
_BASE64 = rb"[A-Za-z0-9+/=]"
# Each byte of such a vault is the code of a hexadecimal digit.
_CODES = rb"(?:3[0-9]|6[1-6]|0a)"


@dataclass(frozen=True, slots=True)
class _Form:
    rule: str
    begin: bytes
    # The secret is its first group.
    whole: Any
    # How one looks of which not all has come, and what may follow so far as has.
    begun: Any
    goes_on: Any


def _lines(character: bytes, least: int, shortest: bytes) -> bytes:
    """Lines of a secret, of which the last may be short."""
    line = rb"(?:" + _GAP + character + rb"{%d,})+" % least
    return line + rb"(?:" + _LAST_GAP + shortest + rb")?"


def _between(begin: bytes, end: bytes, begun: bytes, goes_on: bytes) -> _Form:
    """A key that lines with dashes begin and end, in one of the two ways to write these."""
    lines = _lines(_BASE64, 40, _BASE64 + rb"{1,39}")
    return _Form(
        PRIVATE_KEY,
        begin.partition(b"[")[0],
        re2.compile(rb"(" + begin + _ENTRIES + lines + rb"(?:" + _GAP + end + rb")?)"),
        re2.compile(
            begun
            + _ENTRIES
            + _GAP
            + _GAP_BEGUN
            + rb"(?:[A-Z][A-Za-z0-9-]{0,42}(?::[^\n]*)?|"
            + _BASE64
            + rb"{0,39}))"
        ),
        re2.compile(_GAP + _GAP_BEGUN + rb"(?:" + _BASE64 + rb"{0,39}|" + goes_on + rb")"),
    )


_FORMS = (
    _between(
        rb"-----BEGIN[ A-Z0-9_]{0,100}PRIVATE KEY(?: BLOCK)?-----",
        rb"-----END[ A-Z0-9_]{0,100}KEY(?: BLOCK)?-----",
        rb"-----BEGIN[ A-Z0-9_]{0,120}(?:-{0,4}|-----",
        rb"-{0,5}|-----(?:E|EN|END[ A-Z0-9_]{0,110}-{0,4})",
    ),
    # Of ssh.com.
    _between(
        rb"---- BEGIN[ A-Z0-9_]{0,100}PRIVATE KEY ----",
        rb"---- END[ A-Z0-9_]{0,100}KEY ----",
        rb"---- BEGIN[ A-Z0-9_]{0,120}(?:-{0,3}|----",
        rb"-{0,4}|---- (?:|E|EN|END[ A-Z0-9_]{0,110}-{0,3})",
    ),
    # Of PuTTY: what stands before is no secret.
    _Form(
        PRIVATE_KEY,
        b"Private-Lines:",
        re2.compile(
            rb"Private-Lines: [0-9]{1,3}"
            + rb"("
            + _lines(_BASE64, 40, _BASE64 + rb"{1,39}")
            + rb")"
        ),
        re2.compile(
            rb"Private-Lines:(?: ?| [0-9]{1,3}" + _GAP + _GAP_BEGUN + _BASE64 + rb"{0,39})"
        ),
        re2.compile(_GAP + _GAP_BEGUN + _BASE64 + rb"{0,39}"),
    ),
    _Form(
        ANSIBLE_VAULT,
        b"$ANSIBLE_VAULT;",
        re2.compile(
            rb"(\$ANSIBLE_VAULT;[0-9.]{1,5};AES(?:256)?(?:;[A-Za-z0-9_.-]{1,64})?"
            + _lines(_CODES, 20, _CODES + rb"{1,19}")
            + rb")"
        ),
        re2.compile(
            rb"\$ANSIBLE_VAULT;(?:[0-9.]{0,5}|[0-9.]{1,5};[A-Z0-9]{0,6}"
            rb"|[0-9.]{1,5};AES(?:256)?;[A-Za-z0-9_.-]{0,64}"
            rb"|[0-9.]{1,5};AES(?:256)?(?:;[A-Za-z0-9_.-]{1,64})?"
            + _GAP
            + _GAP_BEGUN
            + rb"[0-9a-f]{0,40})"
        ),
        re2.compile(_GAP + _GAP_BEGUN + _CODES + rb"{0,19}[036]?"),
    ),
)
BLOCK_RULES = frozenset(form.rule for form in _FORMS)
# What may become the begin line of ssh.com's.
_ENDED = re.compile(rb"KEY(?: BLOCK)?(?:-----| ----)\Z")
_FIRST_GAP = re.compile(rb"[^A-Za-z0-9$-][^A-Za-z0-9+/=]{0,64}+|\\n")
_ALMOST = re.compile(rb"(?<!-)----(?: (?:B|BE|BEG|BEGI)?)?\Z")


def private_keys(raw: bytes) -> Iterator[tuple[int, int, str]]:
    for form in _FORMS:
        if form.begin in raw:
            for match in form.whole.finditer(raw):
                yield from _without_gap(raw, match.span(1), form.rule)


def _without_gap(raw: bytes, span: tuple[int, int], rule: str) -> Iterator[tuple[int, int, str]]:
    """Of PuTTY's, not the line break before it, nor the first word of the line behind it."""
    start, end = span
    if gap := _FIRST_GAP.match(raw, start, end):
        start = gap.end()
        if raw.startswith(b"-MAC", end) and raw.endswith(b"Private", start, end):
            end -= len(b"Private")
            end -= end - len(raw[start:end].rstrip()) - start
    yield start, end, rule


def open_key(raw: bytes) -> int:
    """Where a private key begins that has not ended; the length of the text if there is none."""
    almost = _ALMOST.search(raw, max(0, len(raw) - 16))
    opened = almost.start() if almost else len(raw)
    return min(opened, *(_open(form, raw) for form in _FORMS))


def _open(form: _Form, raw: bytes) -> int:
    begin = raw.rfind(form.begin)
    if begin < 0:
        return len(raw)
    rest = raw[begin:].rstrip()
    match = form.whole.match(rest)
    if match is None:
        return begin if form.begun.fullmatch(rest) else len(raw)
    ended = _ENDED.search(match.group()) or not form.goes_on.fullmatch(rest[match.end() :])
    return len(raw) if ended else begin
