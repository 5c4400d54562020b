"""What the model reads, stable first and volatile last; what may be dropped, and in what order."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import count

from services.context_assembly import substitutes
from services.context_assembly.api import Assembly
from services.context_assembly.layout import Conversation, Exchange, Shown
from services.context_assembly.messages import PromptMessage, our_words, summary_words
from services.context_assembly.ports import Path, Summary
from services.shared.conversation import Role
from services.tokenizer.api import Candidate, TemplateMessage

LEFT_OUT = "[Earlier turns were left out to fit the context window.]"


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation, not yet cut."""

    # The system message, and what the application says before the first exchange. Never dropped.
    instructions: Sequence[PromptMessage]
    # Stands for what came before the exchanges; it is dropped with the first of them.
    opening: str
    exchanges: Sequence[Exchange]
    # Of each exchange, as the tokenizer's candidates have it.
    units: Sequence[int]
    # Whether the model can look at pictures.
    sees: bool

    def candidates(self) -> Sequence[Candidate]:
        return [Candidate(said.message, unit) for unit, said in self._all()]

    def other_forms(self) -> Iterator[Sequence[Candidate]]:
        """For templates that refuse the candidates, of which our own words may be the cause.

        The first form is for templates that take one system message, and first: our words stand in
        that message. The second form is without our words, for templates that take no system
        message at all. A form that is no other than the one before it is left out.
        """
        before = self.candidates()
        for form in (self._with_one_system_message(self._our_words()), self._bare()):
            if form != before:
                yield form
                before = form

    def after(self, dropped_through: int, summary: Summary) -> "Prompt":
        """A summary in place of what was dropped."""
        pairs = zip(self.exchanges, self.units, strict=True)
        left = [(exchange, unit) for exchange, unit in pairs if not 0 < unit <= dropped_through]
        return replace(
            self,
            opening=summary_words(summary.text),
            exchanges=[exchange for exchange, _ in left],
            units=[unit and unit - dropped_through for _, unit in left],
        )

    def kept(self, dropped_through: int) -> Sequence[PromptMessage]:
        """What stays when all units up to this one are dropped."""
        return [said for unit, said in self._all() if not 0 < unit <= dropped_through]

    def _all(self) -> Iterator[tuple[int, PromptMessage]]:
        for said in self.instructions:
            yield 0, said
        if self.opening:
            yield 1, our_words(self.opening)
        for exchange, unit in zip(self.exchanges, self.units, strict=True):
            for said in exchange.messages:
                yield unit, said

    def _bare(self) -> Sequence[Candidate]:
        return self._with_one_system_message(())

    def _with_one_system_message(self, our_texts: Sequence[str]) -> Sequence[Candidate]:
        instructions = [said.message.text for said in self.instructions if not said.ours]
        text = "\n\n".join(filter(None, (*instructions, *our_texts)))
        return [
            *([Candidate(TemplateMessage(Role.SYSTEM, text))] if text else ()),
            *(
                Candidate(said.message, unit)
                for exchange, unit in zip(self.exchanges, self.units, strict=True)
                for said in exchange.messages
                if not said.ours
            ),
        ]

    def _our_words(self) -> Sequence[str]:
        ours = [said for _, said in self._all() if said.ours]
        texts = [said.message.text for said in ours if not said.unreadable]
        unread = [part for said in ours for part in said.unreadable]
        return [*texts, substitutes.anywhere(unread, sees=self.sees)] if unread else texts


def prompt_of(assembly: Assembly, path: Path, conversation: Conversation, shown: Shown) -> Prompt:
    opening = LEFT_OUT if path.cut else ""
    if path.summary:
        opening = summary_words(path.summary.text)
    if conversation.compacted:
        opening = ""
    exchanges = conversation.exchanges
    return Prompt(
        instructions=[*_system(assembly, shown), *conversation.head],
        opening=opening,
        exchanges=exchanges,
        units=_units(exchanges, droppable=assembly.truncate_input),
        sees=assembly.model.sees,
    )


def _system(assembly: Assembly, shown: Shown) -> Iterator[PromptMessage]:
    parts = [assembly.instructions]
    if assembly.custom_instructions:
        parts.append(f"# Custom instructions\n{assembly.custom_instructions}")
    if shown.preferences:
        lines = "\n".join(f"- {text}" for text in shown.preferences.values())
        parts.append(f"# Keep in mind about the user\n{lines}")
    if text := "\n\n".join(filter(None, parts)):
        yield PromptMessage(TemplateMessage(Role.SYSTEM, text), fact_ids=[*shown.preferences])


def _units(exchanges: Sequence[Exchange], *, droppable: bool) -> Sequence[int]:
    """From 1, the oldest first. 0, never dropped: what is to be answered now, and what else is of
    this turn unless that is `droppable` too."""
    numbers = count(1)
    return [
        0 if exchange.open or (exchange.current and not droppable) else next(numbers)
        for exchange in exchanges
    ]
