"""The items of a conversation as messages of a prompt; pure functions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeGuard

from services.context_assembly import substitutes
from services.context_assembly.substitutes import Unreadable
from services.shared.conversation import (
    Call,
    CallResult,
    Compaction,
    Item,
    Message,
    Parts,
    Picture,
    Reasoning,
    Refusal,
    Role,
    RunBy,
    Text,
    text_of,
)
from services.shared.errors import Malformed
from services.shared.tools import ToolCall
from services.tokenizer.api import TemplateMessage

UNANSWERED = "[No result: this call was never answered.]"


@dataclass(frozen=True, slots=True)
class Entry:
    """An item and where it stands."""

    item: Item
    # The stored turn and the item's number in it, from 1. Of the request's input: no turn, and the
    # number in it. Of what this turn has produced: no turn, and 0.
    turn_id: str
    number: int
    # The memories that are shown before a user's words, by id.
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PromptMessage:
    """A message of the prompt, and what is known of it beside what the template reads."""

    message: TemplateMessage
    # Whether context-assembly says it, and not the application, the user, the model or a tool.
    ours: bool = False
    # Of what parts our own words tell, because the model cannot read them.
    unreadable: Sequence[Unreadable] = ()
    # Those that stand at the message's `pictures`.
    pictures: Sequence[Picture] = ()
    # Of the memories that stand in it.
    fact_ids: Sequence[str] = ()


def our_words(text: str, unreadable: Sequence[Unreadable] = ()) -> PromptMessage:
    message = TemplateMessage(Role.SYSTEM, text)
    return PromptMessage(message, ours=True, unreadable=unreadable)


def summary_words(text: str) -> str:
    """How a summary is told to the model."""
    return f"[Summary of earlier turns]\n{text}"


def is_by_user(item: Item) -> TypeGuard[Message]:
    return isinstance(item, Message) and item.role is Role.USER


class Draft:
    """A message that grows, and what is told before it.

    An assistant's message gathers its calls, and their results stand behind it. `sees`: the model
    can look at pictures.
    """

    def __init__(
        self,
        position: int,
        message: PromptMessage,
        *,
        current: bool,
        sees: bool,
        notes: Sequence[PromptMessage] = (),
    ) -> None:
        # Of its first entry.
        self.position = position
        # Whether any of it is of this turn.
        self.current = current
        self._message = message
        self._sees = sees
        self._notes = notes
        self._calls: list[Call] = []
        # By the call's place among the calls.
        self._results: dict[int, Parts] = {}

    @property
    def role(self) -> Role:
        return self._message.message.role

    def takes(self, call: Call) -> bool:
        """Whether the model made the call in this message.

        A call that the mesh or a server runs is answered at once, so a round of the model ends with
        it, unless the next call says that it was made beside it. Else a round ends with a result.
        """
        if self.role is not Role.ASSISTANT:
            return False
        if not self._calls or call.parallel:
            return True
        callers = all(each.run_by is RunBy.CALLER for each in (self._calls[-1], call))
        return callers and not self._results

    def call(self, call: Call) -> int:
        """Takes the call in; returns its place among the calls."""
        self._calls.append(call)
        place = len(self._calls) - 1
        if call.outcome:
            self._results[place] = call.outcome.parts
        return place

    def answer(self, place: int, parts: Parts, *, current: bool) -> None:
        self._results[place] = parts
        self.current = self.current or current

    def messages(self) -> Iterator[PromptMessage]:
        yield from self._notes
        if not self._calls:
            yield self._message
            return
        unread = [
            part
            for parts in self._results.values()
            for part in substitutes.unreadable(parts, shown=False)
        ]
        if unread:
            count = len(self._results)
            yield our_words(substitutes.before_results(count, unread, sees=self._sees), unread)
        yield self._with_calls()
        for place, call in enumerate(self._calls):
            answered = place in self._results
            text = text_of(self._results[place]) if answered else UNANSWERED
            yield PromptMessage(TemplateMessage(Role.TOOL, text, tool_call_id=call.call_id))

    def _with_calls(self) -> PromptMessage:
        calls = tuple(ToolCall(call.call_id, call.name, call.arguments) for call in self._calls)
        return replace(self._message, message=replace(self._message.message, tool_calls=calls))


def drafted(entries: Sequence[Entry], *, sees: bool) -> Sequence[Draft]:
    """Raises `Malformed` for a result in the request that answers no call."""
    drafter = _Drafter(after=_last_user(entries), sees=sees)
    for position, entry in enumerate(entries):
        drafter.add(position, entry)
    return drafter.drafts


class _Drafter:
    """Makes messages of entries, in their order; results go to their calls."""

    def __init__(self, *, after: int, sees: bool) -> None:
        # Reasoning is kept from here on only: models do not read what led to earlier replies.
        self._after = after
        self._sees = sees
        self._reasoning = ""
        # By the id of a call that has no result yet.
        self._waiting: dict[str, list[tuple[Draft, int]]] = {}
        self.drafts: list[Draft] = []

    def add(self, position: int, entry: Entry) -> None:
        item = entry.item
        match item:
            case Message(role=Role.ASSISTANT):
                self._open(position, entry, item.parts)
            case Message():
                shown = self._sees and item.role is Role.USER
                message = _spoken(item, entry.facts, shown=shown)
                notes = self._notes(item.role, item.parts, shown=shown)
                self._draft(position, entry, message, notes)
            case Call():
                self._call(position, entry, item)
            case CallResult():
                self._answer(entry, item)
            case Reasoning() if position > self._after:
                thought = item.text or "\n\n".join(item.summary)
                self._reasoning = f"{self._reasoning}\n\n{thought}".strip()
            case Compaction() if item.text:
                self._draft(position, entry, our_words(summary_words(item.text)))

    def _open(self, position: int, entry: Entry, parts: Parts = ()) -> Draft:
        message = TemplateMessage(Role.ASSISTANT, text_of(parts), reasoning=self._reasoning)
        self._reasoning = ""
        notes = self._notes(Role.ASSISTANT, parts, shown=False)
        return self._draft(position, entry, PromptMessage(message), notes)

    def _draft(
        self,
        position: int,
        entry: Entry,
        message: PromptMessage,
        notes: Sequence[PromptMessage] = (),
    ) -> Draft:
        current = not entry.turn_id
        draft = Draft(position, message, notes=notes, current=current, sees=self._sees)
        self.drafts.append(draft)
        return draft

    def _notes(self, role: Role, parts: Parts, *, shown: bool) -> Sequence[PromptMessage]:
        unread = substitutes.unreadable(parts, shown=shown)
        if not unread:
            return ()
        return [our_words(substitutes.before_message(role, unread, sees=self._sees), unread)]

    def _call(self, position: int, entry: Entry, call: Call) -> None:
        last = self.drafts[-1] if self.drafts and not self._reasoning else None
        draft = last if last and last.takes(call) else self._open(position, entry)
        place = draft.call(call)
        if call.run_by is RunBy.CALLER:
            self._waiting.setdefault(call.call_id, []).append((draft, place))

    def _answer(self, entry: Entry, result: CallResult) -> None:
        """Ids may come again in later rounds: the last call that waits is meant."""
        waiting = self._waiting.get(result.call_id)
        if waiting:
            draft, place = waiting.pop()
            draft.answer(place, result.parts, current=not entry.turn_id)
        elif not entry.turn_id:
            raise Malformed(
                "a function's result answers no call before it",
                param=f"input[{entry.number - 1}]",
            )


def _last_user(entries: Sequence[Entry]) -> int:
    positions = reversed(range(len(entries)))
    return next((at for at in positions if is_by_user(entries[at].item)), -1)


def _spoken(item: Message, facts: Mapping[str, str], *, shown: bool) -> PromptMessage:
    """What the sender wrote, behind the memories. `shown`: with the pictures that are here."""
    before = _memories(facts)
    texts: list[str] = []
    places: list[int] = []
    pictures: list[Picture] = []
    for part in item.parts:
        if isinstance(part, Text | Refusal):
            texts.append(part.text)
        elif shown and substitutes.is_shown(part):
            places.append(len(before) + len("\n".join(texts)))
            pictures.append(part)
    message = TemplateMessage(item.role, before + "\n".join(texts), pictures=tuple(places))
    return PromptMessage(message, pictures=tuple(pictures), fact_ids=tuple(facts))


def _memories(facts: Mapping[str, str]) -> str:
    if not facts:
        return ""
    lines = "\n".join(f"- {fact}" for fact in facts.values())
    return f"<memory>\n{lines}\n</memory>\n\n"
