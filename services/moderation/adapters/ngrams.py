"""The first stage: a linear model over hashed runs of characters and words, in numpy."""

import re
import unicodedata
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from services.moderation.ports import Scores

WEIGHTS = Path(__file__).with_suffix(".npz")
# A window whose scores are all below this needs no second stage.
CLEAR_BELOW = 0.05
BUCKETS = 1 << 18
_SHORTEST, _LONGEST = 3, 5
_BASE = np.uint32(0x01000193)
_MIX = np.uint32(0x9E3779B1)
_SHIFT = np.uint32(32 - BUCKETS.bit_length() + 1)
# Stands between two windows. Runs of characters that hold it are left out.
_BREAK = "\0"
_WORD = re.compile(r"\w+")
_SPACE = re.compile(r"[^\w!?*@$<>'-]+")


def fold(window: str) -> str:
    """The text as the model reads it: in lower case, in Unicode's NFKC form, without layout."""
    if not window.isascii():
        window = unicodedata.normalize("NFKC", window)
    folded = _SPACE.sub(" ", window.replace(_BREAK, " ").lower())
    # An empty window counts as a space: without a single run of characters it has no score.
    return f" {folded or ' '} "


def features(windows: Sequence[str]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The buckets of all windows, one window after the other, and where each window's begin."""
    folded = [fold(window) for window in windows]
    hashed, owners = _characters(folded)
    words = [_words(text) for text in folded]
    counts = [len(each) for each in words]
    hashed = np.concatenate((hashed, np.array([w for each in words for w in each], np.uint32)))
    owners = np.concatenate((owners, np.repeat(np.arange(len(folded)), counts)))
    order = np.argsort(owners, kind="stable")
    begins = np.searchsorted(owners[order], np.arange(len(folded)))
    return (hashed[order] * _MIX >> _SHIFT).astype(np.intp), begins


def _characters(folded: list[str]) -> tuple[NDArray[np.uint32], NDArray[np.intp]]:
    joined = _BREAK.join([*folded, _BREAK * _LONGEST])
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), np.uint32)
    owner = np.cumsum(codes == 0)
    room = len(codes) - _LONGEST
    rolling = codes[:room] + np.uint32(1)
    whole = codes[:room] != 0
    hashes, owners = [], []
    for n in range(2, _LONGEST + 1):
        following = codes[n - 1 : n - 1 + room]
        rolling = rolling * _BASE + following
        whole = whole & (following != 0)
        if n >= _SHORTEST:
            hashes.append(rolling[whole])
            owners.append(owner[:room][whole])
    return np.concatenate(hashes), np.concatenate(owners)


def _words(text: str) -> list[int]:
    """Hashes of single words and of pairs."""
    single = [crc32(word.encode("utf-8", "surrogatepass")) for word in _WORD.findall(text)]
    pairs = [(a * 31 + b) & 0xFFFFFFFF for a, b in pairwise(single)]
    return single + pairs


class Ngrams:
    """Sums a row of weights for each bucket: about 0.1 ms for a window of 30 words."""

    def __init__(self, table: NDArray[np.int8], scale: Scores, bias: Scores) -> None:
        self._table = table
        self._scale = scale
        self._bias = bias

    def margins(self, windows: Sequence[str]) -> Scores:
        buckets, begins = features(windows)
        counts = np.diff(np.append(begins, len(buckets)))
        sums = np.add.reduceat(self._table[buckets], begins, axis=0, dtype=np.int32)
        margins: Scores = sums / np.sqrt(counts)[:, None] * self._scale + self._bias
        return margins


class NgramStage:
    """The first stage.

    Nearly every window that the second stage would flag scores at least `CLEAR_BELOW` here. The
    scores say little else.
    """

    def __init__(self, ngrams: Ngrams) -> None:
        self._ngrams = ngrams

    def score(self, windows: Sequence[str]) -> Scores:
        scores: Scores = (1 / (1 + np.exp(-self._ngrams.margins(windows)))).astype(np.float32)
        return scores


def open_ngrams(weights: Path = WEIGHTS) -> Ngrams:
    """Bundled weights, made by training/."""
    with np.load(weights) as stored:
        return Ngrams(stored["table"], stored["scale"], stored["bias"])
