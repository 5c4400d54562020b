"""Shows a turn what is remembered of its person."""

import structlog

from services.context_assembly.api import Assembly
from services.context_assembly.layout import Shown, last_user_text
from services.context_assembly.ports import Memory, Path
from services.memory.api import Fact
from services.shared.errors import MeshError

_log = structlog.get_logger()


class Recaller:
    """Asks memory once for a turn; without memory, the turn goes on without memories."""

    def __init__(self, memory: Memory, *, query_chars: int) -> None:
        self._memory = memory
        self._query_chars = query_chars

    async def recall(self, assembly: Assembly, path: Path) -> Shown:
        """The memories of the whole path, and this turn's: those it was given, or else found."""
        if not (assembly.reads_memory and assembly.scope.person):
            return Shown()
        given = assembly.memory_ids
        ids = dict.fromkeys(fact_id for turn in path.turns for fact_id in turn.memory_ids)
        ids |= dict.fromkeys(given or ())
        query = self._query(assembly) if given is None else ""
        try:
            recalled = await self._memory.recall(assembly.scope, query=query, fact_ids=[*ids])
        except MeshError as error:
            _log.warning("the turn goes on without memories", error=error.reason())
            return Shown(ids=given or ())
        found = [fact.id for fact in recalled.found] if given is None else given
        preferences = sorted(recalled.preferences, key=_age)
        facts = (*recalled.named, *recalled.found)
        return Shown(
            preferences={fact.id: _line(fact) for fact in preferences},
            facts={fact.id: _line(fact) for fact in facts},
            ids=found,
        )

    def _query(self, assembly: Assembly) -> str:
        """The user's words, and of a long text its beginning and end: there the question stands."""
        text = last_user_text(assembly.input)
        if len(text) <= self._query_chars:
            return text
        half = self._query_chars // 2
        return f"{text[:half]}\n{text[-half:]}"


def _age(fact: Fact) -> tuple[int, str]:
    """Oldest first: one more preference changes only the end of the prompt's beginning."""
    return fact.created_at_ms, fact.id


def _line(fact: Fact) -> str:
    return " ".join(fact.text.split())
