"""The one text of a tool that takes no other arguments, out of its JSON as it comes."""

import json
import re

_BEFORE = re.compile(r'\s*\{\s*"input"\s*:\s*"')
# Whole characters and escapes. The halves of a character that JSON writes as two come together.
_INSIDE = re.compile(
    r'(?:[^"\\]|\\[^u]|\\u(?![dD][89abAB])[0-9a-fA-F]{4}'
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}(?:(?=[^\\]|\\[^u])|\\u[0-9a-fA-F]{4}))*",
    re.DOTALL,
)


class TextInputReader:
    """Takes pieces of `{"input": "..."}` and gives what its string says."""

    def __init__(self) -> None:
        self._waiting = ""
        self._begun = False
        self._ended = False

    def feed(self, piece: str) -> str:
        """What is new of the text. All that follows the string is passed over."""
        if self._ended:
            return ""
        self._waiting += piece
        if not self._begun:
            found = _BEFORE.match(self._waiting)
            if not found:
                return ""
            self._begun = True
            self._waiting = self._waiting[found.end() :]
        return self._said()

    def _said(self) -> str:
        found = _INSIDE.match(self._waiting)
        assert found is not None
        self._waiting = self._waiting[found.end() :]
        self._ended = self._waiting.startswith('"')
        text: str = json.loads(f'"{found[0]}"', strict=False)
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
