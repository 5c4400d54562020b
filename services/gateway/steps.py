"""What a turn has heard from others, kept so that another gateway can go on with it.

A turn that is taken over runs again from its beginning. What the model said and what tools brought
is taken from here, so that its events come out as they did; nothing that has an effect is done
again. Then it goes on.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from services.context_assembly.api import Compacted, Context
from services.gateway.api import Ask, StreamInterrupted
from services.gateway.ports import Account
from services.inference.api import Piece, Usage, total
from services.tool_runner.api import Outcome


@dataclass(frozen=True, slots=True)
class Origin:
    """Who asked what."""

    account: Account
    key_id: str
    ask: Ask


@dataclass(frozen=True, slots=True)
class Assembled:
    context: Context


@dataclass(frozen=True, slots=True)
class Shortened:
    """A summary was made."""

    compacted: Compacted


@dataclass(frozen=True, slots=True)
class Heard:
    """The next piece in a round of the model, from 0."""

    round: int
    piece: Piece


@dataclass(frozen=True, slots=True)
class Dropped:
    """The last tokens of a round are not counted: the round went on without them.

    With `whole`, the round began anew.
    """

    round: int
    tokens: int
    whole: bool = False


@dataclass(frozen=True, slots=True)
class ToolBegun:
    call_id: str


@dataclass(frozen=True, slots=True)
class ToolDone:
    call_id: str
    outcome: Outcome


Step = Origin | Assembled | Shortened | Heard | Dropped | ToolBegun | ToolDone
STEPS = (Origin, Assembled, Shortened, Heard, Dropped, ToolBegun, ToolDone)


@dataclass(slots=True)
class Past:
    """The steps that were kept, as a turn asks for them again."""

    origin: Origin | None = None
    contexts: list[Context] = field(default_factory=list)
    summaries: list[Compacted] = field(default_factory=list)
    rounds: dict[int, list[Piece]] = field(default_factory=dict)
    begun: set[str] = field(default_factory=set)
    outcomes: dict[str, Outcome] = field(default_factory=dict)

    @property
    def used(self) -> Usage:
        """By the model, as far as it has said or its tokens were heard."""
        prompts = [len(context.prompt_ids) for context in self.contexts]
        used = Usage()
        for number, pieces in self.rounds.items():
            said = [piece.usage for piece in pieces if piece.usage]
            heard = sum(len(delta.ids) for piece in pieces for delta in piece.deltas)
            # A round may have more contexts than one: what it read is near the last of them.
            prompt = prompts[min(number, len(prompts) - 1)] if prompts and heard else 0
            used = total(used, said[-1] if said else Usage(prompt, completion_tokens=heard))
        return used

    def hear(self, step: Step) -> None:
        match step:
            case Origin():
                self.origin = step
            case Assembled(context=context):
                self.contexts.append(context)
            case Shortened(compacted=compacted):
                self.summaries.append(compacted)
            case Heard(round=number, piece=piece):
                self.rounds.setdefault(number, []).append(piece)
            case Dropped(round=number, whole=True):
                self.rounds[number] = []
            case Dropped(round=number, tokens=tokens):
                self.rounds[number] = without_last(self.rounds[number], tokens)
            case ToolBegun(call_id=call_id):
                self.begun.add(call_id)
            case ToolDone(call_id=call_id, outcome=outcome):
                self.outcomes[call_id] = outcome


def past_of(steps: Sequence[Step]) -> Past:
    past = Past()
    for step in steps:
        past.hear(step)
    return past


def without_last(pieces: Sequence[Piece], tokens: int) -> list[Piece]:
    """The pieces of one choice without their last tokens; their texts stay."""
    kept: list[Piece] = []
    for piece in reversed(pieces):
        deltas = []
        for delta in reversed(piece.deltas):
            drop = min(tokens, len(delta.ids))
            tokens -= drop
            ids = tuple(delta.ids[: len(delta.ids) - drop])
            deltas.append(replace(delta, ids=ids) if drop else delta)
        kept.append(Piece(tuple(reversed(deltas)), piece.usage))
    return kept[::-1]


Note = Callable[[Step], Awaitable[None]]


async def _unkept(_: Step) -> None:
    """Where turns live and die with one gateway."""


async def _nothing() -> None: ...


@dataclass(slots=True)
class Steps:
    """Of one turn: what was heard before, and where to keep what is heard now."""

    past: Past = field(default_factory=Past)
    # Keeps a step no later than the turn's next event.
    note: Note = _unkept
    # Keeps at once what was noted.
    keep: Callable[[], Awaitable[None]] = _nothing
    # How many events that were shown already are still to come again.
    repeating: int = 0


def interrupted() -> StreamInterrupted:
    return StreamInterrupted(
        "the gateway that made this response has died, and nobody can go on with it",
        code="stream_interrupted",
    )
