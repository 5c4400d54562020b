"""Blocks of batches one after the other: made when they are wanted, or ahead by other processes."""

from collections import deque
from collections.abc import Callable, Generator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from itertools import count
from multiprocessing import get_context

from services.inference.demo_model.batches import Batch, Batcher
from services.inference.demo_model.generator.composer import Shape

MakeBatcher = Callable[[], Batcher]
_AHEAD_PER_MAKER = 2


@dataclass(frozen=True, slots=True)
class Order:
    """What a block shall hold."""

    shape: Shape
    emphasis: Mapping[str, float]


def blocks(
    make_batcher: MakeBatcher, order: Callable[[int], Order], *, first: int, makers: int
) -> Generator[list[Batch], None, None]:
    """Block `first` and those after it, for ever; close it.

    Each of the `makers` processes makes one at a time and works up to two ahead, so blocks are
    ordered that much before they are wanted. 0 makers: this process makes them.
    """
    if not makers:
        batcher = make_batcher()
        for number in count(first):
            wanted = order(number)
            yield batcher.block(number, wanted.shape, wanted.emphasis)
    with ProcessPoolExecutor(makers, get_context("spawn"), _begin, (make_batcher,)) as pool:
        waiting: deque[Future[list[Batch]]] = deque()
        try:
            for number in count(first):
                waiting.append(pool.submit(_make, number, order(number)))
                if len(waiting) > makers * _AHEAD_PER_MAKER:
                    yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()


class _Maker:
    batcher: Batcher


def _begin(make_batcher: MakeBatcher) -> None:
    _Maker.batcher = make_batcher()


def _make(number: int, wanted: Order) -> list[Batch]:
    return _Maker.batcher.block(number, wanted.shape, wanted.emphasis)
