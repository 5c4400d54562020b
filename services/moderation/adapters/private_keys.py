"""Finds private keys between their begin and end lines, also those that are cut off.

A rule of our own: gitleaks' needs an end line, which a cut-off reply lacks, and takes the prose up
to the next one for a part of the key.
"""

from collections.abc import Iterator

import re2  # type: ignore[import-untyped]

PRIVATE_KEY = "private-key"

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
_KEY = re2.compile(
    rb"-----BEGIN[ A-Z0-9_]{0,100}PRIVATE KEY(?: BLOCK)?-----"
    + _ENTRIES
    + rb"(?:"
    + _GAP
    + rb"[A-Za-z0-9+/=]{40,})+(?:"
    + _LAST_GAP
    + rb"[A-Za-z0-9+/=]{1,39})?(?:"
    + _GAP
    + rb"-----END[ A-Z0-9_]{0,100}KEY(?: BLOCK)?-----)?"
)
_BEGIN = b"-----BEGIN"
_BEGUN = re2.compile(
    rb"-----BEGIN[ A-Z0-9_]{0,120}(?:-{0,4}|-----"
    + _ENTRIES
    + _GAP
    + _GAP_BEGUN
    + rb"(?:[A-Z][A-Za-z0-9-]{0,42}(?::[^\n]*)?|[A-Za-z0-9+/=]{0,39}))"
)
_END_BEGUN = re2.compile(
    _GAP + _GAP_BEGUN + rb"(?:[A-Za-z0-9+/=]{0,39}|-{0,5}|-----(?:E|EN|END[ A-Z0-9_]{0,110}-{0,4}))"
)


def private_keys(raw: bytes) -> Iterator[tuple[int, int, str]]:
    if _BEGIN in raw:
        for match in _KEY.finditer(raw):
            yield (*match.span(), PRIVATE_KEY)


def open_key(raw: bytes) -> int:
    """Where a private key begins that has not ended; the length of the text if there is none."""
    begin = raw.rfind(_BEGIN)
    if begin < 0:
        return len(raw)
    rest = raw[begin:].rstrip()
    match = _KEY.match(rest)
    if match is None:
        return begin if _BEGUN.fullmatch(rest) else len(raw)
    ended = match.group().endswith(b"-----") or not _END_BEGUN.fullmatch(rest[match.end() :])
    return len(raw) if ended else begin
