"""Ways of putting things, in text files beside this one: patterns, sections of them, macros.

`== title` opens a section, every other line is one of its patterns, and `<name> = pattern` defines
what `<name>` stands for in the lines that follow.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_MACRO = re.compile(r"<(\w+)> = (.*)")
_USE = re.compile(r"<(\w+)>")


@dataclass(frozen=True, slots=True)
class Section:
    title: str
    lines: tuple[str, ...]


@cache
def sections(name: str) -> tuple[Section, ...]:
    macros: dict[str, str] = {}
    found: list[tuple[str, list[str]]] = []
    for line in _path(name).read_text(encoding="utf-8").splitlines():
        if line.startswith("== "):
            found.append((line[3:], []))
        elif definition := _MACRO.fullmatch(line):
            macros[definition[1]] = _expanded(definition[2], macros)
        elif line:
            found[-1][1].append(_expanded(line, macros))
    return tuple(Section(title, tuple(lines)) for title, lines in found)


@cache
def patterns(name: str) -> Mapping[str, tuple[str, ...]]:
    return {section.title: section.lines for section in sections(name)}


def _path(name: str) -> Path:
    return Path(__file__).with_name(f"{name}.txt")


def _expanded(line: str, macros: Mapping[str, str]) -> str:
    return _USE.sub(lambda use: macros[use[1]], line)
