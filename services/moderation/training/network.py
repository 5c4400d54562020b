"""Trains the second opinion's network over text vectors: one for all categories.

Written out in numpy, since scikit-learn's networks know neither weights nor unknown labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.moderation.training.examples import LEARNT
from services.moderation.training.heads import Rows

Array = NDArray[np.float64]
Floats = NDArray[np.float32]
Chosen = NDArray[np.intp]
HIDDEN = 192
_EPOCHS, _BATCH = 24, 128
_RATE, _DECAY, _DROPPED = 3e-3, 0.03, 0.3
# The vectors' values are about 0.05; so the hidden units begin with some spread.
_SPREAD = 1.5
# One example must not outweigh all others of a rare category.
_HEAVIEST = 20


def targets(rows: Rows, kept: Chosen) -> tuple[Floats, Floats]:
    """Labels and weights, a column for each of `LEARNT`; what is unknown weighs nothing.

    In each category both sides weigh the same in all.
    """
    labels = np.stack([rows.labels[category][kept] for category in LEARNT], axis=1)
    weights = np.where(np.isnan(labels), 0, rows.weights[kept, None])
    for side in (0, 1):
        weights /= np.where(labels == side, np.sum(weights * (labels == side), axis=0), 1)
    weights *= (weights > 0).sum(axis=0) / 2
    weights = weights.clip(0, _HEAVIEST)
    return np.nan_to_num(labels).astype(np.float32), weights.astype(np.float32)


@dataclass(frozen=True, slots=True)
class Network:
    """One hidden layer of units that are 0 below 0."""

    parts: list[Floats]

    def margins(self, vectors: Floats) -> Floats:
        hidden, hidden_bias, out, bias = self.parts
        margins: Floats = np.maximum(vectors @ hidden + hidden_bias, 0) @ out + bias
        return margins


def train_network(vectors: Floats, labels: Floats, weights: Floats, seed: int) -> Network:
    chance = np.random.default_rng(seed)
    network = Network(
        [
            chance.normal(0, _SPREAD, (vectors.shape[1], HIDDEN)).astype(np.float32),
            np.zeros(HIDDEN, np.float32),
            chance.normal(0, HIDDEN**-0.5, (HIDDEN, labels.shape[1])).astype(np.float32),
            np.zeros(labels.shape[1], np.float32),
        ]
    )
    steps = _Steps(network.parts, _EPOCHS * -(-len(vectors) // _BATCH))
    for _ in range(_EPOCHS):
        order = chance.permutation(len(vectors))
        for begin in range(0, len(order), _BATCH):
            rows = order[begin : begin + _BATCH]
            kept = (chance.random((len(rows), HIDDEN)) >= _DROPPED) / np.float32(1 - _DROPPED)
            slopes = _slopes(network, vectors[rows], labels[rows], weights[rows], kept)
            steps.take(slopes)
    return network


def _slopes(
    network: Network, vectors: Floats, labels: Floats, weights: Floats, kept: Array
) -> list[Floats]:
    hidden, hidden_bias, out, bias = network.parts
    units = np.maximum(vectors @ hidden + hidden_bias, 0) * kept.astype(np.float32)
    wrong = weights * (1 / (1 + np.exp(-(units @ out + bias))) - labels) / len(vectors)
    back = (wrong @ out.T) * kept.astype(np.float32) * (units > 0)
    return [vectors.T @ back, back.sum(axis=0), units.T @ wrong, wrong.sum(axis=0)]


@dataclass(slots=True)
class _Steps:
    """Adam with decoupled decay of weights; the rate falls from its full height to 0."""

    parts: list[Floats]
    total: int
    taken: int = 0
    means: list[Floats] = field(default_factory=list)
    squares: list[Floats] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.means = [np.zeros_like(part) for part in self.parts]
        self.squares = [np.zeros_like(part) for part in self.parts]

    def take(self, slopes: Sequence[Floats]) -> None:
        self.taken += 1
        rate = _RATE * min(1, self.taken / 100) * (1 - self.taken / (self.total + 1))
        for number, slope in enumerate(slopes):
            self.means[number] += 0.1 * (slope - self.means[number])
            self.squares[number] += 0.01 * (slope**2 - self.squares[number])
            step = self.means[number] / (1 - 0.9**self.taken)
            step /= np.sqrt(self.squares[number] / (1 - 0.99**self.taken)) + 1e-8
            if slope.ndim > 1:
                self.parts[number] *= 1 - rate * _DECAY
            self.parts[number] -= rate * step


def merged(networks: Sequence[Network], slopes: Array) -> dict[str, Floats]:
    """The mean of all networks as one wider network, its margins times `slopes`."""
    hidden, hidden_bias, out, bias = zip(*(each.parts for each in networks), strict=True)
    return {
        "hidden": np.concatenate(hidden, axis=1),
        "hidden_bias": np.concatenate(hidden_bias),
        "out": np.concatenate(out) * slopes / len(networks),
        "bias": np.mean(bias, axis=0) * slopes,
    }
