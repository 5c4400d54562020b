"""Lays out what the model reads next, and keeps what was said."""

from services.context_assembly.api import Assembly, Compacted, Context, InputTooLong
from services.context_assembly.conversations import Conversations, turn_absent
from services.context_assembly.kept_ids import inherited
from services.context_assembly.layout import Conversation, Shown, lay_out
from services.context_assembly.memories import Recaller
from services.context_assembly.ports import Path, TurnStore
from services.context_assembly.prompt import Prompt, prompt_of
from services.context_assembly.summaries import Compactor, summary_tokens
from services.context_assembly.trimmer import Trimmed, Trimmer
from services.shared.errors import Malformed

# A path is read back until it is surely more than the window holds; English has four to a token.
_CHARS_PER_TOKEN = 16
# What stands around a summary in a prompt.
_FRAME_TOKENS = 32


class Assembler(Conversations):
    """`ContextAssembly`."""

    def __init__(
        self,
        store: TurnStore,
        recaller: Recaller,
        trimmer: Trimmer,
        compactor: Compactor,
        *,
        max_summary_tokens: int,
    ) -> None:
        super().__init__(store)
        self._recaller = recaller
        self._trimmer = trimmer
        self._compactor = compactor
        self._max_summary_tokens = max_summary_tokens

    async def assemble(self, assembly: Assembly) -> Context:
        if assembly.output_tokens >= assembly.model.context_tokens:
            raise Malformed("the reply fills the whole window", param="output_tokens")
        path = await self._path(assembly)
        # Before the facts are read: what is erased from now on may still stand in them.
        reads = assembly.reads_memory and assembly.scope.person
        erasures_known = await self._store.erasures_handled() if reads else 0
        shown = await self._recaller.recall(assembly, path)
        conversation = lay_out(path, assembly, shown)
        prompt = prompt_of(assembly, path, conversation, shown)
        trimmed = await self._trim(assembly, path, conversation, prompt)
        return Context(
            prompt_ids=trimmed.ids,
            memory_ids=shown.ids,
            fact_ids=trimmed.fact_ids,
            erasures_known=erasures_known,
            inherited_ids=inherited(path, assembly.model.id, trimmed.ids),
            pictures=trimmed.pictures,
            left_out=path.cut or bool(trimmed.dropped_through_unit),
            erasures_above=path.erasures_above,
        )

    async def compact(self, assembly: Assembly) -> Compacted:
        path = await self._path(assembly)
        conversation = lay_out(path, assembly, Shown())
        written = await self._compactor.summary_of_all(assembly, path, conversation)
        return Compacted(
            summary=written.text,
            kept=conversation.lasting,
            usage=written.usage,
            erasures_above=path.erasures_above,
        )

    async def _path(self, assembly: Assembly) -> Path:
        if not assembly.parent_id:
            return Path()
        model = assembly.model
        max_chars = model.context_tokens * _CHARS_PER_TOKEN
        path = await self._store.path(assembly.scope, assembly.parent_id, model.id, max_chars)
        if path is None:
            raise turn_absent()
        return path

    async def _trim(
        self, assembly: Assembly, path: Path, conversation: Conversation, prompt: Prompt
    ) -> Trimmed:
        """Where the model summarises, room for a summary is kept from the start."""
        room = assembly.model.context_tokens - assembly.output_tokens
        reserve = summary_tokens(assembly.model, self._max_summary_tokens) + _FRAME_TOKENS
        if not (assembly.model.summarises and path.turns) or reserve >= room:
            return await self._trimmer.trim(assembly, prompt, room)
        try:
            trimmed = await self._trimmer.trim(assembly, prompt, room - reserve)
        except InputTooLong:
            return await self._trimmer.trim(assembly, prompt, room)
        dropped = _dropped(prompt, trimmed)
        if not dropped:
            return trimmed
        summary = await self._compactor.compact(assembly, path, conversation, dropped)
        if summary is None:
            return trimmed
        return await self._trimmer.trim(
            assembly, prompt.after(trimmed.dropped_through_unit, summary), room
        )


def _dropped(prompt: Prompt, trimmed: Trimmed) -> int:
    """How many exchanges, from the first on without a gap, were dropped."""
    for number, unit in enumerate(prompt.units):
        if not 0 < unit <= trimmed.dropped_through_unit:
            return number
    return len(prompt.units)
