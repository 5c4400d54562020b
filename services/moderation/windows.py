"""How a text is cut into the windows that are scored."""

import re
from dataclasses import dataclass

# Scripts without spaces between words: kana and CJK ideographs; Thai, Lao, Burmese, Khmer.
_IDEOGRAPHS = (
    "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_SYLLABLES = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
# An ideograph counts as a word, so do four letters of a script that does not part its words, and
# so do 12 characters without a space in any other: nothing is so long that it is never looked at.
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|[{_SYLLABLES}]{{1,4}}|[^\s{_IDEOGRAPHS}{_SYLLABLES}]{{1,12}}")
_UNSPACED = re.compile(rf"[\s{_IDEOGRAPHS}{_SYLLABLES}\u3000-\u303f\uff00-\uff0f]")


@dataclass(frozen=True, slots=True)
class Windowing:
    """In words; a window begins with the last `overlap` words of the one before."""

    words: int
    overlap: int


def count_words(text: str) -> int:
    return sum(1 for _ in _WORD.finditer(text))


def windows(text: str, windowing: Windowing) -> list[str]:
    """At least one window; together they hold every word."""
    spans = [match.span() for match in _WORD.finditer(text)]
    if len(spans) <= windowing.words:
        return [text]
    step = windowing.words - windowing.overlap
    begins = range(0, len(spans) - windowing.overlap, step)
    return [
        text[spans[begin][0] : spans[min(begin + windowing.words, len(spans)) - 1][1]]
        for begin in begins
    ]


def last_words(text: str, count: int) -> str:
    """The end of a text from its `count`-th last word on."""
    # A word takes at most 24 characters, and more than as many spaces between two are not read.
    begins = [match.start() for match in _WORD.finditer(text, max(0, len(text) - count * 48))]
    if count <= 0 or not begins:
        return ""
    return text[begins[-count] if len(begins) >= count else begins[0] :]


def last_gap(text: str) -> int:
    """Where the last run of characters begins that no space, and no script without spaces, ends."""
    end = len(text)
    while end and not _UNSPACED.match(text, end - 1):
        end -= 1
    return end
