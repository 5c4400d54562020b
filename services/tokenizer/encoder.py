"""The tokenizer's core."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import TypeVar

from services.tokenizer.api import FitRequest, Fitted, NoTokenizer
from services.tokenizer.fitter import Fitter
from services.tokenizer.ports import Model

T = TypeVar("T")


class Encoder:
    """Answers for every served model; the work is done on the executor's threads."""

    def __init__(self, models: Mapping[str, Model], executor: Executor) -> None:
        self._models = models
        self._executor = executor

    async def fit(self, request: FitRequest) -> Fitted:
        return await self._run(Fitter(self._model(request.model), request).fit)

    async def encode(self, model: str, text: str) -> Sequence[int]:
        return await self._run(partial(self._model(model).encode, text))

    async def decode(self, model: str, ids: Sequence[int]) -> str:
        return await self._run(partial(self._model(model).decode, ids))

    def _model(self, name: str) -> Model:
        try:
            return self._models[name]
        except KeyError:
            raise NoTokenizer("no such model is served here", param="model") from None

    async def _run(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
