"""Tools as applications really offer them, asked for in plain words rather than by their names."""

import random
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache

from services.inference.demo_model.generator import names
from services.inference.demo_model.generator.lexicon import Lexicon
from services.inference.demo_model.generator.phrasebook import sections
from services.inference.demo_model.generator.split import Split
from services.inference.demo_model.generator.tools import Parameter, Tool

_Maker = Callable[[Lexicon, random.Random], object]


@dataclass(frozen=True, slots=True)
class Slot:
    """A parameter: the names it may have, its kind, and where its values come from."""

    names: str
    make: _Maker
    kind: str = "string"
    required: bool = True
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Family:
    """A tool under its many names. `ways` use the slots by their first names."""

    names: str
    descriptions: str
    slots: tuple[Slot, ...]
    ways: tuple[str, ...]

    @property
    def key(self) -> str:
        return self.names.split("|")[0]


@dataclass(frozen=True, slots=True)
class EverydayTool(Tool):
    """`called` gives a parameter's name in this tool for the slot's first name."""

    family: Family
    called: tuple[tuple[str, str], ...]


_STOP = frozenset(
    """a an the of in on for to at from with my me i you please can could is are was what what's how
    who where when much many do does did and it need want get tell show give be up by as that this
    have has some""".split()
)


def _place(lexicon: Lexicon, rng: random.Random) -> object:
    place = lexicon.place(rng)
    return place.lower() if rng.random() < 0.3 else place


def _saying(lexicon: Lexicon, rng: random.Random) -> object:
    starts = ["", "", "I will be late, ", "see you ", "the ", "please bring ", "thanks for the "]
    return rng.choice(starts) + lexicon.words(rng, 1, 5)


def _email(lexicon: Lexicon, rng: random.Random) -> object:
    return f"{lexicon.word(rng)}@{lexicon.word(rng)}.{rng.choice(['com', 'org', 'io', 'net'])}"


def _id(lexicon: Lexicon, rng: random.Random) -> object:
    return rng.choice(
        [
            str(rng.randint(100, 999999)),
            f"{rng.choice('ABCXZ')}{rng.randint(10, 99999)}",
            f"{rng.choice(['ORD', 'TX', 'INV', 'A', 'PK', 'order', 'T'])}-{rng.randint(10, 99999)}",
            f"{lexicon.word(rng)}-{rng.randint(1, 99)}",
        ]
    )


def _date(_: Lexicon, rng: random.Random) -> object:
    return rng.choice(
        [
            f"2026-{rng.randint(1, 12):02}-{rng.randint(1, 28):02}",
            rng.choice(names.DAYS),
            f"{rng.choice(names.MONTHS)} {rng.randint(1, 28)}",
            "tomorrow",
            "today",
        ]
    )


def _time(_: Lexicon, rng: random.Random) -> object:
    precise = f"{rng.randint(0, 23):02}:{rng.randint(0, 59):02}"
    return rng.choice([precise, f"{rng.randint(1, 12)}{rng.choice('ap')}m"])


def _path(lexicon: Lexicon, rng: random.Random) -> object:
    name = f"{lexicon.word(rng)}.{rng.choice(['txt', 'md', 'py', 'json', 'csv'])}"
    folder = lexicon.word(rng)
    return rng.choice([name, f"/{folder}/{name}", f"{folder}/{name}", f"./{name}"])


def _folder(lexicon: Lexicon, rng: random.Random) -> object:
    word = lexicon.word(rng)
    return rng.choice(["/tmp", "src", f"/{word}", f"{word}/{lexicon.word(rng)}"])  # noqa: S108


def _command(lexicon: Lexicon, rng: random.Random) -> object:
    word = lexicon.word(rng)
    opened = [f"cat {word}.txt", f"echo {word}", f"mkdir {word}", f"grep {word} log"]
    return rng.choice(["ls -la", "git status", "pwd", *opened])


_MAKERS: Mapping[str, _Maker] = {
    "place": _place,
    "saying": _saying,
    "email": _email,
    "id": _id,
    "date": _date,
    "time": _time,
    "path": _path,
    "folder": _folder,
    "command": _command,
    "word": Lexicon.word,
    "proper": Lexicon.proper_word,
    "person": Lexicon.person,
}
_SLOT = re.compile(r"- (?P<names>\S+)(?P<optional> \?)? (?P<kind>\w+) = (?P<values>.+)")


def _families() -> Iterator[Family]:
    """In the phrasebook, `:` describes the tool, `-` is a parameter, and all else asks for it."""
    for section in sections("everyday"):
        described = "|".join(line[2:] for line in section.lines if line[0] == ":")
        slots = tuple(_slot(line) for line in section.lines if line.startswith("- "))
        ways = tuple(line for line in section.lines if line[0] not in ":-")
        yield Family(section.title, described, slots, ways)


def _slot(line: str) -> Slot:
    found = _SLOT.fullmatch(line)
    if not found:
        raise ValueError(f"no parameter: {line!r}")
    source, _, rest = found["values"].partition(" ")
    make = _maker(source, rest)
    if found["kind"] == "enum":
        return Slot(found["names"], make, "enum", not found["optional"], tuple(rest.split("|")))
    return Slot(found["names"], make, found["kind"], not found["optional"])


def _maker(source: str, rest: str) -> _Maker:
    """`int 1 9`, `words 1 3`, `only a|b`, `like a|b` (or any name), or one of the makers' names."""
    if source in ("int", "words"):
        least, most = map(int, rest.split())
        if source == "int":
            return lambda _, rng: rng.randint(least, most)
        return lambda lexicon, rng: lexicon.words(rng, least, most)
    if source in ("only", "like"):
        known = rest.split("|")
        if source == "only":
            return lambda _, rng: rng.choice(known)
        return lambda lexicon, rng: (
            rng.choice(known) if rng.random() < 0.6 else lexicon.proper_word(rng)
        )
    return _MAKERS[source]


FAMILIES = tuple(_families())
HELD_OUT = frozenset(
    """get_population assign_task set_volume get_stock_price cancel_order find_restaurants
    create_user roll_dice""".split()
)


class Outfitter:
    """Dresses families up as tools, each time under other names."""

    def __init__(self, split: Split) -> None:
        held_out = split is Split.HELD_OUT
        self._families = [f for f in FAMILIES if (f.key in HELD_OUT) == held_out]

    def tools(self, rng: random.Random, count: int) -> list[EverydayTool]:
        """Families the split may see; several at once never share the words they are asked with."""
        chosen: list[EverydayTool] = []
        for family in rng.sample(self._families, min(count, len(self._families))):
            if not any(triggers(family) & triggers(tool.family) for tool in chosen):
                chosen.append(_dressed(rng, family))
        return chosen


@cache
def triggers(family: Family) -> frozenset[str]:
    """The words by which requests for a family tell themselves from others."""
    text = re.sub(r"\{\w+\}", " ", " ".join((*family.ways, family.names)))
    return frozenset(re.findall(r"[a-z]+", text.lower().replace("_", " "))) - _STOP


def requested(
    rng: random.Random, lexicon: Lexicon, tool: EverydayTool, way: str
) -> tuple[dict[str, str], dict[str, object]]:
    """Texts for the way's slots, and the arguments that the call must then carry."""
    called = dict(tool.called)
    slots: dict[str, str] = {}
    arguments: dict[str, object] = {}
    for slot in tool.family.slots:
        key = slot.names.split("|")[0]
        if f"{{{key}}}" not in way:
            continue
        value = slot.make(lexicon, rng)
        slots[key] = str(value)
        arguments[called[key]] = value
    return slots, arguments


def _dressed(rng: random.Random, family: Family) -> EverydayTool:
    called = tuple(
        (slot.names.split("|")[0], rng.choice(slot.names.split("|"))) for slot in family.slots
    )
    parameters = tuple(
        Parameter(name, slot.kind, slot.required, _described(rng, name), slot.choices)
        for slot, (_, name) in zip(family.slots, called, strict=True)
    )
    name = rng.choice(family.names.split("|"))
    return EverydayTool(
        name, rng.choice(family.descriptions.split("|")), parameters, family, called
    )


def _described(rng: random.Random, name: str) -> str:
    return f"The {name.replace('_', ' ')}" if rng.random() < 0.3 else ""
