"""Inference for several models, each of which is somewhere else."""

from collections.abc import AsyncGenerator, Mapping

from services.context_assembly.ports import Inference
from services.inference.api import Generation, Piece
from services.shared.errors import Unavailable


class InferenceByModel:
    """`Inference`; what stands under no name serves every model without an entry of its own."""

    def __init__(self, by_model: Mapping[str, Inference]) -> None:
        self._by_model = by_model

    def generate(self, generation: Generation) -> AsyncGenerator[Piece, None]:
        found = self._by_model.get(generation.model) or self._by_model.get("")
        if found is None:
            raise Unavailable("no address is known for the model", service="inference")
        return found.generate(generation)
