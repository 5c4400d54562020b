"""Which models are served, as inference reports it."""

import asyncio
from collections.abc import Sequence
from contextlib import aclosing

from services.gateway.api import ModelNotFound
from services.inference.api import Inference, Load, ModelCard
from services.shared.errors import MeshError, Unavailable

_AGAIN_SECONDS = 0.2


class Catalogue:
    """The models' cards and the engine's load, kept current by a stream of reports."""

    def __init__(self, inference: Inference) -> None:
        self._inference = inference
        self._cards: dict[str, ModelCard] = {}
        self.load: Load | None = None
        self._heard = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether inference is there now, with a model."""
        return self._heard.is_set()

    async def follow(self) -> None:
        """Listens for ever; a lost stream is opened again."""
        while True:
            try:
                async with aclosing(self._inference.watch_load()) as reports:
                    async for report in reports:
                        self._cards = {card.id: card for card in report.models}
                        self.load = report.load
                        self._heard.set()
            except MeshError:
                pass  # the calls that need inference say so
            self._heard.clear()
            await asyncio.sleep(_AGAIN_SECONDS)

    async def wait_connected(self) -> None:
        await self._heard.wait()

    def cards(self) -> Sequence[ModelCard]:
        if not self._cards:
            raise Unavailable("no model is loaded yet", service="inference")
        return tuple(self._cards.values())

    def card(self, model: str) -> ModelCard:
        known = {card.id: card for card in self.cards()}
        if model not in known:
            names = ", ".join(sorted(known))
            raise ModelNotFound(f"no such model; served are: {names}", param="model")
        return known[model]
