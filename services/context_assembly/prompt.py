"""What the model reads, stable first and volatile last; what may be dropped, and in what order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

from services.context_assembly.api import Assembly
from services.context_assembly.layout import Conversation, Exchange
from services.context_assembly.ports import Path, Summary
from services.shared.chat import Message, Role
from services.tokenizer.api import Candidate

LEFT_OUT = "[Earlier turns were left out to fit the context window.]"
_SUMMARY = "[Summary of earlier turns]\n"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation, not yet cut."""

    system: str
    head: Sequence[Message]
    # Stands for what came before the exchanges; it is dropped with the first of them.
    opening: str
    exchanges: Sequence[Exchange]
    # Of each exchange, as the tokenizer's candidates have it.
    units: Sequence[int]

    def candidates(self) -> Sequence[Candidate]:
        return [
            *self._instructions(),
            *([Candidate(Message(Role.SYSTEM, self.opening), 1)] if self.opening else ()),
            *self._exchanged(),
        ]

    def folded(self) -> Sequence[Candidate]:
        """For templates that take one system message, and first: what else the mesh says itself
        stands in messages that are there anyway."""
        candidates = [*self._exchanged()]
        for number, candidate in enumerate(candidates):
            if self.opening and candidate.message.role is Role.USER:
                message = candidate.message
                text = f"{self.opening}\n\n{message.text}"
                candidates[number] = replace(candidate, message=replace(message, text=text))
                break
        instructions = [candidate.message.text for candidate in self._instructions()]
        if not instructions:
            return candidates
        return [Candidate(Message(Role.SYSTEM, "\n\n".join(instructions))), *candidates]

    def after(self, dropped_through: int, summary: Summary) -> "Prompt":
        """A summary in place of what was dropped."""
        pairs = zip(self.exchanges, self.units, strict=True)
        left = [(exchange, unit) for exchange, unit in pairs if not 0 < unit <= dropped_through]
        return replace(
            self,
            opening=_SUMMARY + summary.text,
            exchanges=[exchange for exchange, _ in left],
            units=[unit and unit - dropped_through for _, unit in left],
        )

    def _instructions(self) -> Iterator[Candidate]:
        if self.system:
            yield Candidate(Message(Role.SYSTEM, self.system))
        for message in self.head:
            yield Candidate(message)

    def _exchanged(self) -> Iterator[Candidate]:
        for exchange, unit in zip(self.exchanges, self.units, strict=True):
            for message in exchange.messages:
                yield Candidate(message, unit)


def prompt_of(
    assembly: Assembly, path: Path, conversation: Conversation, preferences: Sequence[str]
) -> Prompt:
    opening = LEFT_OUT if path.cut else ""
    if path.summary:
        opening = _SUMMARY + path.summary.text
    exchanges = conversation.exchanges
    return Prompt(
        system=_system(assembly, preferences),
        head=conversation.head,
        opening=opening,
        exchanges=exchanges,
        units=_units(exchanges, droppable=assembly.truncate_input),
    )


def _system(assembly: Assembly, preferences: Sequence[str]) -> str:
    parts = [assembly.instructions]
    if assembly.custom_instructions:
        parts.append(f"# Custom instructions\n{assembly.custom_instructions}")
    if preferences:
        lines = "\n".join(f"- {text}" for text in preferences)
        parts.append(f"# Keep in mind about the user\n{lines}")
    return "\n\n".join(filter(None, parts))


def _units(exchanges: Sequence[Exchange], *, droppable: bool) -> Sequence[int]:
    """From 1, the oldest first. 0, never dropped: what is to be answered now, and what else is of
    this turn unless that is `droppable` too."""
    numbers = count(1)
    return [
        0 if exchange.open or (exchange.current and not droppable) else next(numbers)
        for exchange in exchanges
    ]
