"""Trains the first stage, a linear model over letters and words, to foresee what the heads say."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-not-found]

from services.moderation.adapters.ngrams import BUCKETS, features

# The heads' scores from which a window should be sent on, how many of those score so much here, and
# how much. Windows are cleared only below half of that: the reader finds more than the heads.
_WORTH_A_LOOK, _MUST_PASS, _PASSES_AT = 0.5, 0.97, 0.1
_LEARN_FROM = 0.2
_C = 4.0
_BATCH = 512
Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Weights:
    table: NDArray[np.int8]
    scale: Array
    bias: Array


def train_ngrams(windows: Sequence[str], taught: Array, held_out: NDArray[np.bool_]) -> Weights:
    """`taught` holds the heads' scores; operating points are set on windows held out."""
    counted = counts(windows)
    tables, biases = [], []
    for scores in taught.T:
        model = LogisticRegression(C=_C, class_weight="balanced", max_iter=200)
        model.fit(counted[~held_out], scores[~held_out] >= _LEARN_FROM)
        logits = model.decision_function(counted[held_out])
        passing = np.quantile(logits[scores[held_out] >= _WORTH_A_LOOK], 1 - _MUST_PASS)
        tables.append(model.coef_[0])
        biases.append(model.intercept_[0] - passing + np.log(_PASSES_AT / (1 - _PASSES_AT)))
    return packed(np.stack(tables, axis=1), np.array(biases))


def packed(table: NDArray[np.float64], bias: NDArray[np.float64]) -> Weights:
    """`table` as bytes; it has a row for each bucket and a column for each category."""
    scale = np.maximum(np.abs(table).max(axis=0), 1e-9) / 127
    return Weights(
        np.round(table / scale).astype(np.int8), scale.astype(np.float32), bias.astype(np.float32)
    )


def counts(windows: Sequence[str]) -> sparse.csr_matrix:
    """A row of bucket counts for each window, over the root of their sum, as the stage computes."""
    buckets, begins = [], [0]
    for start in range(0, len(windows), _BATCH):
        found, starts = features(windows[start : start + _BATCH])
        ends = np.append(starts[1:], len(found))
        begins += (begins[-1] + ends).tolist()
        buckets.append(found)
    indices = np.concatenate(buckets).astype(np.int32)
    matrix = sparse.csr_matrix(
        (np.ones(len(indices), np.float32), indices, np.array(begins)),
        shape=(len(windows), BUCKETS),
    )
    matrix.sum_duplicates()
    roots = np.sqrt(np.maximum(np.diff(begins), 1)).astype(np.float32)
    return sparse.csr_matrix(sparse.diags(1 / roots) @ matrix)
