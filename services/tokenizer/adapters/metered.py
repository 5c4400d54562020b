"""Counts how long prompts are and how often one is cut."""

from collections.abc import Sequence

from prometheus_client import CollectorRegistry, Counter, Histogram

from services.tokenizer.api import FitRequest, Fitted, Tokenizer

_PROMPT_BUCKETS = tuple(64 * 2**n for n in range(12))


class MeteredTokenizer:
    """A `Tokenizer` that counts what another one does."""

    def __init__(self, tokenizer: Tokenizer, registry: CollectorRegistry) -> None:
        self._tokenizer = tokenizer
        self._prompts = Histogram(
            "chatmesh_tokenizer_prompt_tokens",
            "Tokens of the prompts that were made.",
            ["model"],
            buckets=_PROMPT_BUCKETS,
            registry=registry,
        )
        self._cuts = Counter(
            "chatmesh_tokenizer_cut_prompts",
            "Prompts from which something was dropped.",
            ["model"],
            registry=registry,
        )

    async def fit(self, request: FitRequest) -> Fitted:
        fitted = await self._tokenizer.fit(request)
        self._prompts.labels(request.model).observe(len(fitted.ids))
        if fitted.dropped_through_unit:
            self._cuts.labels(request.model).inc()
        return fitted

    async def encode(self, model: str, text: str) -> Sequence[int]:
        return await self._tokenizer.encode(model, text)

    async def decode(self, model: str, ids: Sequence[int]) -> str:
        return await self._tokenizer.decode(model, ids)
