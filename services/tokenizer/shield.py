"""How what callers wrote is kept from being read as a model's control tokens."""

import re
from collections.abc import Collection, Iterable
from itertools import groupby
from typing import Any

# Signs of ancient Greek editors: in nobody's message, caseless, and printable, so that templates
# which write objects as Python does keep them. A mark stands inside what must stay text. The
# tokenizer takes marks out after it has looked for control tokens, and makes `ESCAPED`, which
# stands for a caller's own `ESCAPE`, that sign again.
ESCAPE = "\u2e10"
MARK = ESCAPE + "\u2e11"
ESCAPED = ESCAPE + "\u2e0f"


class Shield:
    """Marks callers' text wherever it spells a control token or could help to spell one.

    A token may also arise where strings meet, so a mark stands at the end of a text that a token
    could begin in, and at the start of a text that could finish what a literal of the chat
    template began. Not covered: tokens of a single character, and what templates do to texts
    (`upper` could make a token; JSON in pure ASCII shows the model a mark's escapes).
    """

    def __init__(self, tokens: Iterable[str], literals: Iterable[str]) -> None:
        words = {token for token in tokens if len(token) > 1}
        self._inside = _first_letters(words)
        self._beginnings = frozenset(word[:n] for word in words for n in range(1, len(word)))
        self._letters = re.compile("|".join({re.escape(word[0]) for word in words}) or r"(?!)")
        self._reach = max(map(len, words), default=1) - 1
        self._endings = self._after(literals, words)

    def text(self, text: str) -> str:
        if ESCAPE in text:
            text = text.replace(ESCAPE, ESCAPED)
        marked = text
        if self._letters.search(text):
            marked = self._inside.sub(_mark, text)
            if self._begins_token(text):
                bare = marked.rstrip()
                marked = bare + MARK + marked[len(bare) :]
        if self._endings and self._ends_token(text):
            bare = marked.lstrip()
            marked = marked[: len(marked) - len(bare)] + MARK + bare
        return marked

    def value(self, value: Any) -> Any:
        """The same for every string, keys too, in a value read from JSON."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {self.text(key): self.value(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self.value(item) for item in value]
        return value

    def _begins_token(self, text: str) -> bool:
        tail = text.rstrip()[-self._reach :]
        starts = (letter.start() for letter in self._letters.finditer(tail))
        return any(tail[start:] in self._beginnings for start in starts)

    def _ends_token(self, text: str) -> bool:
        head = text.lstrip()[: self._reach]
        return bool(head) and any(
            head.startswith(ending) or ending.startswith(head) for ending in self._endings
        )

    def _after(self, literals: Iterable[str], words: Collection[str]) -> tuple[str, ...]:
        """What would finish a token that one of `literals` begins at its end."""
        begun = {
            literal[-n:]
            for literal in literals
            for n in range(1, min(len(literal), self._reach) + 1)
            if literal[-n:] in self._beginnings
        }
        return tuple(
            sorted({word[len(b) :] for b in begun for word in words if word.startswith(b)})
        )


def _mark(letter: re.Match[str]) -> str:
    return letter[0] + MARK


def _first_letters(words: Collection[str]) -> re.Pattern[str]:
    """Matches the first letter of every occurrence, overlapping ones too."""
    return re.compile(
        "|".join(
            f"{re.escape(letter)}(?={_any_of({word[1:] for word in group})})"
            for letter, group in groupby(sorted(words), key=lambda word: word[0])
        )
        or r"(?!)"
    )


def _any_of(words: Collection[str]) -> str:
    """A pattern for any of `words`, tried letter by letter: some models have thousands."""
    if "" in words:
        return ""
    branches = [
        re.escape(letter) + _any_of({word[1:] for word in group})
        for letter, group in groupby(sorted(words), key=lambda word: word[0])
    ]
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"
