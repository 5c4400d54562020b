"""The words of a text by which it is compared and found."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from itertools import pairwise

import Stemmer  # type: ignore[import-not-found]

# The 0 turns its cache off, which would hold words that people wrote.
_stem: Callable[[str], str] = Stemmer.Stemmer("english", 0).stemWord
_UNSPACED = r"\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_BETWEEN = r"\s!-/:-@\[-`{-~\u00a1-\u00bf\u2010-\u205e\u3000-\u303f"
# A word with its signs (C++ is not C#), or one character of a script without spaces.
_TOKEN = re.compile(rf"[{_UNSPACED}]|[^{_BETWEEN}{_UNSPACED}]+[+#]*")
_APOSTROPHES = str.maketrans(
    {"\u2019": "'", "\u2018": "'", "\u02bc": "'", "\u201c": '"', "\u201d": '"'}
)
_CONTRACTIONS = (
    (re.compile(r"\b(can)(?:'t|not)\b", re.I), r"\1 not"),
    (re.compile(r"\bwon't\b", re.I), "will not"),
    (re.compile(r"n't\b", re.I), " not"),
    (re.compile(r"\b(i)'m\b", re.I), r"\1 am"),
    (re.compile(r"'ve\b", re.I), " have"),
    (re.compile(r"'re\b", re.I), " are"),
    (re.compile(r"'ll\b", re.I), " will"),
    (re.compile(r"\b(i|you|he|she|we|they)'d\b", re.I), r"\1 would"),
    (re.compile(r"\b(he|she|it|that|there|what|where|who|how|when)'s\b", re.I), r"\1 is"),
)
_SPELLINGS = (
    (re.compile(r"(?<=\b[fF]av)or(?=ites?\b)"), "our"),
    (re.compile(r"(?<=\b[cC]ol)or(?=s?\b)"), "our"),
    (re.compile(r"(?<=\b[nN]eighb)or(?=s?\b)"), "our"),
    (re.compile(r"\b(is|are|am) named\b", re.I), r"\1 called"),
)
# Words of one meaning, and the one form that stands for them.
_SAME = {
    "mom": "mother",
    "mum": "mother",
    "dad": "father",
    "children": "child",
    "kid": "child",
    "kids": "child",
    "people": "person",
    "movie": "film",
    "movies": "film",
    "cellphone": "phone",
    "mobile": "phone",
    "2": "two",
    "3": "three",
    "4": "four",
    "5": "five",
    "6": "six",
    "7": "seven",
    "8": "eight",
    "9": "nine",
    "10": "ten",
    "11": "eleven",
    "12": "twelve",
}
_COMMON = frozenset(
    "a about am an and any are as at be been being but by can could did do does for from had has "
    "have he her hers him his how i if in into is it its just me mine my of on or our ours out "
    "please s she should so some such t than that the their them then there these they this those "
    "to too up us was we were what when where which who whom whose why will with would you your "
    "yours ll d m re ve tell know said say remember".split()
)


def folded(text: str) -> str:
    """The text in one Unicode form, with plain apostrophes, single spaces and no contractions."""
    text = " ".join(unicodedata.normalize("NFKC", text).translate(_APOSTROPHES).split())
    for pattern, spelt_out in (*_CONTRACTIONS, *_SPELLINGS):
        text = pattern.sub(spelt_out, text)
    return text


def plain_words(text: str) -> list[str]:
    """Every word of a folded text, in order."""
    return [_SAME.get(word, word) for word in _TOKEN.findall(text.lower())]


def stems(text: str) -> list[str]:
    """Every word of a folded text, in order and without its ending."""
    return [_stem(word) for word in plain_words(text)]


def terms(text: str) -> list[str]:
    """The words by which a text is found, and pairs of characters where a script has no spaces."""
    words = _TOKEN.findall(folded(text).lower())
    found = [_stem(_SAME.get(word, word)) for word in words if word not in _COMMON]
    return found + _pairs(words)


def _pairs(words: Sequence[str]) -> list[str]:
    return [
        left + right
        for left, right in pairwise(words)
        if left >= "\u3040" and right >= "\u3040" and len(left) == len(right) == 1
    ]
