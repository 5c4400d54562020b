"""Finds secrets by gitleaks' rules. RE2 runs them: its time grows no faster than the text."""

import math
import re
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import re2  # type: ignore[import-untyped]

from services.moderation.api import Span

_RULES = Path(__file__).parent / "gitleaks.toml"
_UTF8 = ("utf-8", "surrogatepass")
# gitleaks expects a quote, a space or the end after most secrets. In prose, a full stop may follow.
_AFTER = re2.compile(rb"[.,!?)\]}]+(?:\s|$)")
# A rule of our own. gitleaks' rule for private keys needs an end line, which a cut-off reply lacks,
# and takes the prose up to the next one for a part of the key.
_KEY_HEADER = re2.compile(rb"-----BEGIN[ A-Z0-9_]{0,100}PRIVATE KEY(?: BLOCK)?-----")
_KEY = re2.compile(
    _KEY_HEADER.pattern
    + rb"(?:(?:\s|\\[nr])*(?:(?:Proc-Type|DEK-Info|Version|Comment):[^\n]*\n|[A-Za-z0-9+/=]{40,}))+"
    rb"(?:(?:\s|\\[nr])*[A-Za-z0-9+/=]{1,39})?"
    rb"(?:(?:\s|\\[nr])*-----END[ A-Z0-9_]{0,100}KEY(?: BLOCK)?-----)?"
)
_KEY_BEGIN = b"-----BEGIN"
_KEY_BEGUN = re2.compile(
    rb"-----BEGIN[ A-Z0-9_]{0,120}(?:-{0,4}|-----(?:\s|\\[nr]?)*"
    rb"(?:(?:Proc-Type|DEK-Info|Version|Comment):[^\n]*|[A-Za-z0-9+/=-]{0,39}))"
)
_KEY_END_BEGUN = re2.compile(rb"(?:\s|\\[nr]?)*(?:-{0,5}|-----(?:E|EN|END[ A-Z0-9_]{0,110}-{0,4}))")
_PRIVATE_KEY = "private-key"
_URL = re2.compile(rb"\b[A-Za-z][A-Za-z0-9+.-]{1,15}://[^\s/:@]{0,128}:([^\s/@]{3,256})@")
_URL_CREDENTIALS = "url-credentials"
_PLACEHOLDER = re.compile(
    rb"(?i)^(?:pass(?:word|wd)?|pwd|secret|token|change-?me|x+|\*+|\.+|[<{\[$%].*|your.*)$"
)
_CURL = re2.compile(rb"\bcurl\b")


@dataclass(frozen=True, slots=True)
class _Rule:
    id: str
    pattern: Any
    keywords: tuple[bytes, ...]
    entropy: float
    group: int
    # Patterns that tell a find to be none: of the secret, of the whole match, of the whole line.
    allowed: tuple[tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]
    stopwords: tuple[bytes, ...]


class SecretFinder:
    """Runs gitleaks' rules, except those for files of certain names, and finds credentials in URLs.

    A rule sees one line at a time, where a backslash joins a line to the next. Private keys are
    found across lines.
    """

    family = "secrets"

    def __init__(self, rules: Sequence[_Rule]) -> None:
        self._keywords = _Keywords(rules)
        self.rules = frozenset({rule.id for rule in rules} | {_PRIVATE_KEY, _URL_CREDENTIALS})

    def find(self, text: str) -> list[Span]:
        raw = text.encode(*_UTF8)
        found = [*self._by_rules(raw), *_private_keys(raw), *_url_credentials(raw)]
        if len(raw) == len(text):
            return [Span(start, end, rule) for start, end, rule in found]
        return [Span(_length(raw[:start]), _length(raw[:end]), rule) for start, end, rule in found]

    def settled(self, text: str) -> int:
        raw = text.encode(*_UTF8)
        return _length(raw[: min(_open_key(raw), _open_curl(raw))])

    def _by_rules(self, raw: bytes) -> Iterator[tuple[int, int, str]]:
        lowered = raw.lower()
        for rule in self._keywords.rules_for(lowered):
            for begin, end in _lines_with(lowered, rule.keywords):
                line = raw[begin:end]
                for start, stop in _secrets(rule, line):
                    yield begin + start, begin + stop, rule.id


class _Keywords:
    """Chooses the rules that a text needs, in one pass over it for the keywords of all rules."""

    def __init__(self, rules: Sequence[_Rule]) -> None:
        self._rules: dict[bytes, list[_Rule]] = {}
        for rule in rules:
            for keyword in rule.keywords:
                self._rules.setdefault(keyword, []).append(rule)
        self._sought = list(self._rules)
        self._set = re2.Set.SearchSet()
        for keyword in self._sought:
            self._set.Add(re2.escape(keyword))
        self._set.Compile()

    def rules_for(self, lowered: bytes) -> list[_Rule]:
        matched = sorted(self._set.Match(lowered) or ())
        rules = (rule for index in matched for rule in self._rules[self._sought[index]])
        # Generic rules come last: where two rules find the same, the first one names it.
        once = {rule.id: rule for rule in rules}.values()
        return sorted(once, key=lambda rule: rule.id.startswith("generic"))


def open_secrets() -> SecretFinder:
    """The bundled rules."""
    declared = tomllib.loads(_RULES.read_text())
    shared = declared["allowlist"]
    return SecretFinder(
        [
            _rule(rule, shared)
            for rule in declared["rules"]
            if "path" not in rule and rule["id"] != _PRIVATE_KEY
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
        stopwords=tuple(w.encode() for a in [shared, *lists] for w in a.get("stopwords", ())),
    )


def _patterns(lists: Sequence[dict[str, Any]]) -> tuple[Any, ...]:
    return tuple(re2.compile(r.encode()) for a in lists for r in a.get("regexes", ()))


def _secrets(rule: _Rule, line: bytes) -> Iterator[tuple[int, int]]:
    spaced = _AFTER.sub(lambda match: b" " * len(match.group()), line)
    for match in rule.pattern.finditer(spaced):
        group = rule.group or next((n for n, g in enumerate(match.groups(), 1) if g), 0)
        secret = match.group(group)
        if not _allowed(rule, secret, match.group(), line):
            yield match.span(group)


def _allowed(rule: _Rule, secret: bytes, match: bytes, line: bytes) -> bool:
    """Whether the find only looks like a secret."""
    if rule.entropy and _entropy(secret) <= rule.entropy:
        return True
    # gitleaks asks this of its generic rules.
    if rule.id.startswith("generic") and not any(48 <= byte <= 57 for byte in secret):
        return True
    lowered = secret.lower()
    if any(word in lowered for word in rule.stopwords):
        return True
    targets = zip((secret, match, line), rule.allowed, strict=True)
    return any(pattern.search(target) for target, patterns in targets for pattern in patterns)


def _entropy(secret: bytes) -> float:
    """Shannon's, in bits per character."""
    counts, length = Counter(secret).values(), len(secret)
    return -sum(count / length * math.log2(count / length) for count in counts)


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


def _private_keys(raw: bytes) -> Iterator[tuple[int, int, str]]:
    if _KEY_BEGIN in raw:
        for match in _KEY.finditer(raw):
            yield (*match.span(), _PRIVATE_KEY)


def _url_credentials(raw: bytes) -> Iterator[tuple[int, int, str]]:
    if b"://" in raw:
        for match in _URL.finditer(raw):
            if not _PLACEHOLDER.match(match.group(1)):
                yield (*match.span(1), _URL_CREDENTIALS)


def _open_key(raw: bytes) -> int:
    """Where a private key begins that has not ended; the length of the text if there is none."""
    begin = raw.rfind(_KEY_BEGIN)
    if begin < 0:
        return len(raw)
    rest = raw[begin:].rstrip()
    match = _KEY.match(rest)
    if match is None:
        return begin if _KEY_BEGUN.fullmatch(rest) else len(raw)
    ended = match.group().endswith(b"-----") or not _KEY_END_BEGUN.fullmatch(rest[match.end() :])
    return len(raw) if ended else begin


def _open_curl(raw: bytes) -> int:
    """Where a curl command begins in the last line; the length of the text if there is none.

    It is open until its line ends, since its credentials may hold spaces.
    """
    begin, _ = _line(raw, len(raw))
    match = _CURL.search(raw[begin:])
    return begin + match.start() if match else len(raw)


def _length(raw: bytes) -> int:
    return len(raw.decode(*_UTF8))
