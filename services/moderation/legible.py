"""Reads a text as a person would: undoes what hides its words from a model and not from people.

Only what is scored is read so. What is shown, masked and found by rules is the text as it came.
Each rule either changes how a letter is written or parts and joins words; none drops a word, so
that nothing can hide in what is left out.
"""

import html
import json
import re
import unicodedata
from collections import Counter
from functools import cache
from math import inf, log
from pathlib import Path
from urllib.parse import unquote

from services.shared.embedder import embedder

# Cyrillic, Greek, Armenian and Cherokee letters that look like Latin ones.
_LIKE_LATIN = str.maketrans(
    "\u0430\u0432\u0435\u0455\u0456\u0458\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445"
    "\u0501\u051b\u051d\u04bb\u04bd\u0410\u0412\u0415\u0405\u0406\u0408\u041a\u041c\u041d\u041e\u0420"
    "\u0421\u0422\u0423\u0425\u03b1\u03b5\u03b9\u03ba\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7\u0391"
    "\u0392\u0395\u0396\u0397\u0399\u039a\u039c\u039d\u039f\u03a1\u03a4\u03a5\u03a7\u0131\u0261"
    "\u0585\u057d\u0570\u0578\u0581\u13aa\u13f4\u13df\u13a0\u13ac\u13bb\u13ab\u13e6\u13de\u13b7"
    "\u13e2\u13da\u13a2\u13d9\u13b3",
    "abesijkmhopctyxdqwheABESIJKMHOPCTYXaeikvoptuxABEZHIKMNOPTYXigouhngABCDEHJKLMPSTVW",
)
# Latin letters in other forms, which Unicode's own forms do not undo: small capitals, and letters
# in circles, squares, brackets and flags.
_CAPITALS = (
    "\u1d00\u0299\u1d04\u1d05\u1d07\ua730\u0262\u029c\u026a\u1d0a\u1d0b\u029f\u1d0d\u0274\u1d0f\u1d18"
    "\ua7af\u0280\ua731\u1d1b\u1d1c\u1d20\u1d21\u028f\u1d22\u0251\u0269"
)
_ENCLOSED = (0x249C, 0x1F110, 0x1F150, 0x1F170, 0x1F1E6)
_LATIN_FORMS = dict(zip(map(ord, _CAPITALS), "abcdefghijklmnopqrstuvwyzai", strict=True)) | {
    begin + number: letter
    for begin in _ENCLOSED
    for number, letter in enumerate("abcdefghijklmnopqrstuvwxyz")
}
# What shows as a gap, and is none by its kind.
_LATIN_FORMS |= dict.fromkeys((0x2800, 0x3164, 0xFFA0), " ")
# Marks of no script, and a few of other scripts where they stand on a Latin letter.
_MARK = r"\u0300-\u036f\u0488\u0489\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
_MARKS = re.compile(
    rf"(?<=[A-Za-z])[{_MARK}\u0483-\u0487\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u064b-\u065f]+|[{_MARK}]+"
)
# What takes no room: soft hyphens, joiners, directions, selectors, tag letters.
_UNSEEN = re.compile(
    r"[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e"
    r"\u2060-\u206f\ufe00-\ufe0f\ufeff\U000e0000-\U000e01ef]+"
)
# All but the stops and brackets of CJK scripts, which part sentences as they are.
_NOT_ASIAN_SIGNS = re.compile(r"[^\u3000-\u303f\uff01-\uff0f\uff1a-\uff1f]+")
_WORD = re.compile(r"\w+")
_ESCAPED = re.compile(
    r"(?<!\\)\\++(?:u([0-9a-fA-F]{4})|x([0-9a-fA-F]{2})|u\{0{0,4}(10[0-9a-fA-F]{4}|[0-9a-fA-F]{1,5})\})"
)
_ESCAPED_GAP = re.compile(r"(?<!\\)\\++[nrt]")
_TAG = re.compile(
    r"(?i)</?(?:[abipsu]|em|strong|span|div|br|hr|font|mark|small|big|sub|sup|li|ul|ol|td|tr|th"
    r"|h[1-6]|code|pre)\s?/?>"
)
_EMPHASIS = re.compile(r"(?<![^\W_])[*_~`]{1,3}(?=[^\W_])|(?<=[^\W_])[*_~`]{1,3}(?![^\W_])")
_BOUND = re.compile(r"(?<=[A-Za-z])[_+](?=[A-Za-z])")
# A digit or a sign for a letter, between letters.
_FOR_LETTERS = str.maketrans("013457@$", "oieastas")
_WITH_DIGITS = re.compile(r"(?<=[A-Za-z])[013457@$]{1,2}(?=[A-Za-z])")
# A word that has some has one at its end, too: p1p3, not mp3.
_ENDING_SO = re.compile(
    r"(?<![A-Za-z0-9@$])[A-Za-z]+(?:[013457@$]{1,2}[A-Za-z]+)++[013457@$](?![A-Za-z0-9@$])"
)
# Single letters with something between them, six or more.
_SPACED = re.compile(
    r"(?<![^\W_])[A-Za-z]"
    r"(?:(?:\s{1,4}|[-.,_*/|+\u00b7](?:\s[-.,_*/|+\u00b7]?)?)[A-Za-z](?![^\W_])){5,}+"
)
_SEPARATOR = re.compile(r"[^A-Za-z]+")
# Words written as one. Longer ones are hardly words, and no more than so many letters of a text
# are parted.
_JOINED = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{18,200}(?![A-Za-z0-9])")
_MOST_LETTERS = 4_000
_LONGEST_WORD = 16
# The rank of the commonest word in the embedder's list, and what every word costs, so that a few
# long ones are likelier than many short ones.
_FIRST_WORD, _EACH_WORD = 1_980, 1.5
# Shorter words than three letters, other than these, are rather parts of long ones.
_SHORT = "a am an as at be by do go he i if in is it me my no of on or so to up us we".split()


def legible(text: str) -> str:
    if "\\" in text:
        text = _whole(
            _ESCAPED.sub(lambda found: chr(int(found[1] or found[2] or found[3], 16)), text)
        )
        text = _ESCAPED_GAP.sub(" ", text)
    if "&" in text:
        text = html.unescape(html.unescape(text))
    if "%" in text:
        text = unquote(unquote(text))
    if not text.isascii():
        text = _NOT_ASIAN_SIGNS.sub(lambda found: _in_plain_letters(found[0]), text)
    text = _EMPHASIS.sub("", _TAG.sub("", text))
    text = _ENDING_SO.sub(lambda found: found[0].translate(_FOR_LETTERS), text)
    text = _WITH_DIGITS.sub(lambda found: found[0].translate(_FOR_LETTERS), text)
    parter = _Parter()
    text = _SPACED.sub(lambda found: parter.close_up(found[0]), text)
    return _JOINED.sub(lambda found: parter.part(found[0]), _BOUND.sub(" ", text))


def _whole(text: str) -> str:
    """Two escapes may be one character, as in JSON. Half of one is a sign that nobody can read."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _in_plain_letters(text: str) -> str:
    """In Unicode's NFKC form without accents; lookalikes among Latin letters become Latin."""
    text = unicodedata.normalize("NFKD", _UNSEEN.sub("", text.translate(_LATIN_FORMS)))
    text = unicodedata.normalize("NFC", _MARKS.sub("", text))
    return _WORD.sub(lambda word: _in_one_script(word[0]), text)


def _in_one_script(word: str) -> str:
    if word.isascii() or not any("a" <= letter <= "z" for letter in word.lower()):
        return word
    return word.translate(_LIKE_LATIN)


class _Parter:
    """Puts spaces between the words of one text where they are missing."""

    def __init__(self) -> None:
        self._left = _MOST_LETTERS

    def close_up(self, spaced: str) -> str:
        """Takes the most frequent separator out; where there are others, these part words."""
        separators = Counter(_SEPARATOR.findall(spaced))
        (inner, _), *others = separators.most_common(2)
        closed = _SEPARATOR.sub(lambda found: "" if found[0] == inner else " ", spaced)
        return closed if others else self.part(closed)

    def part(self, joined: str) -> str:
        self._left -= len(joined)
        return " ".join(_words(joined)) if self._left >= 0 else joined


def _words(joined: str) -> list[str]:
    """The likeliest words that together are `joined`."""
    costs, known = _costs(), joined.lower()
    best: list[tuple[float, int]] = [(0, 0)]
    for end in range(1, len(known) + 1):
        begins = range(max(0, end - _LONGEST_WORD), end)
        best.append(
            min((best[begin][0] + costs.get(known[begin:end], inf), begin) for begin in begins)
        )
    if best[-1][0] == inf:
        return [joined]
    words, end = [], len(joined)
    while end:
        begin = best[end][1]
        words.append(joined[begin:end])
        end = begin
    return words[::-1]


@cache
def _costs() -> dict[str, float]:
    """What a word costs: the embedder knows words in the order of their frequency."""
    tokenizer = json.loads(Path(embedder.__file__).with_name("tokenizer.json").read_text())
    return {
        word: _EACH_WORD + log(max(rank - _FIRST_WORD, 10))
        for word, rank in tokenizer["model"]["vocab"].items()
        if word.isalpha() and word.isascii() and (len(word) > 2 or word in _SHORT)
    }
