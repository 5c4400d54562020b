"""Arguments for a tool's parameters, and the many ways in which a user states them."""

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

from services.inference.demo_model.generator.lexicon import Lexicon
from services.inference.demo_model.generator.tools import Parameter

_AMBIGUOUS = (
    ",",
    " and ",
    " with ",
    " to ",
    " as ",
    " is ",
    " for ",
    " the ",
    " in ",
    " at ",
    " of ",
    " from ",
    " on ",
    " by ",
)

NAME_FIRST = (
    "{k} {v}",
    "{k} {v}",
    "{k} {v}",
    "{k}: {v}",
    "{k}={v}",
    "{k} = {v}",
    "{k} is {v}",
    "{k} set to {v}",
    "{k} should be {v}",
    "the {k} is {v}",
    "the {k} {v}",
    "a {k} of {v}",
    "set {k} to {v}",
    "set the {k} to {v}",
    "set {k} = {v}",
    "use {k} {v}",
    "put {k} to {v}",
)
VALUE_FIRST = (
    "{v} as {k}",
    "{v} as {k}",
    "{v} as the {k}",
    "{v} for {k}",
    "{v} for the {k}",
    "use {v} as {k}",
    "use {v} as the {k}",
    "use {v} for {k}",
    "{v} ({k})",
    "put {v} in {k}",
)


@dataclass(frozen=True, slots=True)
class Argument:
    """`said` is the value in the user's words, `value` what the call must carry."""

    parameter: Parameter
    said: str
    value: object


def argument(rng: random.Random, lexicon: Lexicon, parameter: Parameter) -> Argument:
    said, value = _MAKERS[parameter.kind](rng, lexicon, parameter)
    return Argument(parameter, said, value)


def quoted(rng: random.Random, said: Argument, *, alone: bool) -> Argument:
    """Puts strings in quotes where they would run into other words, and now and then anyway."""
    if not isinstance(said.value, str) or said.parameter.kind == "enum":
        return said
    if not alone and (_ambiguous(said.said) or (" " in said.said and rng.random() < 0.45)):
        return _in_quotes(rng, said)
    return _in_quotes(rng, said) if rng.random() < 0.1 else said


def pairs(rng: random.Random, stated: Sequence[Argument]) -> list[str]:
    """Each argument with its parameter's name, mostly all in the same way."""
    family = rng.choices((NAME_FIRST, VALUE_FIRST), (60, 40))[0]
    way = rng.choice(family)
    written = []
    for said in stated:
        if rng.random() < 0.15:
            way = rng.choice(family)
        name = said.parameter.name if rng.random() < 0.2 else said.parameter.spoken
        written.append(_switch(rng, said, name) or way.format(k=name, v=said.said))
    return written


def _switch(rng: random.Random, said: Argument, name: str) -> str | None:
    """`with verbose`, `no verbose`: how people turn something on or off."""
    if said.parameter.kind != "boolean" or rng.random() < 0.5:
        return None
    on = ("{k} on", "{k} enabled", "enable {k}", "turn on {k}", "with {k}")
    off = ("{k} off", "{k} disabled", "disable {k}", "turn off {k}", "no {k}", "without {k}")
    return rng.choice(on if said.value else off).format(k=name)


def _in_quotes(rng: random.Random, said: Argument) -> Argument:
    mark = '"' if rng.random() < 0.75 or "'" in said.said else "'"
    return Argument(said.parameter, f"{mark}{said.said}{mark}", said.value)


def _ambiguous(text: str) -> bool:
    return any(mark in f" {text} " for mark in _AMBIGUOUS)


def _string(rng: random.Random, lexicon: Lexicon, _: Parameter) -> tuple[str, object]:
    text = lexicon.text(rng)
    return text, text


def _integer(rng: random.Random, _: Lexicon, __: Parameter) -> tuple[str, object]:
    number = rng.randint(0, 10 ** rng.randint(1, 5)) * rng.choice((1, 1, 1, 1, 1, 1, 1, 1, 1, -1))
    return str(number), number


def _number(rng: random.Random, lexicon: Lexicon, parameter: Parameter) -> tuple[str, object]:
    if rng.random() < 0.4:
        return _integer(rng, lexicon, parameter)
    number = rng.randint(0, 999) + rng.randint(1, 99) / 100
    return str(number), number


def _boolean(rng: random.Random, _: Lexicon, __: Parameter) -> tuple[str, object]:
    value = rng.random() < 0.5
    return rng.choice(("true", "yes", "on") if value else ("false", "no", "off")), value


def _enum(rng: random.Random, _: Lexicon, parameter: Parameter) -> tuple[str, object]:
    choice = rng.choice(parameter.choices)
    return choice.lower() if rng.random() < 0.2 else choice, choice


def _strings(rng: random.Random, lexicon: Lexicon, _: Parameter) -> tuple[str, object]:
    items = [lexicon.short_text(rng) for _ in range(rng.choices((1, 2, 3, 4), (15, 40, 30, 15))[0])]
    shape = rng.random()
    if shape < 0.1:
        return json.dumps(items, ensure_ascii=False), items
    if shape < 0.3 or len(items) == 1:
        return ", ".join(items), items
    return f"{', '.join(items[:-1])} and {items[-1]}", items


_MAKERS = {
    "string": _string,
    "integer": _integer,
    "number": _number,
    "boolean": _boolean,
    "enum": _enum,
    "strings": _strings,
}
