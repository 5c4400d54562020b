"""What may be turned of context-assembly."""

from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict

from services.shared.config import ServiceConfig
from services.shared.store_url import StoreUrl, one_of

_SERVERS = ("postgresql", "cassandra", "mongodb")
_TurnsUrl = Annotated[StoreUrl, AfterValidator(one_of("sqlite", "memory", *_SERVERS))]


class ContextAssemblyConfig(ServiceConfig):
    """The defaults run the service on a laptop."""

    model_config = SettingsConfigDict(env_prefix="CONTEXT_ASSEMBLY_", frozen=True)

    address: str = "127.0.0.1:50051"
    # Where conversations are kept: sqlite:<path>, postgresql://..., cassandra://..., mongodb://...,
    # or memory: for as long as the process lives; file:<path> where a file holds this URL.
    turns_url: _TurnsUrl = StoreUrl("sqlite:.chatmesh/context-assembly.sqlite")
    memory_address: str = "127.0.0.1:50055"
    tokenizer_address: str = "127.0.0.1:50052"
    # Where summaries are written, by model; under no name: those of every other model.
    inference_addresses: Mapping[str, str] = Field(default_factory=lambda: {"": "127.0.0.1:50053"})
    # How long a turn waits for memories before it goes on without them.
    memory_seconds: float = Field(default=1, gt=0)
    # How long the tokenizer may take.
    tokenizer_seconds: float = Field(default=30, gt=0)
    # How much of a user's message memory is asked with; more costs it time and finds no more.
    query_chars: int = Field(default=1_000, ge=2)
    # How long a summary may become, and how long a turn waits for one before it goes on without.
    max_summary_tokens: int = Field(default=512, ge=16)
    # How long a model may take to write a summary, in seconds.
    summary_seconds: float = Field(default=15, gt=0)
    # Within how many seconds the file is rewritten without what was erased, for all erasures of
    # that time at once: less costs more writing. Nobody reads what was erased meanwhile.
    erased_within_seconds: float = Field(default=60, gt=0)
