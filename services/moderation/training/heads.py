"""Trains the second stage: a support vector machine per category over the embedder's vectors."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression  # type: ignore[import-not-found]
from sklearn.model_selection import GroupKFold  # type: ignore[import-not-found]
from sklearn.svm import SVC  # type: ignore[import-not-found]

from services.moderation.training.examples import LEARNT

GAMMA, C = 2.0, 8.0
_FOLDS = 5
Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rows:
    """Windows of examples: a row of `vectors` each, labels per category (NaN: unknown)."""

    vectors: NDArray[np.float32]
    labels: Mapping[str, Array]
    weights: Array
    groups: Sequence[str]


def margins_out_of_fold(rows: Rows, category: str) -> Array:
    """How far each row is on the category's side, said by a machine that never saw its group."""
    margins = np.empty(len(rows.vectors))
    for train, test in GroupKFold(_FOLDS).split(rows.vectors, groups=rows.groups):
        kept = np.zeros(len(margins), bool)
        kept[train] = True
        margins[test] = machine(rows, category, kept).decision_function(rows.vectors[test])
    return margins


def machine(rows: Rows, category: str, kept: NDArray[np.bool_]) -> SVC:
    labels = rows.labels[category]
    used = kept & ~np.isnan(labels)
    weights = _balanced(labels[used], rows.weights[used])
    return SVC(C=C, gamma=GAMMA).fit(rows.vectors[used], labels[used], weights)


def _balanced(labels: Array, weights: Array) -> Array:
    """Both sides weigh the same in all."""
    balanced = weights.copy()
    for side in (0, 1):
        of_side = labels == side
        balanced[of_side] *= 0.5 * len(labels) / weights[of_side].sum()
    scaled: Array = balanced * weights.mean()
    return scaled


@dataclass(frozen=True, slots=True)
class Calibration:
    """A margin as a score: 1 / (1 + exp(-slope * (margin - at_half)))."""

    slope: float
    at_half: float


def scores(margins: Array, calibration: Calibration) -> Array:
    return 1 / (1 + np.exp(-calibration.slope * (margins - calibration.at_half)))


def calibrate(
    margins: Array, labels: Array, weights: Array, benign: Sequence[tuple[Array, float]]
) -> Calibration:
    """As steep as the margins' odds; half where no more than its share of each benign set is.

    `benign` holds the margins of texts that break no rule, and the share that may reach half.
    """
    known = ~np.isnan(labels)
    odds = LogisticRegression(C=1e3).fit(margins[known, None], labels[known], weights[known])
    at_half = max(np.quantile(of_set, 1 - share) for of_set, share in benign)
    return Calibration(float(odds.coef_[0, 0]), float(at_half))


def merged(
    rows: Rows, machines: Mapping[str, SVC], calibrations: Mapping[str, Calibration]
) -> dict[str, NDArray[np.float32]]:
    """One table of passages for all machines, a column of weights for each category."""
    used = np.zeros((len(rows.vectors), len(machines)), np.float32)
    bias = np.zeros(len(machines), np.float32)
    for column, category in enumerate(LEARNT):
        found, calibration = machines[category], calibrations[category]
        known = np.flatnonzero(~np.isnan(rows.labels[category]))
        used[known[found.support_], column] = found.dual_coef_[0] * calibration.slope
        bias[column] = (found.intercept_[0] - calibration.at_half) * calibration.slope
    support = np.flatnonzero(used.any(axis=1))
    return {"passages": rows.vectors[support], "weights": used[support], "bias": bias}
