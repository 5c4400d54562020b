"""Items of a conversation as messages and exchanges; pure functions."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import takewhile
from typing import TypeGuard

from services.context_assembly.api import Assembly, Call, CallResult, Item, Reasoning, Text
from services.context_assembly.ports import Path
from services.shared.chat import Message, Role, ToolCall
from services.shared.errors import Malformed

UNANSWERED = "[No result: this call was never answered.]"
_INSTRUCTING = (Role.SYSTEM, Role.DEVELOPER)


@dataclass(frozen=True, slots=True)
class Shown:
    """What the model is shown of the user's memory: texts, each in one line."""

    preferences: Sequence[str] = ()
    # By id; what is not here is erased.
    facts: Mapping[str, str] = field(default_factory=dict)
    # The memories of this turn.
    ids: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """An item and where it stands."""

    item: Item
    # The stored turn and the item's number in it, from 1. Of the request's input: no turn, and the
    # number in it. Of what this turn has produced: no turn, and 0.
    turn_id: str
    number: int
    # What is shown before a user's words.
    facts: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Exchange:
    """A user's message and all that follows it, up to the next one.

    The last exchange is in parts: the user's message, and what each round of the model made of it.
    """

    # Of its first entry.
    position: int
    # Whether any of it is of this turn: the request's, or a result that the request brings.
    current: bool
    # Whether it is what the model is to answer now: the user's last message, or `current` after it.
    open: bool
    messages: Sequence[Message]


@dataclass(frozen=True, slots=True)
class Conversation:
    """All that was said, in order."""

    entries: Sequence[Entry]
    # What the application says before the first exchange.
    head: Sequence[Message]
    exchanges: Sequence[Exchange]


def lay_out(path: Path, assembly: Assembly, shown: Shown) -> Conversation:
    """Raises `Malformed` for a result in the request that answers no call."""
    head = _head(path, assembly)
    entries = [*_past(path, shown, len(head)), *_present(assembly, shown, len(head))]
    drafter = _Drafter(after=_last_user(entries))
    for position, entry in enumerate(entries):
        drafter.add(position, entry)
    said = [Message(text.role, text.text) for text in head]
    return Conversation(entries, said, [*_exchanges(drafter.drafts)])


def last_user_text(items: Sequence[Item]) -> str:
    texts = (item.text for item in reversed(items) if _by_user(item))
    return next(texts, "")


def _by_user(item: Item) -> TypeGuard[Text]:
    return isinstance(item, Text) and item.role is Role.USER


def _head(path: Path, assembly: Assembly) -> Sequence[Text]:
    first = path.root.input if path.root else ()
    return _leading(first if assembly.parent_id else assembly.input)


def _leading(items: Sequence[Item]) -> Sequence[Text]:
    leading = takewhile(lambda item: isinstance(item, Text) and item.role in _INSTRUCTING, items)
    return [item for item in leading if isinstance(item, Text)]


def _past(path: Path, shown: Shown, head: int) -> Iterator[Entry]:
    """Without the head and what a summary covers."""
    skipped = {path.root.id: head} if path.root else {}
    if path.summary:
        covered = path.summary.turn_id
        skipped[covered] = max(path.summary.items, skipped.get(covered, 0))
    for turn in path.turns:
        facts = _facts(turn.memory_ids, shown)
        items = _with_facts(turn.input, facts)
        items += [(item, ()) for item in turn.output]
        for number, (item, before) in enumerate(items, 1):
            if number > skipped.get(turn.id, 0):
                yield Entry(item, turn.id, number, before)


def _present(assembly: Assembly, shown: Shown, head: int) -> Iterator[Entry]:
    skipped = 0 if assembly.parent_id else head
    items = _with_facts(assembly.input, _facts(shown.ids, shown))
    for number, (item, before) in enumerate(items, 1):
        if number > skipped:
            yield Entry(item, "", number, before)
    for item in assembly.produced:
        yield Entry(item, "", 0)


def _facts(ids: Sequence[str], shown: Shown) -> Sequence[str]:
    return [shown.facts[fact_id] for fact_id in ids if fact_id in shown.facts]


def _with_facts(items: Sequence[Item], facts: Sequence[str]) -> list[tuple[Item, Sequence[str]]]:
    """Each item with what is shown before it: the facts, before the user's last words."""
    paired: list[tuple[Item, Sequence[str]]] = [(item, ()) for item in items]
    users = [number for number, item in enumerate(items) if _by_user(item)] if facts else []
    if users:
        paired[users[-1]] = (items[users[-1]], facts)
    return paired


def _last_user(entries: Sequence[Entry]) -> int:
    positions = reversed(range(len(entries)))
    return next((at for at in positions if _by_user(entries[at].item)), -1)


class _Draft:
    """A message that grows: an assistant's gathers its calls and their results."""

    def __init__(self, position: int, message: Message, *, current: bool) -> None:
        self.position = position
        self.current = current
        self.message = message
        self.calls: list[Call] = []
        # By the call's place among `calls`.
        self.results: dict[int, str] = {}

    def takes(self, call: Call) -> bool:
        """Whether the model made the call in this message.

        A round of the model ends with an own call, which is answered at once, unless the next call
        says that it was made beside it; else it ends where a result stands.
        """
        if self.message.role is not Role.ASSISTANT:
            return False
        if not self.calls or call.parallel:
            return True
        return not (call.own or self.calls[-1].own or self.results)

    def messages(self) -> Iterator[Message]:
        if not self.calls:
            yield self.message
            return
        calls = tuple(ToolCall(call.call_id, call.name, call.arguments) for call in self.calls)
        yield replace(self.message, tool_calls=calls)
        for place, call in enumerate(self.calls):
            text = self.results.get(place, UNANSWERED)
            yield Message(Role.TOOL, text, tool_call_id=call.call_id)


class _Drafter:
    """Makes messages of entries, in their order; results go to their calls."""

    def __init__(self, *, after: int) -> None:
        # Reasoning is kept from here on only: models do not read what led to earlier replies.
        self._after = after
        self._reasoning = ""
        self._waiting: dict[str, list[tuple[_Draft, int]]] = {}
        self.drafts: list[_Draft] = []

    def add(self, position: int, entry: Entry) -> None:
        item = entry.item
        match item:
            case Text(role=Role.ASSISTANT):
                self._open(position, entry, item.text)
            case Text():
                message = Message(item.role, _after_facts(entry.facts, item.text))
                self.drafts.append(_Draft(position, message, current=not entry.turn_id))
            case Call():
                self._call(position, entry, item)
            case CallResult():
                self._answer(entry, item)
            case Reasoning() if position > self._after:
                self._reasoning = f"{self._reasoning}\n\n{item.text}".strip()

    def _open(self, position: int, entry: Entry, text: str = "") -> _Draft:
        message = Message(Role.ASSISTANT, text, reasoning=self._reasoning)
        self._reasoning = ""
        self.drafts.append(_Draft(position, message, current=not entry.turn_id))
        return self.drafts[-1]

    def _call(self, position: int, entry: Entry, call: Call) -> None:
        last = self.drafts[-1] if self.drafts and not self._reasoning else None
        draft = last if last and last.takes(call) else self._open(position, entry)
        if call.own:
            draft.results[len(draft.calls)] = call.output
        else:
            self._waiting.setdefault(call.call_id, []).append((draft, len(draft.calls)))
        draft.calls.append(call)

    def _answer(self, entry: Entry, result: CallResult) -> None:
        """Ids may come again in later rounds: the last call that waits is meant."""
        waiting = self._waiting.get(result.call_id)
        if waiting:
            draft, place = waiting.pop()
            draft.results[place] = result.output
            draft.current = draft.current or not entry.turn_id
        elif not entry.turn_id:
            raise Malformed(
                "a function's result answers no call before it",
                param=f"input[{entry.number - 1}]",
            )


def _after_facts(facts: Sequence[str], text: str) -> str:
    if not facts:
        return text
    lines = "\n".join(f"- {fact}" for fact in facts)
    return f"<memory>\n{lines}\n</memory>\n\n{text}"


def _groups(drafts: Sequence[_Draft]) -> Sequence[Sequence[_Draft]]:
    """Each with one user's message, but the first if there is none."""
    groups: list[list[_Draft]] = [[]]
    for draft in drafts:
        is_user = draft.message.role is Role.USER
        if is_user and any(earlier.message.role is Role.USER for earlier in groups[-1]):
            groups.append(_taken_over(groups[-1]))
        groups[-1].append(draft)
    return groups


def _taken_over(group: list[_Draft]) -> list[_Draft]:
    """The instructions after the last reply: they belong to what follows."""
    end = len(group)
    while group[end - 1].message.role in _INSTRUCTING:
        end -= 1
    if group[end - 1].message.role is not Role.ASSISTANT:
        return []
    taken = group[end:]
    del group[end:]
    return taken


def _exchanges(drafts: Sequence[_Draft]) -> Iterator[Exchange]:
    *earlier, last = _groups(drafts)
    for group in earlier:
        yield _exchange(group, is_open=False)
    start = 0
    for end, draft in enumerate((*last, None)):
        if end > start and (draft is None or draft.message.role is Role.ASSISTANT):
            part = last[start:end]
            yield _exchange(part, is_open=not start or any(draft.current for draft in part))
            start = end


def _exchange(group: Sequence[_Draft], *, is_open: bool) -> Exchange:
    return Exchange(
        position=group[0].position,
        current=any(draft.current for draft in group),
        open=is_open,
        messages=[message for draft in group for message in draft.messages()],
    )
