"""Grammars that a caller has written, in the words of xgrammar, vLLM's maker of grammars."""

import json
import re
from functools import lru_cache

from xgrammar import CompiledGrammar, Grammar, GrammarCompiler, GrammarMatcher, TokenizerInfo

from services.inference.api import UnsupportedParameter
from services.shared.tools import TextInput, TextSyntax

# vLLM makes a grammar while all others wait. For one of this length it needs 20 ms.
MOST_CHARS = 65_536
# Of one regular expression, also of one within Lark: xgrammar's time grows with the third power of
# the parts that may be left out. For so many it needs a tenth of a second.
_MOST_PATTERN_CHARS = 8_192
_MOST_OPTIONAL_PARTS = 32
# xgrammar quotes from the grammar, which is the caller's.
_QUOTED = re.compile(r"""'[^']*'|"[^"]*\"""")
_SOURCE = re.compile(r"\[[^\]]*\] \S+\.cc:\d+: |^Lark error at ")
# A class of characters, an escape, or what the two are looked through for.
_OUTSIDE_CLASSES = r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|"
_ANCHOR = re.compile(_OUTSIDE_CLASSES + r"(?P<found>[\^$])", re.DOTALL)
_OPTIONAL = re.compile(_OUTSIDE_CLASSES + r"(?P<found>[?*]|\{0?,)", re.DOTALL)
_SLASH = re.compile(r"\\.|(?P<found>[/\n])", re.DOTALL)
_PATTERN_IN_LARK = re.compile(
    r'"(?:[^"\\\n]|\\.)*"|//[^\n]*|/(?P<pattern>(?:[^/\\\n]|\\.)+)/', re.DOTALL
)
# How xgrammar prints a rule, and in it texts and classes of characters. All else in square brackets
# are marks that only rules of its own kind of Lark have.
_RULE = re.compile(r"\w+ ::= ")
_TERMINAL = re.compile(r'"(?:[^"\\]|\\.)*"|\[(?:[^\]\\]|\\.)*\]', re.DOTALL)
_SPECIAL = re.compile(r"\b(?:Token|ExcludeToken|AnyTokens|Regex|TagDispatch|TokenTagDispatch)\(")
_CHARACTER = re.compile(
    r"\\(?:x(?P<x>[0-9a-fA-F]{2})|u(?P<u>[0-9a-fA-F]{4})|U(?P<U>[0-9a-fA-F]{8})|(?P<name>.))|(?P<self>.)",
    re.DOTALL,
)
_NAMES = {"n": 10, "r": 13, "t": 9, "f": 12, "v": 11, "b": 8, "a": 7, "e": 27, "0": 0}
_LAST = 0x10FFFF
# What stands escaped in JSON's strings.
_ESCAPED = (*range(0x20), ord('"'), ord("\\"))


def ebnf_of_lark(text: str, whose: str, param: str) -> str:
    """The same grammar in EBNF: vLLM would guess by its looks in which of the two it is.

    Raises `UnsupportedParameter` for `param` with the reason; `whose` says which grammar it is.
    """
    _refuse_long(text, whose, param)
    for found in _PATTERN_IN_LARK.finditer(text):
        _refuse_slow(found["pattern"] or "", whose, param)
    try:
        return _plain(str(Grammar.from_lark(text)), whose, param)
    except RuntimeError as error:
        raise _refused(whose, _reason(error), param) from None


def ebnf_of_regex(pattern: str, whose: str, param: str) -> str:
    """As `ebnf_of_lark`. A text must match from its beginning to its end; `.` is no line break."""
    _refuse_long(pattern, whose, param)
    pattern = pattern.removeprefix("^")
    if pattern.endswith("$") and not pattern.endswith("\\$"):
        pattern = pattern[:-1]
    if any(found["found"] for found in _ANCHOR.finditer(pattern)):
        raise _refused(whose, "it has ^ or $ in its middle", param)
    # xgrammar's own reader of patterns takes line breaks for `.`, that of its Lark does not.
    within = _SLASH.sub(_escaped_slash, pattern)
    return ebnf_of_lark(f"start: /{within}/" if pattern else 'start: ""', whose, param)


def checked_ebnf(text: str, whose: str, param: str) -> str:
    """The grammar. Raises `UnsupportedParameter` as `ebnf_of_lark` does."""
    _refuse_long(text, whose, param)
    try:
        return _plain(str(Grammar.from_ebnf(text)), whose, param)
    except RuntimeError as error:
        raise _refused(whose, _reason(error), param) from None


def ebnf_of_input(text: TextInput, whose: str, param: str) -> str | None:
    """The grammar of a tool's text; None where any text will do."""
    if text.syntax is TextSyntax.ANY:
        return None
    read = ebnf_of_regex if text.syntax is TextSyntax.REGEX else ebnf_of_lark
    return read(text.grammar, whose, param)


def in_json(ebnf: str, key: str) -> str:
    """The grammar of JSON objects with one string, under `key`, that says a text of `ebnf`."""
    before, after = (_literal(text) for text in (f'"{key}":', '"'))
    blank = '" "?'
    whole = f'root ::= "{{" {blank} {before} {blank} {after} text {after} {blank} "}}"\n'
    rules = _TERMINAL.sub(lambda found: _in_string(found[0]), ebnf)
    return whole + re.sub(r"\broot\b", "text", rules)


def follows(ebnf: str, text: str) -> bool:
    """Whether the whole text is one of the grammar's."""
    matcher = GrammarMatcher(_compiled(ebnf), terminate_without_stop_token=True)
    return (not text or bool(matcher.accept_string(text))) and bool(matcher.is_terminated())


@lru_cache(maxsize=64)
def _compiled(ebnf: str) -> CompiledGrammar:
    compiler = GrammarCompiler(TokenizerInfo([]), max_threads=1, cache_enabled=False)
    return compiler.compile_grammar(Grammar.from_ebnf(ebnf))


def _refuse_long(text: str, whose: str, param: str) -> None:
    if len(text) > MOST_CHARS:
        raise _refused(whose, f"it has more than {MOST_CHARS} characters", param)
    if "\0" in text:
        raise _refused(whose, "it has a NUL character", param)


def _refuse_slow(pattern: str, whose: str, param: str) -> None:
    if len(pattern) > _MOST_PATTERN_CHARS:
        reason = f"a regular expression has more than {_MOST_PATTERN_CHARS} characters"
        raise _refused(whose, reason, param)
    optional = sum(bool(found["found"]) for found in _OPTIONAL.finditer(pattern))
    if optional > _MOST_OPTIONAL_PARTS:
        reason = f"a regular expression has more than {_MOST_OPTIONAL_PARTS} optional parts"
        raise _refused(whose, reason, param)


def _plain(ebnf: str, whose: str, param: str) -> str:
    """Raises where it names tokens of the model, or says more of a rule than what it matches."""
    lines = ebnf.splitlines()
    if not all(_RULE.match(line) for line in lines if line) or _SPECIAL.search(
        _TERMINAL.sub("", ebnf)
    ):
        raise _refused(whose, "it names tokens or has lazy rules", param)
    return ebnf


def _refused(whose: str, reason: str, param: str) -> UnsupportedParameter:
    return UnsupportedParameter(f"{whose} cannot be read: {reason}", param=param)


def _reason(error: RuntimeError) -> str:
    said = str(error).partition("\n")[0]
    return _QUOTED.sub("…", _SOURCE.sub("", said))


def _escaped_slash(found: re.Match[str]) -> str:
    return {"/": "\\/", "\n": "\\n"}.get(found["found"] or "", found[0])


def _in_string(terminal: str) -> str:
    """The same text or class of characters, as they stand in a string of JSON."""
    if terminal.startswith('"'):
        said = "".join(map(chr, _characters(terminal[1:-1])))
        return _literal(json.dumps(said, ensure_ascii=False)[1:-1])
    taken = _ranges(terminal)
    plain = "".join(_class_range(*each) for each in _without_escaped(taken))
    escapes = [
        _literal(json.dumps(chr(each))[1:-1])
        for each in _ESCAPED
        if any(first <= each <= last for first, last in taken)
    ]
    choices = [f"[{plain}]"] if plain else []
    return f"({' | '.join(choices + escapes)})"


def _characters(text: str) -> list[int]:
    return [_code(found) for found in _CHARACTER.finditer(text)]


def _code(found: re.Match[str]) -> int:
    if digits := found["x"] or found["u"] or found["U"]:
        return int(digits, 16)
    name = found["name"]
    return _NAMES.get(name, ord(name)) if name else ord(found["self"])


def _ranges(terminal: str) -> list[tuple[int, int]]:
    """The characters of a class, as the first and last of each range, in order."""
    inner = terminal[1:-1]
    negated = inner.startswith("^")
    found = list(_CHARACTER.finditer(inner[negated:]))
    ranges: list[tuple[int, int]] = []
    while found:
        first = found.pop(0)
        if len(found) > 1 and found[0]["self"] == "-":
            ranges.append((_code(first), _code(found[1])))
            del found[:2]
        else:
            ranges.append((_code(first), _code(first)))
    return _others(ranges) if negated else ranges


def _others(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """All characters but these."""
    others, begin = [], 0
    for first, last in sorted(ranges):
        if begin < first:
            others.append((begin, first - 1))
        begin = max(begin, last + 1)
    return [*others, (begin, _LAST)] if begin <= _LAST else others


def _without_escaped(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    return _others([*_others(ranges), *((each, each) for each in _ESCAPED)])


def _class_range(first: int, last: int) -> str:
    return _character(first) if first == last else f"{_character(first)}-{_character(last)}"


def _literal(text: str) -> str:
    return f'"{"".join(_character(ord(each)) for each in text)}"'


def _character(code: int) -> str:
    """One character of a grammar's text or class. Letters and digits need no escape."""
    text = chr(code)
    return text if text.isascii() and text.isalnum() else f"\\U{code:08x}"
