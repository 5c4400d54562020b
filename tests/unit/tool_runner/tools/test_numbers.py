import math
from fractions import Fraction

import pytest

from services.tool_runner.tools.numbers import Number, literal, operated, written


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (Fraction(42), "42"),
        (Fraction(-3, 4), "-0.75"),
        (Fraction(1, 3), "0.333333333333"),
        (Fraction(2, 3), "0.666666666667"),
        (Fraction(100, 3), "33.3333333333"),
        (Fraction(10**13, 3), "3333333333333.33"),
        (Fraction(10**18, 7), "1.42857142857e+17"),
        (Fraction(2**200), str(2**200)),
        (Fraction(123456789123456789, 1000), "123456789123456.789"),
        (Fraction(1, 10**12), "0.000000000001"),
        (Fraction(1, 10**13), "1e-13"),
        (Fraction(0), "0"),
        (-0.0, "0"),
        (math.pi, "3.14159265359"),
        (1e300, "1e+300"),
        (30000000000.5, "30000000000.5"),
    ],
)
def test_writes(number: Number, text: str) -> None:
    assert written(number) == text


def test_decimals_stay_exact() -> None:
    assert operated("+", literal("0.1"), literal("0.2")) == Fraction(3, 10)


def test_what_grows_long_becomes_a_float() -> None:
    small = operated("**", Fraction(1, 7), Fraction(300))
    assert isinstance(operated("*", small, small), float)


def test_what_is_too_small_is_nothing() -> None:
    assert literal("1e-999999999999") == 0


def test_the_largest_whole_number_kept_is_as_large_as_a_float() -> None:
    assert operated("**", Fraction(2), Fraction(1023)) == 2**1023
    with pytest.raises(OverflowError):
        operated("**", Fraction(2), Fraction(1024))
