"""A model that vLLM serves, as the rest of the service needs it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from services.inference.models import ModelFamily
from services.inference.ports import Backend, Dialect


@dataclass(frozen=True, slots=True)
class ServedModel:
    """Lives until `stop` is called, which ends its engine."""

    backend: Backend[Any]
    dialect: Dialect[Any]
    family: ModelFamily
    # Prompt and output together.
    context_tokens: int
    # How many sequences run at once at most.
    slots: int
    # Whether it takes pictures.
    sees: bool
    stop: Callable[[], Awaitable[None]]
