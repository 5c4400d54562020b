"""Lets finders see through how a text is written: wide letters, other digits, unseen characters."""

import re
import unicodedata
from array import array

from services.moderation.api import Span
from services.moderation.ports import Finder

# What takes no room and stands inside words: soft hyphens, joiners, directions, selectors.
_UNSEEN = (
    "\u00ad\u034f\u061c\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff"
)
# How Unicode says that a character is another one in another form: not raised, not in a circle.
_FORMS = ("<wide>", "<narrow>", "<font>", "<noBreak>", "<compat>", "<small>")


def _plain(character: str) -> str:
    """The ASCII character that it is a form of; itself, where there is none."""
    category = unicodedata.category(character)
    if category == "Zs":
        return " "
    if category == "Pd" or character == "\u2212":
        return "-"
    if category == "Nd":
        return str(unicodedata.digit(character))
    plain = unicodedata.normalize("NFKC", character)
    formed = unicodedata.decomposition(character).startswith(_FORMS)
    return plain if formed and len(plain) == 1 and plain.isascii() else character


_FORMED = {
    code: plain
    # Not the wide signs: they part words, and what stands behind one is a word of its own.
    for code in (*range(0xA0, 0xD800), *range(0xFE50, 0xFF00), *range(0xFF10, 0x20000))
    if (plain := _plain(chr(code))) != chr(code)
}
_ODD = re.compile(f"[{_UNSEEN}{''.join(map(chr, _FORMED))}]")
_GONE = re.compile(f"[{_UNSEEN}]")


class Plainly:
    """A finder that is shown plain characters, and whose finds are told in the text's own places.

    What hides a secret from the finder does not hide it from a model, which reads it all the same.
    """

    def __init__(self, finder: Finder) -> None:
        self._finder = finder
        self.family = finder.family
        self.rules = finder.rules

    def find(self, text: str) -> list[Span]:
        if text.isascii() or not _ODD.search(text):
            return self._finder.find(text)
        plain, places = _shown(text)
        return [
            Span(places[span.start], places[span.end - 1] + 1, span.rule)
            for span in self._finder.find(plain)
            if span.end > span.start
        ]

    def settled(self, text: str) -> int:
        if text.isascii() or not _ODD.search(text):
            return self._finder.settled(text)
        plain, places = _shown(text)
        settled = self._finder.settled(plain)
        return places[settled] if settled < len(plain) else len(text)


def _shown(text: str) -> tuple[str, "array[int] | range"]:
    """The text in plain characters, and where each of them stands in it."""
    if not _GONE.search(text):
        return text.translate(_FORMED), range(len(text))
    places = array("I")
    kept: list[str] = []
    begin = 0
    for gone in (*_GONE.finditer(text), None):
        end = gone.start() if gone else len(text)
        kept.append(text[begin:end])
        places.extend(range(begin, end))
        begin = gone.end() if gone else end
    return "".join(kept).translate(_FORMED), places
