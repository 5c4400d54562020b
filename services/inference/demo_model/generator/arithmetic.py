"""Sums as people ask for them, with the expression that a calculator can evaluate."""

import random

from services.inference.demo_model.generator.phrasebook import patterns
from services.inference.demo_model.generator.scene import Scene

_ASKS = patterns("arithmetic")["asks"]
_UNITS = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen"
    " sixteen seventeen eighteen nineteen"
).split()
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()
_SPOKEN = {
    "+": ("plus", "plus", "added to", "and"),
    "-": ("minus", "minus", "less", "take away"),
    "*": ("times", "times", "multiplied by", "x", "\u00d7"),
    "/": ("divided by", "over", "÷"),
}


def arithmetic(scene: Scene) -> tuple[str, str]:
    """What the user types, and the expression to evaluate."""
    shape = scene.rng.choices((_symbols, _words, _idiom), (5, 4, 3))[0]
    said, expression = shape(scene.rng)
    return scene.say(_ASKS, sum=said), expression


def _number(rng: random.Random) -> str:
    if rng.random() < 0.2:
        return f"{rng.randint(0, 999)}.{rng.randint(1, 99)}"
    return str(rng.randint(0, 10 ** rng.choice((1, 2, 2, 3, 3, 4, 6))))


def _symbols(rng: random.Random) -> tuple[str, str]:
    gap = rng.choice(["", " "])
    parts = [_number(rng)]
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
        parts += [rng.choice("+-*/+-*/%") if rng.random() < 0.95 else "**", _number(rng)]
    if len(parts) > 3 and rng.random() < 0.5:
        start = rng.choice(range(0, len(parts) - 2, 2))
        parts[start] = f"({parts[start]}"
        parts[start + 2] = f"{parts[start + 2]})"
    expression = gap.join(parts)
    if rng.random() < 0.15:
        return _typed_otherwise(rng, expression)
    return expression, expression


def _typed_otherwise(rng: random.Random, expression: str) -> tuple[str, str]:
    """Signs that people use and a calculator may not know."""
    plain = expression.replace("**", "*")
    sign, typed = rng.choice([("*", "x"), ("*", "\u00d7"), ("/", "÷"), ("**", "^")])
    if sign == "**":
        base, power = rng.randint(2, 99), rng.randint(2, 12)
        return f"{base}^{power}", f"{base}**{power}"
    return plain.replace(sign, typed), plain


def _words(rng: random.Random) -> tuple[str, str]:
    said, expression = _spoken_number(rng)
    for _ in range(rng.choice((1, 1, 1, 1, 2))):
        sign = rng.choice("+-*/")
        word, number = _spoken_number(rng)
        said += f" {rng.choice(_SPOKEN[sign])} {word}"
        expression += f" {sign} {number}"
    return said, expression


def _spoken_number(rng: random.Random) -> tuple[str, str]:
    if rng.random() < 0.65:
        return (number := _number(rng)), number
    number_of = rng.randint(0, 99)
    return _in_words(number_of, rng.choice("- ")), str(number_of)


def _in_words(number: int, hyphen: str) -> str:
    if number < 20:
        return _UNITS[number]
    tens, units = divmod(number, 10)
    return _TENS[tens - 2] + (f"{hyphen}{_UNITS[units]}" if units else "")


_IDIOMS: tuple[tuple[tuple[str, ...], str], ...] = (
    (("{a}% of {b}", "{a} percent of {b}", "{a} per cent of {b}"), "{a} / 100 * {b}"),
    (("the square root of {a}", "square root of {a}", "sqrt of {a}", "root of {a}"), "sqrt({a})"),
    (("{a} squared", "the square of {a}", "{a} to the power of 2"), "{a} ** 2"),
    (("{a} cubed", "the cube of {a}"), "{a} ** 3"),
    (("{a} to the power of {b}", "{a} to the power {b}", "{a} raised to {b}"), "{a} ** {b}"),
    (("the sum of {a} and {b}", "sum of {a} and {b}", "{a} and {b} together"), "{a} + {b}"),
    (("the difference between {a} and {b}", "difference of {a} and {b}"), "{a} - {b}"),
    (("the product of {a} and {b}", "product of {a} and {b}"), "{a} * {b}"),
    (("half of {a}", "half {a}", "one half of {a}"), "{a} / 2"),
    (("twice {a}", "double {a}", "two times {a}"), "2 * {a}"),
    (("a third of {a}", "one third of {a}"), "{a} / 3"),
)
_ORDERS: tuple[tuple[str, str], ...] = (
    ("add {a} and {b}", "{a} + {b}"),
    ("add {b} to {a}", "{a} + {b}"),
    ("subtract {b} from {a}", "{a} - {b}"),
    ("multiply {a} by {b}", "{a} * {b}"),
    ("multiply {a} and {b}", "{a} * {b}"),
    ("divide {a} by {b}", "{a} / {b}"),
)


def _idiom(rng: random.Random) -> tuple[str, str]:
    slots = {"a": _number(rng), "b": _number(rng)}
    if rng.random() < 0.3:
        said, expression = rng.choice(_ORDERS)
    else:
        ways, expression = rng.choice(_IDIOMS)
        said = rng.choice(ways)
    return said.format(**slots), expression.format(**slots)
