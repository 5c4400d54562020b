"""Batches of conversations to train on, made as they are needed and the same for the same seed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.inference.demo_model.generator.chance import seeded
from services.inference.demo_model.generator.composer import Composer, Conversation, Shape
from services.inference.demo_model.rendering import POSITIONS, ChatEncoder

_IN_BLOCK = 4
_LENGTH_STEP = 64


@dataclass(frozen=True, slots=True)
class Sample:
    """`skills` name, reply by reply, what each of the assistant's turns had to show."""

    ids: tuple[int, ...]
    replies: tuple[tuple[int, int], ...]
    skills: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded at the end; `learnt` marks the ids that an assistant says. Both (rows, length).

    `replies` hold, row by row and in order, the length of each of the assistant's turns in ids and
    the skill that it shows.
    """

    ids: NDArray[np.int32]
    learnt: NDArray[np.bool_]
    replies: tuple[tuple[int, str], ...]


class Batcher:
    """Makes batches by the block, so that those of a block are of like length."""

    def __init__(self, composer: Composer, encoder: ChatEncoder, *, tokens: int, seed: int) -> None:
        self._composer = composer
        self._encoder = encoder
        self._tokens = tokens
        self._seed = seed

    def block(self, number: int, shape: Shape, emphasis: Mapping[str, float]) -> list[Batch]:
        rng = seeded(self._seed, number)
        samples: list[Sample] = []
        room = _IN_BLOCK * self._tokens
        while room > 0:
            sample = self._sample(self._composer.compose(rng, shape, emphasis))
            if sample:
                samples.append(sample)
                room -= len(sample.ids)
        samples.sort(key=lambda sample: len(sample.ids))
        batches = [self._batch(rows) for rows in self._rows(samples)]
        rng.shuffle(batches)
        return batches

    def _sample(self, made: Conversation) -> Sample | None:
        """The conversation, cut after the last reply that fits the window."""
        rendered = self._encoder.encode(made.messages(), made.functions())
        fitting = [reply for reply in rendered.replies if reply[1] <= POSITIONS]
        if not fitting:
            return None
        ids = rendered.ids[: fitting[-1][1]]
        return Sample(tuple(ids), tuple(fitting), made.reply_skills()[: len(fitting)])

    def _rows(self, samples: list[Sample]) -> Iterator[tuple[Sample, ...]]:
        rows: list[Sample] = []
        for sample in samples:
            if rows and (len(rows) + 1) * len(sample.ids) > self._tokens * 1.1:
                yield tuple(rows)
                rows = []
            rows.append(sample)
        yield tuple(rows)

    def _batch(self, rows: tuple[Sample, ...]) -> Batch:
        longest = _rounded(max(len(sample.ids) for sample in rows))
        ids = np.full((len(rows), longest), self._encoder.pad, np.int32)
        learnt = np.zeros((len(rows), longest), np.bool_)
        replies: list[tuple[int, str]] = []
        for row, sample in enumerate(rows):
            ids[row, : len(sample.ids)] = sample.ids
            for (start, end), skill in zip(sample.replies, sample.skills, strict=True):
                learnt[row, start:end] = True
                replies.append((end - start, skill))
        return Batch(ids, learnt, tuple(replies))


def _rounded(length: int) -> int:
    """Few different lengths, so that memory does not fragment."""
    return -(-length // _LENGTH_STEP) * _LENGTH_STEP
