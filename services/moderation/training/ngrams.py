"""Trains the linear models over letters and words.

The first stage learns to foresee what the second will say. The second's own part learns the
categories from the examples.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse  # type: ignore[import-untyped]
from scipy.optimize import minimize  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression  # type: ignore[import-not-found]

from services.moderation.adapters.ngrams import BUCKETS, CLEAR_BELOW, features

# The second stage's scores from which a window should be sent on, and how many of those must be.
_WORTH_A_LOOK, _MUST_PASS = 0.5, 0.97
_LEARN_FROM = 0.2
_C = 4.0
# How strongly the words' weights are held near 0, and for how many rounds they are learnt.
_SHRINK, _ROUNDS = 1e-4, 50
_BATCH = 512
Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Weights:
    table: NDArray[np.int8]
    scale: Array
    bias: Array


def train_ngrams(windows: Sequence[str], taught: Array, held_out: NDArray[np.bool_]) -> Weights:
    """`taught` holds the second stage's scores; operating points are set on windows held out."""
    counted = counts(windows)
    tables, biases = [], []
    for scores in taught.T:
        model = LogisticRegression(C=_C, class_weight="balanced", max_iter=200)
        model.fit(counted[~held_out], scores[~held_out] >= _LEARN_FROM)
        logits = model.decision_function(counted[held_out])
        passing = np.quantile(logits[scores[held_out] >= _WORTH_A_LOOK], 1 - _MUST_PASS)
        tables.append(model.coef_[0])
        biases.append(model.intercept_[0] - passing + np.log(CLEAR_BELOW / (1 - CLEAR_BELOW)))
    return packed(np.stack(tables, axis=1), np.array(biases))


def word_table(
    counted: sparse.csr_matrix, labels: Array, weights: Array
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """A logistic regression for each column of `labels`: weights of the buckets, and biases."""
    used = np.unique(counted.indices)
    known = sparse.csr_matrix(counted[:, used].astype(np.float64))
    shape = len(used) + 1, labels.shape[1]
    total = weights.sum(axis=0)

    def loss(flat: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        table = flat.reshape(shape)
        margins = known @ table[:-1] + table[-1]
        wrong = weights * (1 / (1 + np.exp(-margins)) - labels) / total
        lost = (weights * (np.logaddexp(0, margins) - labels * margins) / total).sum()
        slopes = np.vstack((known.T @ wrong + _SHRINK * table[:-1], wrong.sum(axis=0)))
        return float(lost + _SHRINK / 2 * (table[:-1] ** 2).sum()), slopes.ravel()

    found = minimize(
        loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B", options={"maxiter": _ROUNDS}
    )
    table = np.zeros((BUCKETS, labels.shape[1]))
    table[used] = found.x.reshape(shape)[:-1]
    return table, found.x.reshape(shape)[-1]


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
