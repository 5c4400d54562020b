"""One user's facts, searchable: BM25 on the words and vectors on the meaning, weighed together."""

import math
import re
from collections.abc import Iterable, Sequence
from functools import cached_property

import bm25s  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from services.memory.api import Fact, Match
from services.memory.lexicon import JUDGING
from services.memory.ports import Holding, Kept, Vectors
from services.memory.statements import statements
from services.memory.words import terms

# Short texts: a word's second mention and a text's length say little.
_K1 = 0.9
_B = 0.4
# How much of the score the meaning makes; the words make the rest.
_MEANING = 0.6
_NAMES = re.compile(r"(?:my name is|i am called|call me|address me as) (.+)", re.I)


class Index:
    """What is kept at one revision. It never changes: a write makes the next one.

    What only a search needs is worked out at the first one.
    """

    def __init__(self, holding: Holding) -> None:
        self.revision = holding.revision
        self._kept = {kept.fact.id: kept for kept in holding.kept}
        self.facts: Sequence[Fact] = [kept.fact for kept in self._kept.values()]

    def __len__(self) -> int:
        return len(self.facts)

    def __contains__(self, fact_id: str) -> bool:
        return fact_id in self._kept

    def __getitem__(self, fact_id: str) -> Kept:
        return self._kept[fact_id]

    def changed(self, revision: int, *, keep: Iterable[Kept], drop: Iterable[str]) -> "Index":
        kept = self._kept | {each.fact.id: each for each in keep}
        for fact_id in drop:
            del kept[fact_id]
        return Index(Holding(revision, tuple(kept.values())))

    def search(self, query: str, vector: Vectors, limit: int) -> list[Match]:
        """The best facts, best first. Scores are from 0 to 1 and comparable between queries."""
        meaning = np.clip(self.likeness(vector), 0, 1)
        scores = _MEANING * meaning + (1 - _MEANING) * self._wording(query)
        return [Match(self.facts[row], float(scores[row])) for row in _best(scores, limit)]

    def nearest(self, vector: Vectors, count: int) -> list[Fact]:
        """The facts closest in meaning, closest first."""
        return [self.facts[row] for row in _best(self.likeness(vector), count)]

    def likeness(self, vector: Vectors) -> Vectors:
        """The cosine of each fact, in the order of `facts`."""
        cosines: Vectors = self._vectors @ vector
        return cosines

    def without_names(self, query: str) -> str:
        """The query without the user's own name: it is near every text that mentions them."""
        if not self._own_names:
            return query
        names = "|".join(map(re.escape, self._own_names))
        return " ".join(re.sub(rf"\b(?:{names})(?:'s)?\b", "", query, flags=re.I).split()) or query

    @cached_property
    def words(self) -> list[frozenset[str]]:
        """The words by which each fact is found, in the order of `facts`."""
        return [frozenset(found) for found in self._terms]

    @cached_property
    def _terms(self) -> list[list[str]]:
        return [terms(fact.text) for fact in self.facts]

    @cached_property
    def _vectors(self) -> Vectors:
        return np.stack([kept.vector for kept in self._kept.values()])

    @cached_property
    def _bm25(self) -> bm25s.BM25 | None:
        if not any(self._terms):
            return None
        bm25 = bm25s.BM25(k1=_K1, b=_B, method="lucene", backend="numpy", csc_backend="numpy")
        bm25.index(self._terms, show_progress=False)
        return bm25

    def _wording(self, query: str) -> Vectors:
        """How much of the query's rare words each fact has: BM25 as a share of what it could be."""
        asked = terms(query)
        if not asked or self._bm25 is None:
            return np.zeros(len(self), dtype=np.float32)
        most = sum(self._rarity(term) for term in asked)
        scores: Vectors = self._bm25.get_scores(asked) / most
        return scores

    def _rarity(self, term: str) -> float:
        """The inverse document frequency as BM25 has it; most for a word that no fact has."""
        assert self._bm25 is not None
        row = self._bm25.vocab_dict.get(term)
        starts = self._bm25.scores["indptr"]
        having = 0 if row is None else int(starts[row + 1] - starts[row])
        return math.log(1 + (len(self) - having + 0.5) / (having + 0.5))

    @cached_property
    def _own_names(self) -> list[str]:
        found = []
        for fact in self.facts:
            for statement in statements(fact.text) if _NAMES.search(fact.text) else ():
                match = _NAMES.fullmatch(statement.text)
                if match and match[1].split()[0].lower() not in JUDGING:
                    found += [match[1], *match[1].split()]
        return sorted({name for name in found if len(name) > 1}, key=len, reverse=True)


def _best(scores: Vectors, count: int) -> NDArray[np.intp]:
    """The rows of the highest scores, highest first; of equal ones the earlier first."""
    return np.argsort(-scores, kind="stable")[:count]
