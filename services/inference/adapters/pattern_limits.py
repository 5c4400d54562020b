"""What of a regular expression in a schema xgrammar, vLLM's maker of grammars, does not keep."""

import re
from collections.abc import Sequence

# An escape, a class of characters, a bracket, how often something is repeated, or any other
# character.
_TOKEN = re.compile(
    r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\((?:\?(?:P?<[^=!>][^>]*>|.))?|\{\d+(?:,\d*)?\}|.", re.DOTALL
)
_TIMES = re.compile(r"\d+")
_MOST_TIMES = 1_000_000
# xgrammar's time grows with the square of how often something is repeated, which is the unit of
# `repetitions`, and with the copies that repetitions within repetitions make.
_OF_A_COPY = 500
_GROUP = re.compile(r"\((?:\?(?::|P?<.*))?", re.DOTALL)
# xgrammar takes any other letter for itself, as in `\A`, and refuses most digits.
_UNKNOWN_ESCAPE = re.compile(r"\\(?![dDwWsSnrtfvxu])[0-9a-zA-Z]")
# What JSON's strings hold only escaped, xgrammar writes as it stands in a pattern.
_UNESCAPED = re.compile(r'["\x00-\x1f]|\\[nrtfvb0aec\\]|\\(?:x|u00)(?:[01][0-9a-fA-F]|22|5[cC])')
_EXCLUDING = re.compile(r"\[\^(?:\\.|[^\]\\])*\]", re.DOTALL)


def unkept_in(pattern: str) -> str | None:
    """What the pattern has that no grammar keeps; None: all of it is kept.

    A grammar takes a pattern for the whole of a text, so that `^` and `$` at its ends mean nothing.
    """
    if _UNESCAPED.search(_EXCLUDING.sub("", pattern)):
        return "a quotation mark, a backslash or a control character"
    tokens = _TOKEN.findall(pattern)
    if any(token.startswith("(") and not _GROUP.fullmatch(token) for token in tokens):
        return "an assertion or a flag"
    if any(_UNKNOWN_ESCAPE.search(token) for token in tokens):
        return "an escape that the engine does not know"
    if _within(tokens, "^", "(", ")") or _within(tokens[::-1], "$", ")", "("):
        return "an anchor in its middle"
    return None


def repetitions(pattern: str) -> int:
    """What the pattern's repetitions cost: 50 milliseconds are about 1,000,000."""
    cost, copies, last = 0, [0], 0
    for token in _TOKEN.findall(pattern):
        if token.startswith("("):
            copies.append(0)
        elif token.startswith("{") and token[1:]:
            times = max(min(int(each[:9]), _MOST_TIMES) for each in _TIMES.findall(token))
            cost += times**2 + _OF_A_COPY * times * last
            copies[-1] += times * max(last, 1) - last
        else:
            last = copies.pop() if token.startswith(")") and copies[1:] else 0
            copies[-1] += last
    return cost


def read_rightly(pattern: str) -> str:
    """The same pattern, of which xgrammar makes the right grammar.

    It lets parts of a group through alone where the group may be left out: `1` for `(b1+)?`.
    """
    tokens = _TOKEN.findall(pattern)
    pairs = zip(["", *tokens], tokens, strict=False)
    return "".join("{0,1}" if pair == (")", "?") else pair[1] for pair in pairs)


def _within(tokens: Sequence[str], anchor: str, opening: str, closing: str) -> bool:
    """Whether something may stand before the anchor, as one reads the tokens."""
    outside, first = [True], True
    for token in tokens:
        if token.startswith(opening):
            outside.append(first)
        elif token in {"|"}:
            first = outside[-1]
        elif token != anchor:
            first = False
            if token.startswith(closing) and outside[1:]:
                outside.pop()
        elif not first:
            return True
    return False
