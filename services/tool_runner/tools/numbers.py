"""Numbers that are exact while their fractions are short, and the operations on them.

A number is a fraction, so that 0.1 + 0.2 is 0.3. It is a float where the fraction would be too long
or a function has no exact value. A result beyond the range of floats raises OverflowError, so no
operation takes long.
"""

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

Number = Fraction | float

# The longest numerator or denominator of a fraction; floats end at this size, too.
_MAX_BITS = 1024
_MAX_EXPONENT = 400
_MAX_PLACES = 12


class NoValue(ArithmeticError):
    """The operation has no real value for these numbers."""


@dataclass(frozen=True, slots=True)
class NumberFunction:
    """Takes 1 to `most` numbers."""

    apply: Callable[..., Number]
    most: int = 1

    def of(self, arguments: list[Number]) -> Number:
        try:
            return _kept(self.apply(*arguments))
        except ValueError:
            raise NoValue from None


def literal(text: str) -> Number:
    """The number in a text of ASCII digits, at most one point, and an exponent after `e`."""
    _, _, exponent = text.partition("e")
    if abs(int(exponent or 0)) > _MAX_EXPONENT:  # a fraction would write all of it out
        return _kept(float(text))
    return _kept(Fraction(text))


def operated(sign: str, left: Number, right: Number) -> Number:
    return _kept(_OPERATIONS[sign](left, right))


def written(number: Number) -> str:
    """Exact when that takes at most twelve decimal places, else twelve significant digits."""
    if isinstance(number, Fraction):
        scaled = number * 10**_MAX_PLACES
        if scaled.denominator == 1:
            whole, decimals = divmod(abs(scaled.numerator), 10**_MAX_PLACES)
            text = f"{whole}.{decimals:0{_MAX_PLACES}}".rstrip("0").rstrip(".")
            return f"-{text}" if number < 0 else text
    value = float(number) or 0.0  # never -0
    # Where twelve digits would end within the whole part, a float still has a few to show.
    digits = 15 if 1e10 <= abs(value) < 1e15 else 12
    return f"{value:.{digits}g}"


def _kept(value: Number) -> Number:
    if isinstance(value, int):
        value = Fraction(value)
    if isinstance(value, Fraction):
        if _bits(value) <= _MAX_BITS:
            return value
        value = float(value)
    if not math.isfinite(value):
        raise OverflowError
    return value


def _bits(value: Fraction) -> int:
    return max(value.numerator.bit_length(), value.denominator.bit_length())


def _power(base: Number, exponent: Number) -> Number:
    whole = int(exponent)
    if isinstance(base, Fraction) and whole == exponent:
        if _bits(base) * abs(whole) <= 4 * _MAX_BITS:
            return base**whole
    elif base < 0 and whole != exponent:
        raise NoValue
    return float(base) ** float(exponent)  # type: ignore[no-any-return]


def _sqrt(value: Number) -> Number:
    if isinstance(value, Fraction) and value >= 0:
        root = Fraction(math.isqrt(value.numerator), math.isqrt(value.denominator))
        if root * root == value:
            return root
    return math.sqrt(value)


def _log(value: Number, base: Number = 10.0) -> Number:
    """To base 10 when none is named, like the key of a calculator that also has `ln`."""
    return math.log10(value) if base == 10 else math.log(value, base)


def _round(value: Number, places: Number = 0.0) -> Number:
    """Half away from zero, as at school; not to even, as in Python."""
    if places != int(places) or not -_MAX_EXPONENT <= places <= _MAX_EXPONENT:
        raise NoValue
    scale = Fraction(10) ** int(places)
    away = Fraction(math.floor(abs(Fraction(value)) * scale + Fraction(1, 2))) / scale
    return -away if value < 0 else away


_OPERATIONS: dict[str, Callable[[Number, Number], Number]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "% of": lambda percent, whole: percent * whole / 100,
    "**": _power,
}
CONSTANTS: dict[str, Number] = {"pi": math.pi, "π": math.pi, "e": math.e}
FUNCTIONS = {
    "sqrt": NumberFunction(_sqrt),
    "sin": NumberFunction(math.sin),
    "cos": NumberFunction(math.cos),
    "tan": NumberFunction(math.tan),
    "log": NumberFunction(_log, most=2),
    "log10": NumberFunction(math.log10),
    "log2": NumberFunction(math.log2),
    "ln": NumberFunction(math.log),
    "exp": NumberFunction(math.exp),
    "abs": NumberFunction(abs),
    "round": NumberFunction(_round, most=2),
    "min": NumberFunction(lambda *values: min(values), most=1000),
    "max": NumberFunction(lambda *values: max(values), most=1000),
}
