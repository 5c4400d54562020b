"""Summaries in the place of what was said: asked for, moderated, sealed, opened again."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from services.context_assembly.api import Assembly, Context, ContextAssembly, SummaryUnavailable
from services.gateway.api import Ask, InputBlocked, InvalidRequest
from services.gateway.guard import Blocked, OpenGuard
from services.gateway.sealing import BrokenSeal, Sealer
from services.inference.api import Usage
from services.shared.conversation import Compaction, Item

# What such texts are sealed as.
_KIND = "compaction"


@dataclass(frozen=True, slots=True)
class Summarised:
    """A compaction item, and what is known of it."""

    item: Compaction
    # What stays beside it.
    kept: Sequence[Item]
    usage: Usage
    # See `Compacted`.
    erasures_above: int


class Summarising:
    """Has a conversation summarised by its own model."""

    def __init__(self, context: ContextAssembly, open_guard: OpenGuard) -> None:
        self._context = context
        self._open_guard = open_guard

    async def summarise(self, assembly: Assembly, sealer: Sealer, item_id: str) -> Summarised:
        """A summary is the model's output, and moderated as such.

        Raises `SummaryUnavailable`, and `InputBlocked` where nothing of it may be said.
        """
        compacted = await self._context.compact(assembly)
        try:
            async with self._open_guard() as guard:
                text = await guard.feed(compacted.summary, final=True)
        except Blocked as blocked:
            raise InputBlocked(
                f"the summary is blocked by the content policy ({blocked.category})",
                category=blocked.category,
            ) from None
        if not text:
            raise SummaryUnavailable("nothing of the summary may be said")
        item = Compaction(item_id, text, sealer.seal(_KIND, text))
        return Summarised(item, compacted.kept, compacted.usage, compacted.erasures_above)


def is_due(ask: Ask, context: Context) -> bool:
    """Whether the turn compacts before it answers."""
    if ask.compact_threshold is None:
        return False
    threshold = ask.compact_threshold
    return context.left_out or (threshold > 0 and len(context.prompt_ids) > threshold)


def unsealed(ask: Ask, sealer: Sealer) -> Ask:
    """The ask with what the model reads of its compaction items.

    What a caller writes into such an item in plain words does not count: nobody has moderated it.
    Raises `InvalidRequest` for an item that was not sealed here for this organisation.
    """
    if not any(isinstance(item, Compaction) for item in ask.said):
        return ask
    return replace(
        ask, unstored=_all_opened(ask.unstored, sealer), input=_all_opened(ask.input, sealer)
    )


def _all_opened(items: Sequence[Item], sealer: Sealer) -> tuple[Item, ...]:
    return tuple(_opened(number, item, sealer) for number, item in enumerate(items))


def _opened(number: int, item: Item, sealer: Sealer) -> Item:
    if not isinstance(item, Compaction):
        return item
    try:
        return replace(item, text=sealer.open(_KIND, item.opaque))
    except BrokenSeal:
        raise InvalidRequest(
            "is not what this server has sealed for your account",
            param=f"input[{number}].encrypted_content",
            code="invalid_encrypted_content",
        ) from None
