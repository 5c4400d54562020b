"""What may be turned of memory."""

from typing import Annotated

from pydantic import AfterValidator, Field
from pydantic_settings import SettingsConfigDict

from services.shared.config import ServiceConfig
from services.shared.store_url import StoreUrl, one_of

_SERVERS = ("postgresql", "cassandra")
_StoreUrl = Annotated[StoreUrl, AfterValidator(one_of("sqlite", "memory", *_SERVERS))]


class MemoryConfig(ServiceConfig):
    """Read once at start. The defaults run the service on a laptop."""

    model_config = SettingsConfigDict(env_prefix="MEMORY_", frozen=True)

    address: str = "127.0.0.1:50055"
    # Where facts are kept: sqlite:<path>, postgresql://..., cassandra://..., or memory: for as long
    # as the process lives; file:<path> where a file holds this URL.
    store_url: _StoreUrl = StoreUrl("sqlite:.chatmesh/memory.sqlite")
    # How many texts are embedded at the same time; each takes a core.
    embedder_threads: int = Field(default=1, gt=0)
    # The longest fact, in characters.
    max_fact_chars: int = Field(default=500, gt=0)
    # How many facts are kept of one person.
    max_facts_per_person: int = Field(default=10_000, gt=0)
    # How many facts are held in memory for those who were active last; each takes 1.6 kB.
    cached_facts: int = Field(default=100_000, ge=0)
    # How much of a long message is used: half from its beginning and half from its end.
    max_query_chars: int = Field(default=400, ge=2)
    # How many characters of facts the model is shown beside the preferences; a token has about
    # four.
    found_chars: int = Field(default=1_200, ge=0)
    # The same for preferences; the newest first.
    preference_chars: int = Field(default=1_200, ge=0)
    # The least score with which a fact is shown. A lower one shows more, also of what does not
    # matter.
    relevance: float = Field(default=0.2, ge=0, le=1)
    # After how many seconds those who watch for erasures see what another replica has erased in the
    # same store; erasures of this process are seen at once. Less costs the store more reads: one of
    # each watcher in this time.
    erasures_reread_seconds: float = Field(default=0.5, gt=0)
    # Within how many seconds the file is rewritten without what was erased, for all erasures of
    # that time at once: less costs more writing. Nobody reads what was erased meanwhile.
    erased_within_seconds: float = Field(default=60, gt=0)
