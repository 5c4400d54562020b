"""One person's facts, searchable by their words (BM25) and by their meaning (vectors)."""

import math
import re
from collections.abc import Iterable, Sequence
from functools import cached_property

import bm25s  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray

from services.memory.api import Fact, Match
from services.memory.lexicon import JUDGING
from services.memory.ports import EmbeddedFact, ScopeFacts, Vectors
from services.memory.statements import statements
from services.memory.words import terms

# BM25's parameters. Facts are short: that a word is repeated, or a fact longer, says little.
_K1 = 0.9
_B = 0.4
# The share of the meaning in a score; the rest is the share of the words.
_MEANING = 0.6
_NAMES = re.compile(r"(?:my name is|i am called|call me|address me as) (.+)", re.I)


class Index:
    """A person's facts at one revision. An index never changes: a write makes another one.

    What only a search needs is computed at the first search.
    """

    def __init__(self, kept: ScopeFacts) -> None:
        self.revision = kept.revision
        self._embedded = {each.fact.id: each for each in kept.embedded}
        self.facts: Sequence[Fact] = [each.fact for each in self._embedded.values()]

    def __len__(self) -> int:
        return len(self.facts)

    def __contains__(self, fact_id: str) -> bool:
        return fact_id in self._embedded

    def __getitem__(self, fact_id: str) -> EmbeddedFact:
        return self._embedded[fact_id]

    def changed(
        self, revision: int, *, keep: Iterable[EmbeddedFact], drop: Iterable[str]
    ) -> "Index":
        embedded = self._embedded | {each.fact.id: each for each in keep}
        for fact_id in drop:
            del embedded[fact_id]
        return Index(ScopeFacts(revision, tuple(embedded.values())))

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
        """The query without the person's own name, which would find every fact that has it."""
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
        return np.stack([each.vector for each in self._embedded.values()])

    @cached_property
    def _bm25(self) -> bm25s.BM25 | None:
        if not any(self._terms):
            return None
        bm25 = bm25s.BM25(k1=_K1, b=_B, method="lucene", backend="numpy", csc_backend="numpy")
        bm25.index(self._terms, show_progress=False)
        return bm25

    def _wording(self, query: str) -> Vectors:
        """Each fact's BM25 score, as a share of the highest score that this query could reach."""
        asked = terms(query)
        if not asked or self._bm25 is None:
            return np.zeros(len(self), dtype=np.float32)
        most = sum(self._rarity(term) for term in asked)
        scores: Vectors = self._bm25.get_scores(asked) / most
        return scores

    def _rarity(self, term: str) -> float:
        """The inverse document frequency of BM25; it is highest for a word that no fact has."""
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
