"""What may be turned of memory."""

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services.shared.config import ServiceConfig


class MemoryConfig(ServiceConfig):
    """Read once at start. The defaults run the service on a laptop."""

    model_config = SettingsConfigDict(env_prefix="MEMORY_", frozen=True)

    address: str = "127.0.0.1:50055"
    # Where facts are kept: sqlite:<path>, or memory: for as long as the process lives.
    store_url: str = Field(
        default="sqlite:.chatmesh/memory.sqlite", pattern=r"^(sqlite:.+|memory:)$"
    )
    # How many texts are embedded at once, a core each.
    embedder_threads: int = Field(default=1, gt=0)
    max_fact_chars: int = Field(default=500, gt=0)
    max_facts_per_user: int = Field(default=10_000, gt=0)
    # How many facts' embeddings are held in memory, 1.6 kB each, for those who were active last.
    cached_facts: int = Field(default=100_000, ge=0)
    # Of a long message, half of so many characters from either end are looked at.
    max_query_chars: int = Field(default=400, ge=2)
    # What the model is shown beside the standing preferences; about four characters a token.
    found_chars: int = Field(default=1_200, ge=0)
    preference_chars: int = Field(default=1_200, ge=0)
    # From which score on a fact is shown: lower finds more and shows more that does not matter.
    relevance: float = Field(default=0.2, ge=0, le=1)
