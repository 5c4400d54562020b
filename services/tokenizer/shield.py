"""Keeps a caller's text from being read as a model's control tokens."""

import re
from collections.abc import Collection, Iterable
from itertools import groupby
from typing import Any

# Three signs of ancient Greek editors. Nobody writes them in a message, they have no upper case,
# and Python prints them as they are, also inside an object. `MARK` stands inside what must stay
# text: the tokenizer removes it, but only after it has looked for control tokens. `ESCAPED` stands
# where the caller's text itself has an `ESCAPE`, and the tokenizer turns it back.
ESCAPE = "\u2e10"
MARK = ESCAPE + "\u2e11"
ESCAPED = ESCAPE + "\u2e0f"


class Shield:
    """Puts a mark into a caller's text where it spells a control token, whole or in part.

    A token may also arise where two strings meet. So a text that ends like the beginning of a token
    has a mark at its end. A text that starts like the rest of a token has a mark at its start, if a
    literal of the chat template ends like the beginning.

    Not covered: tokens of one character, and what a template does to a text. `upper` could make a
    token of it, and JSON in pure ASCII shows the model the mark as an escape sequence.
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
        """Marks every string of a value read from JSON, its keys too."""
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
        """The rests of all tokens whose beginning stands at the end of a literal."""
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
    """Matches the first letter of every word in a text, also where words overlap."""
    return re.compile(
        "|".join(
            f"{re.escape(letter)}(?={_any_of({word[1:] for word in group})})"
            for letter, group in groupby(sorted(words), key=lambda word: word[0])
        )
        or r"(?!)"
    )


def _any_of(words: Collection[str]) -> str:
    """A pattern for any of `words` that compares letter by letter, since a model may have thousands
    of them."""
    if "" in words:
        return ""
    branches = [
        re.escape(letter) + _any_of({word[1:] for word in group})
        for letter, group in groupby(sorted(words), key=lambda word: word[0])
    ]
    return branches[0] if len(branches) == 1 else f"(?:{'|'.join(branches)})"
