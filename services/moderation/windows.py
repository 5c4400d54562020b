"""Counts a text's words, and cuts it into the windows and sentences that are scored."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from services.moderation.legible import legible

# Scripts without spaces between words: kana and CJK ideographs; Thai, Lao, Burmese, Khmer.
_IDEOGRAPHS = (
    "\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
)
_SYLLABLES = "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
# An ideograph counts as a word. So do up to four letters of a script that puts no space between
# words, and up to 12 characters without a space in any other script. So even a text without spaces
# has words, and is scored after some of them.
_WORD = re.compile(rf"[{_IDEOGRAPHS}]|[{_SYLLABLES}]{{1,4}}|[^\s{_IDEOGRAPHS}{_SYLLABLES}]{{1,12}}")
_UNSPACED = re.compile(rf"[\s{_IDEOGRAPHS}{_SYLLABLES}\u3000-\u303f\uff00-\uff0f]")
# What ends a sentence, with the gap after it; so does the end of a string in JSON. A row of such
# signs is read once, from its first.
_SENTENCE_END = re.compile(
    r"(?<![.!?;\u2026])[.!?;\u2026]++[\"'\u201d\u2019)\]]*+\s+|[\u3002\uff01\uff1f\uff1b]+|\n\s*"
    r"|\"\\?[,:}\]]\s*"
)
# A shorter sentence is not looked at alone.
_LEAST_WORDS = 2


@dataclass(frozen=True, slots=True)
class WindowSize:
    """How many words a window has; it begins with the last `overlap` words of the one before."""

    words: int
    overlap: int


# About a clause, half of it shared with the one before. A shorter sentence is not cut into these.
CLAUSE = WindowSize(words=12, overlap=6)
_LONG_SENTENCE = 20
_FEW = 2


def count_words(text: str) -> int:
    return sum(1 for _ in _WORD.finditer(text))


def windows(text: str, window_size: WindowSize) -> list[str]:
    """At least one window; together they hold every word."""
    spans = [match.span() for match in _WORD.finditer(text)]
    if len(spans) <= window_size.words:
        return [text]
    step = window_size.words - window_size.overlap
    begins = range(0, len(spans) - window_size.overlap, step)
    return [
        text[spans[begin][0] : spans[min(begin + window_size.words, len(spans)) - 1][1]]
        for begin in begins
    ]


def passages(text: str, window_size: WindowSize) -> list[str]:
    """What is scored of a text, each once, as a person would read it.

    Its windows; each sentence by itself, so that none hides between harmless ones; and short
    windows of each long sentence, so that nothing hides where there are no full stops. A sentence
    that is longer than a window is cut into windows as well.
    """
    text = legible(text)
    whole = windows(text, window_size)
    alone = (
        window
        for sentence in _sentences(text)
        if (words := count_words(sentence)) >= _LEAST_WORDS
        for size in ((window_size, CLAUSE) if words > _LONG_SENTENCE else (window_size,))
        for window in windows(sentence, size)
    )
    return list(dict.fromkeys(each.strip() for each in (*whole, *alone)))


def holds_few_sentences(text: str) -> bool:
    """Whether it is a question or a threat with no more than a sentence before or after it."""
    return sum(1 for _ in islice(_sentences(text.strip()), _FEW + 1)) <= _FEW


def _sentences(text: str) -> Iterator[str]:
    begin = 0
    for end in _SENTENCE_END.finditer(text):
        yield text[begin : end.end()]
        begin = end.end()
    yield text[begin:]


def last_words(text: str, count: int) -> str:
    """The end of a text, from its `count`-th last word on."""
    # Looks at no more than 48 characters for each word, so that a long text costs no more.
    begins = [match.start() for match in _WORD.finditer(text, max(0, len(text) - count * 48))]
    if count <= 0 or not begins:
        return ""
    return text[begins[-count] if len(begins) >= count else begins[0] :]


def last_gap(text: str) -> int:
    """Where the last word begins that may still grow; the text's length where it ends with a gap.

    Every letter of a script without spaces ends a word.
    """
    end = len(text)
    while end and not _UNSPACED.match(text, end - 1):
        end -= 1
    return end
