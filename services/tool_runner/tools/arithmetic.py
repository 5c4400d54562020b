"""Arithmetic as people type it.

It has a grammar of its own instead of Python's: "15% of 80", "3 x 4" and "2^10" mean what people
mean by them, decimals stay exact, and an expression can reach nothing but numbers. Not covered:
units, "plus 10%", and products without a sign, as in 2(3+4).
"""

import re
from typing import NamedTuple

from services.tool_runner.api import Failure
from services.tool_runner.ports import ToolFailed
from services.tool_runner.tools.numbers import (
    CONSTANTS,
    FUNCTIONS,
    NoValue,
    Number,
    literal,
    operated,
)

_MAX_CHARS = 1000
_MAX_DEPTH = 50

_TOKEN = re.compile(
    r"""\ ?(?:
      (?P<coded> 0[xob]\w )
    | (?P<number> (?:[0-9]+\.?[0-9]* | \.[0-9]+) (?:e[+-]?[0-9]+)? )
    | (?P<sign> (?:%|per\ ?cent\b)\ ?of\b | \*\*|//|[-+*/%^(),×·÷−–²³] | x(?![a-z]) )
    | (?P<name> log10|log2|[a-z]+|π )
    )""",  # noqa: RUF001 - as people type them
    re.VERBOSE | re.IGNORECASE | re.ASCII,
)
_THOUSANDS = re.compile(r"(?<![0-9.,])[0-9]{1,3}(?:,[0-9]{3})+(?![0-9,])")
_CALL = re.compile(r"[a-z0-9] ?\(", re.IGNORECASE)
_AS_TYPED = {"x": "*", "×": "*", "·": "*", "÷": "/", "−": "-", "–": "-", "^": "**"}  # noqa: RUF001
_SUPERSCRIPTS = {"²": "2", "³": "3"}
# Which sign comes first: a higher number is applied before a lower one. A minus before a number
# comes after a power.
_STRENGTHS = {"+": 1, "-": 1, "*": 2, "/": 2, "//": 2, "%": 2, "% of": 3, "**": 5, "²": 5, "³": 5}
_MINUS_STRENGTH = 4


class _Token(NamedTuple):
    kind: str
    text: str


def evaluate(expression: str) -> Number:
    """Raises `ToolFailed`: refused if too long, deep or large, failed if it makes no sense."""
    if len(expression) > _MAX_CHARS:
        raise ToolFailed(Failure.REFUSED, f"the expression is longer than {_MAX_CHARS} characters")
    text = " ".join(expression.split()).rstrip("=? ")
    if not _CALL.search(text):  # max(1,200) has two arguments; 1,200 alone is a number
        text = _THOUSANDS.sub(lambda match: match[0].replace(",", ""), text)
    try:
        return _Evaluator(_tokens(text)).whole()
    except OverflowError:
        raise ToolFailed(Failure.REFUSED, "the result is too large") from None
    except ZeroDivisionError:
        raise ToolFailed(Failure.FAILED, "division by zero") from None
    except NoValue:
        raise _puzzled("it has no real value") from None


def _tokens(text: str) -> list[_Token]:
    tokens = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise _puzzled(f'"{text[at:].lstrip()[0]}" is not understood')
        kind, found = match.lastgroup, match[match.lastgroup].lower()
        if kind == "coded":
            raise _puzzled("numbers are written in decimal digits")
        share = kind == "sign" and found.endswith("of")
        tokens.append(_Token(kind, "% of" if share else _AS_TYPED.get(found, found)))
        at = match.end()
    return [*tokens, _Token("end", "")]


def _puzzled(why: str) -> ToolFailed:
    return ToolFailed(Failure.FAILED, f"this expression cannot be evaluated: {why}")


class _Evaluator:
    """Evaluates an expression while it reads its tokens, by precedence climbing."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0

    def whole(self) -> Number:
        value = self._term(0, 0)
        if self._next.kind != "end":
            raise self._surprised()
        return value

    def _term(self, floor: int, depth: int) -> Number:
        """The value of what follows, up to a sign whose strength is `floor` or less."""
        if depth > _MAX_DEPTH:
            raise ToolFailed(Failure.REFUSED, "the expression is nested too deeply")
        value = self._operand(depth)
        while (
            self._next.kind == "sign" and (strength := _STRENGTHS.get(self._next.text, 0)) > floor
        ):
            sign = self._take().text
            if sign in _SUPERSCRIPTS:
                value = operated("**", value, literal(_SUPERSCRIPTS[sign]))
                continue
            # A power binds to the right: 2**3**2 is 2**9.
            right = self._term(strength - (sign == "**"), depth + 1)
            value = operated(sign, value, right)
        return value

    def _operand(self, depth: int) -> Number:
        kind, text = self._next
        if kind == "number":
            self._take()
            return literal(text)
        if kind == "name":
            self._take()
            return self._named(text, depth)
        if text == "(":
            (value,) = self._enclosed(depth)
            return value
        if text in {"-", "+"}:
            self._take()
            value = self._term(_MINUS_STRENGTH, depth + 1)
            return -value if text == "-" else value
        raise self._surprised()

    def _named(self, name: str, depth: int) -> Number:
        if name in CONSTANTS:
            return CONSTANTS[name]
        if name not in FUNCTIONS:
            raise _puzzled(f'"{name}" is not known here')
        function = FUNCTIONS[name]
        return function.of(self._enclosed(depth, function.most))

    def _enclosed(self, depth: int, most: int = 1) -> list[Number]:
        """The numbers in parentheses: 1 to `most` of them, with commas between."""
        self._expect("(")
        values = [self._term(0, depth + 1)]
        while self._next.text == "," and len(values) < most:
            self._take()
            values.append(self._term(0, depth + 1))
        self._expect(")")
        return values

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._tokens[self._at]
        self._at += 1
        return token

    def _expect(self, text: str) -> None:
        if self._next.text != text:
            raise self._surprised()
        self._take()

    def _surprised(self) -> ToolFailed:
        found = f'"{self._next.text}"' if self._next.text else "the end"
        return _puzzled(f"{found} comes unexpectedly")
