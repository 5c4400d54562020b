"""Trains the second opinion: a network over vectors and a model over words, and their shares."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression  # type: ignore[import-not-found]
from sklearn.model_selection import GroupKFold  # type: ignore[import-not-found]

from services.moderation.training.examples import LEARNT
from services.moderation.training.heads import Rows
from services.moderation.training.network import Network, merged, targets, train_network
from services.moderation.training.ngrams import Weights, counts, packed, word_table

Array = NDArray[np.float64]
# The score from which the bundled policy blocks, as a margin.
_BLOCKS = np.log(0.8 / 0.2)
# The share that may reach it in any one category: of requests that no model saw, and of examples
# of these sources that do not belong to the category, by models that did not see them.
_OF_REQUESTS = 0.0002
_MAY_BLOCK = {"hard passages": 0.005, "documents": 0.001, "WordNet": 0.0005}
_FOLDS = 3
_LOOKED_AT = 0.5, 0.8, 0.9, 0.95, 0.98


@dataclass(frozen=True, slots=True)
class Texts:
    windows: Sequence[str]
    vectors: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Learnt:
    """The weights, and each row's margins by models that did not see its group."""

    network: dict[str, NDArray[np.float32]]
    words: Weights
    margins: Array


def learn(texts: Texts, rows: Rows, sources: NDArray[np.str_], requests: Texts) -> Learnt:
    """`texts`, `rows` and `sources` tell of the same windows.

    `requests` break no rule and are not learnt from.

    There is a pair of models for each fold, which did not see the fold. Bundled is their mean.
    """
    counted, counted_requests = counts(texts.windows), counts(requests.windows)
    every = np.arange(len(texts.windows))
    margins = np.empty((2, len(every), len(LEARNT)))
    unseen = np.zeros((2, len(requests.windows), len(LEARNT)))
    networks: list[Network] = []
    tables, biases = [], []
    for train, test in GroupKFold(_FOLDS).split(every, groups=rows.groups):
        labels, weights = targets(rows, train)
        network = train_network(texts.vectors[train], labels, weights, seed=len(networks))
        table, bias = word_table(counted[train], labels, weights)
        margins[:, test] = network.margins(texts.vectors[test]), counted[test] @ table + bias
        unseen[0] += network.margins(requests.vectors) / _FOLDS
        unseen[1] += (counted_requests @ table + bias) / _FOLDS
        networks.append(network)
        tables.append(table / _FOLDS)
        biases.append(bias / _FOLDS)
    slopes = _slopes(rows, margins)
    said = np.einsum("mrc,mc->rc", margins, slopes)
    blocks = np.maximum(
        np.quantile(np.einsum("mrc,mc->rc", unseen, slopes), 1 - _OF_REQUESTS, axis=0),
        _highest(rows, sources, said),
    )
    bias = sum(biases) * slopes[1] - blocks + _BLOCKS
    words = packed(sum(tables) * slopes[1], bias)
    return Learnt(merged(networks, slopes[0]), words, said - blocks + _BLOCKS)


def with_both(first: Learnt, second: Learnt, category: str) -> Learnt:
    """`first`, but that in one category it says the mean of what both say.

    The margins are those of `first`: of its rows `second` may have seen some.
    """
    column = LEARNT.index(category)
    one, other = first.network, second.network
    shares = np.where(np.arange(len(LEARNT)) == column, 0.5, 1), np.zeros(len(LEARNT))
    shares[1][column] = 0.5
    network = {
        "hidden": np.concatenate([one["hidden"], other["hidden"]], axis=1),
        "hidden_bias": np.concatenate([one["hidden_bias"], other["hidden_bias"]]),
        "out": np.concatenate([one["out"] * shares[0], other["out"] * shares[1]]),
        "bias": one["bias"] * shares[0] + other["bias"] * shares[1],
    }
    tables = [each.words.table * each.words.scale for each in (first, second)]
    table = tables[0] * shares[0] + tables[1] * shares[1]
    bias = first.words.bias * shares[0] + second.words.bias * shares[1]
    return Learnt(network, packed(table, bias), first.margins)


def _highest(rows: Rows, sources: NDArray[np.str_], margins: Array) -> Array:
    """The margin that no more than its share of each source comes to, by category."""
    highest = np.empty(len(LEARNT))
    for column, category in enumerate(LEARNT):
        harmless = rows.labels[category] == 0
        highest[column] = max(
            np.quantile(margins[harmless & (sources == source), column], 1 - share)
            for source, share in _MAY_BLOCK.items()
        )
    return highest


def _slopes(rows: Rows, margins: Array) -> Array:
    """How much each model counts: as steep as its margins' odds."""
    slopes = np.empty((2, len(LEARNT)))
    for column, category in enumerate(LEARNT):
        labels = rows.labels[category]
        known = ~np.isnan(labels)
        odds = LogisticRegression(C=1e3)
        odds.fit(margins[:, known, column].T, labels[known], rows.weights[known])
        slopes[:, column] = np.maximum(odds.coef_[0], 0)
    return slopes


def print_recall(rows: Rows, margins: Array, sources: NDArray[np.str_]) -> None:
    """What examples get from models that saw nothing of their kind."""
    scores = 1 / (1 + np.exp(-margins))
    for column, category in enumerate(LEARNT):
        sides = {
            "violations": rows.labels[category] == 1,
            **{
                source: (rows.labels[category] == 0) & (sources == source)
                for source in ("hard passages", "documents", "WordNet")
            },
        }
        shares = [
            f"{name} " + " ".join(f"{(scores[side, column] >= at).mean():.4f}" for at in _LOOKED_AT)
            for name, side in sides.items()
        ]
        print(f"{category:24} {'  '.join(shares)}", flush=True)
