"""Finds secrets by gitleaks' rules. RE2 runs them: its time grows no faster than the text."""

import tomllib
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import re2  # type: ignore[import-untyped]

from services.moderation.adapters.commands import (
    COMMAND_PASSWORD,
    command_passwords,
    open_command,
)
from services.moderation.adapters.connections import (
    CONNECTION_RULES,
    connection_passwords,
    open_connection,
)
from services.moderation.adapters.cookies import SESSION_COOKIE, session_cookies
from services.moderation.adapters.credentials import (
    ASSIGNED_SECRET,
    URL_CREDENTIALS,
    assigned_secrets,
    entropy,
    is_default,
    is_published,
    url_credentials,
)
from services.moderation.adapters.private_keys import (
    BLOCK_RULES,
    PRIVATE_KEY,
    open_key,
    private_keys,
)
from services.moderation.adapters.signs import Signs
from services.moderation.adapters.tokens import TOKENS, tokens
from services.moderation.api import Span

_RULES = Path(__file__).parent / "gitleaks.toml"
_UTF8 = ("utf-8", "surrogatepass")
# gitleaks expects a quote, a space or the end after most secrets. In prose, a full stop may follow.
_AFTER = re2.compile(rb"[.,!?)\]}]+(?:\s|$)")
# Of text in JSON or code: what begins behind it, begins a word.
_ESCAPED_BREAK = re2.compile(rb"\\[nrt]")
_CURL_USER = "curl-auth-user"
# All of its secrets stand behind options.
_CURL_OPTION = re2.compile(rb"(?s)\bcurl\b.*?\s(-(?:[A-Za-z-]|\z))")


@dataclass(frozen=True, slots=True)
class _Rule:
    id: str
    pattern: Any
    keywords: tuple[bytes, ...]
    entropy: float
    group: int
    # Patterns that tell a find to be none: of the secret, of the whole match, of the whole line.
    allowed: tuple[tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]
    # Finds a word that names of things are made of, where the rule has such words.
    stopwords: Any


Find = tuple[int, int, str]


class SecretFinder:
    """Runs gitleaks' rules, except those for files of certain names, and looks for credentials.

    A rule sees one line at a time, where a backslash joins a line to the next. Private keys are
    found across lines.
    """

    family = "secrets"

    def __init__(self, rules: Sequence[_Rule]) -> None:
        # Generic rules come last: where two rules find the same, the first one names it.
        in_order = sorted(rules, key=lambda rule: rule.id.startswith("generic"))
        self._sought = Signs((rule, rule.keywords) for rule in in_order)
        # gitleaks has the list for its generic rule.
        self._stopwords = next(
            (rule.stopwords for rule in rules if rule.id.startswith("generic")), _any_of(())
        )
        own = {URL_CREDENTIALS, ASSIGNED_SECRET, COMMAND_PASSWORD, SESSION_COOKIE}
        own |= {*BLOCK_RULES, *CONNECTION_RULES, *TOKENS}
        self.rules = frozenset({rule.id for rule in rules} | own)

    def find(self, text: str) -> list[Span]:
        raw = text.encode(*_UTF8)
        parted = _parted(raw)
        found = [*self._by_rules(parted), *private_keys(raw), *url_credentials(parted)]
        for more in (
            tokens(parted, self._stopwords),
            connection_passwords(raw),
            connection_passwords(parted) if parted is not raw else (),
            command_passwords(parted),
            session_cookies(parted),
        ):
            found += _beyond(sorted({*more}), found)
        # Where another rule knows a value, it also knows where that ends.
        begins = {start for start, _, _ in found}
        assigned = [a for a in assigned_secrets(raw, self._stopwords) if a[0] not in begins]
        found += _beyond(assigned, found)
        found = [_without_escape(raw, each) for each in found]
        if len(raw) == len(text):
            return [Span(start, end, rule) for start, end, rule in found]
        places = _places(raw, {place for start, end, _ in found for place in (start, end)})
        return [Span(places[start], places[end], rule) for start, end, rule in found]

    def settled(self, text: str) -> int:
        raw = text.encode(*_UTF8)
        begin, _ = _line(raw, len(raw))
        line = _parted(raw[begin:])
        opened = min(_open_curl(line), open_command(line), open_connection(line))
        return _length(raw[: min(open_key(raw), begin + opened)])

    def _by_rules(self, raw: bytes) -> Iterator[Find]:
        lowered = raw.lower()
        lines = _Lines(raw)
        for rule in self._sought.forms_for(lowered):
            for begin, end in _lines_with(lowered, rule.keywords):
                for start, stop in _secrets(rule, lines.line(begin, end), lines.spaced(begin, end)):
                    yield begin + start, begin + stop, rule.id


def _parted(raw: bytes) -> bytes:
    return _ESCAPED_BREAK.sub(rb"  ", raw) if b"\\" in raw else raw


class _Lines:
    """Lines as they are and as rules see them, each made once for all rules."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._spaced: dict[tuple[int, int], bytes] = {}

    def line(self, begin: int, end: int) -> bytes:
        return self._raw[begin:end]

    def spaced(self, begin: int, end: int) -> bytes:
        if (begin, end) not in self._spaced:
            self._spaced[begin, end] = _AFTER.sub(
                lambda match: b" " * len(match.group()), self._raw[begin:end]
            )
        return self._spaced[begin, end]


def _without_escape(raw: bytes, found: Find) -> Find:
    """A backslash at the end belongs to the quote behind it; JSON without it is none."""
    start, end, rule = found
    return start, start + len(raw[start:end].rstrip(b"\\")), rule


def _beyond(found: Iterable[Find], known: Iterable[Find]) -> Iterator[Find]:
    """Those that are no part of a known one; `found` is in order."""
    begins = deque(sorted(known))
    reach = 0
    for start, end, rule in found:
        while begins and begins[0][0] <= start:
            reach = max(reach, begins.popleft()[1])
        if reach < end:
            yield start, end, rule


def open_secrets() -> SecretFinder:
    """The bundled rules."""
    declared = tomllib.loads(_RULES.read_text())
    shared = declared["allowlist"]
    return SecretFinder(
        [
            _rule(rule, shared)
            for rule in declared["rules"]
            if "path" not in rule and rule["id"] != PRIVATE_KEY
        ]
    )


def _rule(declared: dict[str, Any], shared: dict[str, Any]) -> _Rule:
    lists = [a for a in declared.get("allowlists", ()) if a.get("condition") != "AND"]
    by_target: dict[str, list[dict[str, Any]]] = {"secret": [shared], "match": [], "line": []}
    for allowlist in lists:
        by_target[allowlist.get("regexTarget", "secret")].append(allowlist)
    return _Rule(
        id=declared["id"],
        pattern=re2.compile(declared["regex"].encode()),
        keywords=tuple(keyword.lower().encode() for keyword in declared["keywords"]),
        entropy=declared.get("entropy", 0),
        group=declared.get("secretGroup", 0),
        allowed=(
            _patterns(by_target["secret"]),
            _patterns(by_target["match"]),
            _patterns(by_target["line"]),
        ),
        stopwords=_any_of([w.encode() for a in [shared, *lists] for w in a.get("stopwords", ())]),
    )


def _patterns(lists: Sequence[dict[str, Any]]) -> tuple[Any, ...]:
    return tuple(re2.compile(r.encode()) for a in lists for r in a.get("regexes", ()))


def _any_of(words: Sequence[bytes]) -> Any:
    """One pattern for all words, since asking for 1,446 of them one by one takes 0.3 ms."""
    return re2.compile(b"|".join(map(re2.escape, words)) or rb"x\Ax")


def _secrets(rule: _Rule, line: bytes, spaced: bytes) -> Iterator[tuple[int, int]]:
    of_secret, of_match, of_line = rule.allowed
    # Asked once for each line, not for each find in it: a line may be the whole text.
    if any(pattern.search(line) for pattern in of_line):
        return
    for match in rule.pattern.finditer(spaced):
        group = rule.group or next((n for n, g in enumerate(match.groups(), 1) if g), 0)
        secret = match.group(group)
        if not (
            _only_looks_so(rule, secret)
            or any(pattern.search(secret) for pattern in of_secret)
            or any(pattern.search(match.group()) for pattern in of_match)
        ):
            yield match.span(group)


def _only_looks_so(rule: _Rule, secret: bytes) -> bool:
    if is_published(secret):
        return True
    user, colon, password = secret.strip(b"\"'").partition(b":")
    if rule.id == _CURL_USER and colon and is_default(user, password):
        return True
    if rule.entropy and entropy(secret) <= rule.entropy:
        return True
    # gitleaks asks this of its generic rules.
    if rule.id.startswith("generic") and not any(48 <= byte <= 57 for byte in secret):
        return True
    return bool(rule.stopwords.search(secret.lower()))


def _lines_with(lowered: bytes, keywords: Sequence[bytes]) -> list[tuple[int, int]]:
    lines: set[tuple[int, int]] = set()
    for keyword in keywords:
        at = lowered.find(keyword)
        while at >= 0:
            begin, end = _line(lowered, at)
            lines.add((begin, end))
            at = lowered.find(keyword, end)
    return sorted(lines)


def _line(raw: bytes, at: int) -> tuple[int, int]:
    """The line around a place, together with those that a backslash joins to it."""
    begin = raw.rfind(b"\n", 0, at)
    while begin > 0 and raw[begin - 1 : begin] == b"\\":
        begin = raw.rfind(b"\n", 0, begin)
    end = raw.find(b"\n", at)
    while end > 0 and raw[end - 1 : end] == b"\\":
        end = raw.find(b"\n", end + 1)
    return begin + 1, len(raw) if end < 0 else end


def _open_curl(line: bytes) -> int:
    """Where a curl command's options begin in the last line; the line's length if it has none.

    They are open until the line ends, since credentials may hold spaces.
    """
    match = _CURL_OPTION.search(line)
    return match.start(1) if match else len(line)


def _places(raw: bytes, wanted: Iterable[int]) -> dict[int, int]:
    """Where places in bytes are in characters; reads each byte once, however many are wanted."""
    places, at, passed = {}, 0, 0
    for place in sorted(wanted):
        passed += _length(raw[at:place])
        places[place], at = passed, place
    return places


def _length(raw: bytes) -> int:
    return len(raw.decode(*_UTF8))
