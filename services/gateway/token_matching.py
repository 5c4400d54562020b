"""Which of the model's tokens a shown text is made of."""

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate

from services.inference.api import TokenLogprob

# Some tokenizers leave it out where they decode a token alone: it is put back.
_BLANK = " "


class TokenMatcher:
    """Gives tokens away with the text that they spell, and no token of which no text was shown.

    A token comes with its text or before it: text waits for stop strings, parsers and moderation.
    A character may be spread over several tokens; then all but the last of them have no text.
    Where the shown text is not what the tokens say, nothing is given until `seek` is called.
    """

    def __init__(self) -> None:
        self._waiting: deque[TokenLogprob] = deque()
        # Shown text of a token that is not shown whole.
        self._begun = ""
        self._seeking = True
        self._lost = False

    def heard(self, tokens: Iterable[TokenLogprob]) -> None:
        """These were written next."""
        self._waiting.extend(tokens)

    def seek(self) -> None:
        """What is shown next begins with one of the tokens, not always with the next one: markup
        is not shown.
        """
        self._begun = ""
        self._seeking, self._lost = True, False

    def lose(self) -> None:
        """What is shown from here on is not what the model wrote."""
        self._lost = True

    def shown(self, text: str) -> tuple[TokenLogprob, ...]:
        """The tokens of which this text brings the end."""
        if self._lost or not self._waiting:
            return ()
        self._begun += text
        if self._seeking:
            self._seeking = False
            self._skip_to(self._begun)
        taken: list[TokenLogprob] = []
        while not self._lost and (character := self._next()):
            taken += character
        return tuple(taken)

    def _next(self) -> list[TokenLogprob]:
        """The next tokens that end with a whole character, once all of their text is shown."""
        count = 1 + next((n for n, each in enumerate(self._waiting) if each.token), -1)
        if not count:
            return []
        token = self._waiting[count - 1].token
        if not _agree(self._begun, token):
            blanks = len(self._begun) - len(self._begun.lstrip(_BLANK))
            token = _BLANK * blanks + token
        self._lost = not _agree(self._begun, token)
        if self._lost or len(token) > len(self._begun):
            return []
        self._begun = self._begun[len(token) :]
        *before, last = [self._waiting.popleft() for _ in range(count)]
        return [*before, replace(last, token=token)]

    def _skip_to(self, text: str) -> None:
        """Drops the tokens before the first one from which on they say `text`."""
        texts = [each.token for each in self._waiting]
        place = _place(texts, text)
        if place is None:
            bare = [token.replace(_BLANK, "") for token in texts]
            place = _place(bare, text.replace(_BLANK, ""))
        self._lost = place is None
        for _ in range(place or 0):
            self._waiting.popleft()


def _agree(shown: str, token: str) -> bool:
    return shown.startswith(token) or token.startswith(shown)


def _place(tokens: Sequence[str], text: str) -> int | None:
    """The number of the first token from which on they say `text`."""
    starts: dict[int, int] = {}
    for number, start in enumerate(accumulate(map(len, tokens), initial=0)):
        starts.setdefault(start, number)
    written = "".join(tokens)
    at = written.find(text)
    while at >= 0 and at not in starts:
        at = written.find(text, at + 1)
    return None if at < 0 else starts[at]
