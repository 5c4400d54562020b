"""How people put it: patterns with alternatives and slots, written out as a user would type."""

import random
import re
from functools import cache
from typing import NamedTuple

from services.inference.demo_model.generator.split import Split

_SLOT = re.compile(r"\{(\w+)\}")
_LONG_WORD = re.compile(r"(?<![\w{'])[a-z]{4,}(?![\w}'])")
_TRIES = 40


class _Choice(NamedTuple):
    options: tuple["_Sequence", ...]


_Sequence = tuple["str | _Choice", ...]


class Phraser:
    """Writes patterns such as `[please |]remember that {fact}[.|]` out.

    Ways of putting it are held out by hash as words are: evaluation asks in ways never trained on.
    """

    def __init__(self, split: Split) -> None:
        self._split = split

    def phrase(self, rng: random.Random, pattern: str, **slots: str) -> str:
        skeleton = self._skeleton(rng, pattern)
        return _SLOT.sub(lambda slot: slots[slot[1]], _as_typed(rng, skeleton))

    def any_of(self, rng: random.Random, patterns: tuple[str, ...], **slots: str) -> str:
        return self.phrase(rng, rng.choice(patterns), **slots)

    def _skeleton(self, rng: random.Random, pattern: str) -> str:
        tree = _parsed(pattern)
        for _ in range(_TRIES):
            skeleton = _written(rng, tree)
            if self._split.holds(skeleton):
                return skeleton
        return skeleton


@cache
def _parsed(pattern: str) -> _Sequence:
    sequence, end = _parse(pattern, 0)
    if end != len(pattern):
        raise ValueError(f"unbalanced brackets in {pattern!r}")
    return sequence


def _parse(pattern: str, at: int) -> tuple[_Sequence, int]:
    found: list[str | _Choice] = []
    while at < len(pattern) and pattern[at] not in "|]":
        if pattern[at] == "[":
            choice, at = _parse_choice(pattern, at + 1)
            found.append(choice)
            continue
        end = at
        while end < len(pattern) and pattern[end] not in "[|]":
            end += 1
        found.append(pattern[at:end])
        at = end
    return tuple(found), at


def _parse_choice(pattern: str, at: int) -> tuple[_Choice, int]:
    options = []
    while True:
        option, at = _parse(pattern, at)
        options.append(option)
        if at >= len(pattern):
            raise ValueError(f"unbalanced brackets in {pattern!r}")
        at += 1
        if pattern[at - 1] == "]":
            return _Choice(tuple(options)), at


def _written(rng: random.Random, sequence: _Sequence) -> str:
    return "".join(
        part if isinstance(part, str) else _written(rng, rng.choice(part.options))
        for part in sequence
    )


def _as_typed(rng: random.Random, skeleton: str) -> str:
    """Lower case, no full stop, now and then a slip of the finger; slots stay as they are."""
    style = rng.random()
    if style < 0.5:
        skeleton = skeleton[:1].upper() + skeleton[1:]
    elif style < 0.53:
        skeleton = re.sub(r"[^{}]+(?![^{}]*\})", lambda fixed: fixed[0].upper(), skeleton)
    if skeleton[-1:] in ".!?" and rng.random() < 0.4:
        skeleton = skeleton[:-1]
    if rng.random() < 0.05:
        skeleton = _misspelt(rng, skeleton)
    return skeleton


def _misspelt(rng: random.Random, skeleton: str) -> str:
    found = list(_LONG_WORD.finditer(skeleton))
    if not found:
        return skeleton
    start, end = rng.choice(found).span()
    at = rng.randrange(start + 1, end - 1)
    slip = rng.choice(
        [skeleton[at + 1] + skeleton[at], skeleton[at + 1], skeleton[at] * 2 + skeleton[at + 1]]
    )
    return skeleton[:at] + slip + skeleton[at + 2 :]
